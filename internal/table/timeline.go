package table

import (
	"iter"
	"slices"
	"sort"
)

// timeline is all slots that ever had a row, in the order of time, those of the same time in the order of adding, as
// runs of slots that follow one another. Records mostly come in the order of time: then it is one run. Slots whose row
// is gone stay in it.
//
// The lists are shared by snapshots and not changed; last is what grows.
type timeline struct {
	chunks [][]run
	last   run
}

// run is n slots from first on.
type run struct{ first, n uint32 }

func (r run) end() uint32 { return r.first + r.n - 1 }

const maxRuns = 1024 // in a chunk

// newTimeline makes a timeline of the slots 0 to n-1.
func newTimeline(n int, at func(slot uint32) int64) timeline {
	var l timeline
	for i := 1; i < n; i++ {
		if at(uint32(i)) < at(uint32(i-1)) {
			return sorted(n, at)
		}
	}
	l.last = run{0, uint32(n)}
	return l
}

func sorted(n int, at func(slot uint32) int64) timeline {
	type entry struct {
		time int64
		slot uint32
	}
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{at(uint32(i)), uint32(i)}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		switch {
		case before(a.time, a.slot, b.time, b.slot):
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	var l timeline
	own := false
	for _, e := range entries {
		l.push(e.slot, &own)
	}
	return l
}

func before(t int64, slot uint32, u int64, other uint32) bool {
	return t < u || t == u && slot < other
}

// lineEdit is a timeline on its way to the next snapshot.
type lineEdit struct {
	timeline
	at  func(slot uint32) int64
	own bool // the list of chunks is copied
}

// push puts a slot at the end.
func (l *timeline) push(slot uint32, own *bool) {
	switch {
	case l.last.n == 0:
		l.last = run{slot, 1}
	case slot == l.last.end()+1:
		l.last.n++
	default:
		l.settle(l.last, own)
		l.last = run{slot, 1}
	}
}

// settle puts a run behind the last chunk's.
func (l *timeline) settle(r run, own *bool) {
	if !*own {
		l.chunks, *own = slices.Clone(l.chunks), true
	}
	if n := len(l.chunks); n > 0 && len(l.chunks[n-1]) < cap(l.chunks[n-1]) {
		l.chunks[n-1] = append(l.chunks[n-1], r)
		return
	}
	l.chunks = append(l.chunks, append(make([]run, 0, maxRuns), r))
}

// insert puts a slot in its place. Its time is known to l.at.
func (l *lineEdit) insert(slot uint32) {
	t := l.at(slot)
	if l.last.n == 0 || before(l.at(l.last.end()), l.last.end(), t, slot) {
		l.push(slot, &l.own)
		return
	}
	if before(l.at(l.last.first), l.last.first, t, slot) { // within the last run
		n := l.within(l.last, t, slot)
		l.settle(run{l.last.first, n}, &l.own)
		l.settle(run{slot, 1}, &l.own)
		l.last = run{l.last.first + n, l.last.n - n}
		return
	}
	c, i := l.find(t, slot)
	if c < 0 { // before all others
		if len(l.chunks) == 0 {
			l.settle(run{slot, 1}, &l.own)
		} else {
			l.splice(0, 0, 0, run{slot, 1})
		}
		return
	}
	r := l.chunks[c][i]
	n := l.within(r, t, slot)
	switch {
	case n < r.n:
		l.splice(c, i, 1, run{r.first, n}, run{slot, 1}, run{r.first + n, r.n - n})
	case slot == r.end()+1:
		l.splice(c, i, 1, run{r.first, r.n + 1})
	default:
		l.splice(c, i+1, 0, run{slot, 1})
	}
}

// remove takes a slot out that stands under time t; l.at still says so.
func (l *lineEdit) remove(slot uint32) {
	if l.last.first <= slot && slot <= l.last.end() && l.last.n > 0 {
		head, tail := run{l.last.first, slot - l.last.first}, run{slot + 1, l.last.end() - slot}
		switch {
		case tail.n == 0 && head.n == 0:
			l.last = run{}
			l.refill()
		case tail.n == 0:
			l.last = head
		default:
			if head.n > 0 {
				l.settle(head, &l.own)
			}
			l.last = tail
		}
		return
	}
	c, i := l.find(l.at(slot), slot)
	r := l.chunks[c][i]
	var rest []run
	if slot > r.first {
		rest = append(rest, run{r.first, slot - r.first})
	}
	if slot < r.end() {
		rest = append(rest, run{slot + 1, r.end() - slot})
	}
	l.splice(c, i, 1, rest...)
}

// refill takes the last run of the chunks as the last of all.
func (l *lineEdit) refill() {
	if n := len(l.chunks); n > 0 {
		chunk := l.chunks[n-1]
		l.last = chunk[len(chunk)-1]
		l.splice(n-1, len(chunk)-1, 1)
	}
}

// find returns the last run that begins at or before a place, -1 where there is none; last is not looked at.
func (l *lineEdit) find(t int64, slot uint32) (chunk, i int) {
	after := func(r run) bool { return before(t, slot, l.at(r.first), r.first) }
	c := sort.Search(len(l.chunks), func(c int) bool { return after(l.chunks[c][0]) }) - 1
	if c < 0 {
		return -1, 0
	}
	return c, sort.Search(len(l.chunks[c]), func(i int) bool { return after(l.chunks[c][i]) }) - 1
}

// within counts the slots of a run that stand before a place.
func (l *lineEdit) within(r run, t int64, slot uint32) uint32 {
	return uint32(sort.Search(int(r.n), func(i int) bool {
		return before(t, slot, l.at(r.first+uint32(i)), r.first+uint32(i))
	}))
}

// splice replaces n runs of a chunk from i on.
func (l *lineEdit) splice(c, i, n int, with ...run) {
	if !l.own {
		l.chunks, l.own = slices.Clone(l.chunks), true
	}
	old := l.chunks[c]
	chunk := make([]run, 0, max(maxRuns, len(old)+len(with)))
	chunk = append(append(append(chunk, old[:i]...), with...), old[i+n:]...)
	switch {
	case len(chunk) == 0:
		l.chunks = slices.Delete(l.chunks, c, c+1)
	case len(chunk) > maxRuns:
		half := len(chunk) / 2
		tail := append(make([]run, 0, maxRuns), chunk[half:]...)
		l.chunks[c] = chunk[:half:half]
		l.chunks = slices.Insert(l.chunks, c+1, tail)
	default:
		l.chunks[c] = chunk
	}
}

// runs returns the runs of slots from time since up to but not with until, oldest first or newest first.
func (l timeline) runs(oldest bool, since, until int64, at func(slot uint32) int64) iter.Seq[run] {
	return func(yield func(run) bool) {
		chunks := l.chunks
		if l.last.n > 0 {
			chunks = append(chunks[:len(chunks):len(chunks)], []run{l.last})
		}
		from := sort.Search(len(chunks), func(c int) bool { return at(chunks[c][len(chunks[c])-1].end()) >= since })
		to := sort.Search(len(chunks), func(c int) bool { return at(chunks[c][0].first) >= until })
		for n := range max(0, to-from) {
			chunk := chunks[from+n]
			if !oldest {
				chunk = chunks[to-1-n]
			}
			for i := range chunk {
				r := chunk[i]
				if !oldest {
					r = chunk[len(chunk)-1-i]
				}
				if r = r.between(since, until, at); r.n > 0 && !yield(r) {
					return
				}
			}
		}
	}
}

// between cuts off what of a run is before since, or not before until.
func (r run) between(since, until int64, at func(slot uint32) int64) run {
	if at(r.first) < since {
		n := uint32(sort.Search(int(r.n), func(i int) bool { return at(r.first+uint32(i)) >= since }))
		r.first, r.n = r.first+n, r.n-n
	}
	if r.n > 0 && at(r.end()) >= until {
		r.n = uint32(sort.Search(int(r.n), func(i int) bool { return at(r.first+uint32(i)) >= until }))
	}
	return r
}
