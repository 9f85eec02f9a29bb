package table

import (
	"cmp"
	"hash/maphash"
	"iter"
	"math"
	"math/bits"
	"slices"
	"time"
	"unsafe"
)

// Snapshot is a table at one moment. Any number of goroutines may read it.
type Snapshot struct {
	seed      maphash.Seed
	dimension int
	blocks    []*block
	ids       *finder // slots
	keys      keys
	dict      dictionary
	line      timeline

	rows, vectors int
	texts         int   // metadata values that are strings
	weight        int64 // bytes of the rows
	lastSeq       uint64
}

// Select says which rows are meant: those for which all that is set here holds.
type Select struct {
	IDs          []string  // nil: any. Unknown ones are passed over, repeated ones count once.
	Since, Until time.Time // from Since, up to but not with Until; zero: no bound
	Filter       *Filter
	Now          time.Time // rows with Expires at or before it are not there; zero: all are
}

// Len counts the rows.
func (s *Snapshot) Len() int { return s.rows }

// Dimension is that of the vectors; of a table without any, that which it had or was made for, or 0.
func (s *Snapshot) Dimension() int { return s.dimension }

// Get returns the row with an ID, or nil.
func (s *Snapshot) Get(id string) *Row {
	if slot, ok := s.find(id); ok {
		return s.row(slot)
	}
	return nil
}

// ByTime returns the selected rows in the order of time, newest first unless oldest; rows of the same time in the
// order (or the reverse) of adding.
func (s *Snapshot) ByTime(sel Select, oldest bool) iter.Seq[*Row] {
	if sel.IDs != nil {
		rows := s.named(sel)
		slices.SortStableFunc(rows, func(a, b *Row) int { return cmp.Compare(micros(a.Time), micros(b.Time)) })
		if !oldest {
			slices.Reverse(rows)
		}
		return slices.Values(rows)
	}
	return func(yield func(*Row) bool) {
		p := s.planned(sel)
		verdicts := make([]*verdict, len(s.blocks))
		for r := range s.line.runs(oldest, p.since, p.until, s.time) {
			for r.n > 0 {
				// The part of the run that lies in one block, at the end that comes first.
				first, end := r.first, r.end()
				if oldest {
					end = min(end, first|(blockSlots-1))
					r.first, r.n = end+1, r.n-(end-first+1)
				} else {
					first = max(first, end&^(blockSlots-1))
					r.n -= end - first + 1
				}
				n := int(first / blockSlots)
				if verdicts[n] == nil {
					v := p.verdict(n)
					verdicts[n] = &v
				}
				if !verdicts[n].each(p, s.blocks[n], int(first%blockSlots), int(end%blockSlots), oldest, yield) {
					return
				}
			}
		}
	}
}

// ByAdding returns the selected rows in the order of adding.
func (s *Snapshot) ByAdding(sel Select) iter.Seq[*Row] {
	if sel.IDs != nil {
		return slices.Values(s.named(sel))
	}
	return func(yield func(*Row) bool) {
		p := s.planned(sel)
		for n, b := range s.blocks {
			v := p.verdict(n)
			if !v.each(p, b, 0, blockSlots-1, true, yield) {
				return
			}
		}
	}
}

// each yields the rows of a block from one place to another (both included), in one direction or the other.
func (v *verdict) each(p *plan, b *block, first, end int, up bool, yield func(*Row) bool) bool {
	for n := first >> 6; n <= end>>6; n++ {
		w := n
		if !up {
			w = first>>6 + end>>6 - n
		}
		word := v.yes[w] | v.maybe[w]
		if low := first - 64*w; low > 0 {
			word &= ^uint64(0) << low
		}
		if high := end - 64*w; high < 63 {
			word &= 1<<(high+1) - 1
		}
		for word != 0 {
			bit := bits.TrailingZeros64(word)
			if !up {
				bit = 63 - bits.LeadingZeros64(word)
			}
			word &^= 1 << bit
			r := b.rows[64*w+bit]
			if v.maybe[w]>>bit&1 != 0 && !p.match(r) {
				continue
			}
			if !yield(r) {
				return false
			}
		}
	}
	return true
}

// named returns the selected rows among those with the IDs of a selection, in the order of adding.
func (s *Snapshot) named(sel Select) []*Row {
	p := s.planned(sel)
	slots := make([]uint32, 0, len(sel.IDs))
	for _, id := range sel.IDs {
		if slot, ok := s.find(id); ok {
			slots = append(slots, slot)
		}
	}
	slices.Sort(slots)
	var rows []*Row
	for _, slot := range slices.Compact(slots) {
		if r := s.row(slot); p.holds(r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// Count counts the selected rows.
func (s *Snapshot) Count(sel Select) int {
	if sel.IDs != nil {
		return len(s.named(sel))
	}
	p, count := s.planned(sel), 0
	for n, b := range s.blocks {
		v := p.verdict(n)
		count += v.yes.count()
		v.yes = mask{}
		v.each(p, b, 0, blockSlots-1, true, func(*Row) bool { count++; return true })
	}
	return count
}

// Expired returns the rows whose Expires is at or before now, in the order of adding.
func (s *Snapshot) Expired(now time.Time) []*Row {
	var rows []*Row
	for _, b := range s.blocks {
		if b.soonest > micros(now) {
			continue
		}
		for i := range b.used {
			if b.live.has(i) && b.expires[i] <= micros(now) {
				rows = append(rows, b.rows[i])
			}
		}
	}
	return rows
}

// Oldest returns the n oldest rows by time, oldest first.
func (s *Snapshot) Oldest(n int) []*Row {
	var rows []*Row
	if n <= 0 {
		return nil
	}
	for r := range s.ByTime(Select{}, true) {
		if rows = append(rows, r); len(rows) == n {
			break
		}
	}
	return rows
}

// slots is how many were given out.
func (s *Snapshot) slots() int {
	if len(s.blocks) == 0 {
		return 0
	}
	return (len(s.blocks)-1)*blockSlots + s.blocks[len(s.blocks)-1].used
}

// row returns the row of a slot, or nil: gone, or not yet there.
func (s *Snapshot) row(slot uint32) *Row {
	n, i := int(slot/blockSlots), int(slot%blockSlots)
	if n >= len(s.blocks) || !s.blocks[n].live.has(i) {
		return nil
	}
	return s.blocks[n].rows[i]
}

// time returns the time of a slot, also of one whose row is gone.
func (s *Snapshot) time(slot uint32) int64 { return s.blocks[slot/blockSlots].times[slot%blockSlots] }

// find returns the slot of an ID.
func (s *Snapshot) find(id string) (slot uint32, ok bool) {
	return s.ids.find(maphash.String(s.seed, id), func(slot uint32) bool {
		r := s.row(slot)
		return r != nil && r.ID == id
	})
}

// weigh takes note that a row came (1) or went (-1).
func (s *Snapshot) weigh(r *Row, sign int) {
	const mapBytes, entryBytes = 48, 40 // about what package runtime takes
	bytes := int(unsafe.Sizeof(*r)) + len(r.ID) + len(r.Text) + 4*len(r.Vector)
	if r.Metadata != nil {
		bytes += mapBytes
	}
	if r.URI != nil {
		bytes += len(*r.URI) + 16
	}
	for key, v := range r.Metadata {
		bytes += entryBytes + len(key) + 8
		if text, ok := v.(string); ok {
			bytes += len(text) + 8
			s.texts += sign
		}
	}
	s.rows += sign
	s.weight += int64(sign * bytes)
}

// Bytes estimates the memory that the rows and all that is built over them take.
func (s *Snapshot) Bytes() int64 { return s.weight + s.overhead() }

// overhead is the memory of what is built over the rows.
func (s *Snapshot) overhead() int64 {
	total := int64(8*len(s.ids.cells) + 8*len(s.dict.codes.cells) + 16*len(s.dict.texts))
	for _, chunk := range s.line.chunks {
		total += int64(8 * cap(chunk))
	}
	for _, b := range s.blocks {
		total += int64(unsafe.Sizeof(*b)) + int64(unsafe.Sizeof(*b.times))
		if b.rows != nil {
			total += int64(unsafe.Sizeof(*b.rows))
		}
		if b.expires != nil {
			total += int64(unsafe.Sizeof(*b.expires))
		}
		if b.grams != nil {
			total += int64(unsafe.Sizeof(*b.grams))
		}
		for _, slab := range b.slabs {
			if slab != nil {
				total += slab.Bytes()
			}
		}
		for _, c := range b.columns {
			if c.cells != nil {
				total += int64(unsafe.Sizeof(cells{}))
			}
			if c.summary != nil {
				total += int64(unsafe.Sizeof(summary{}))
			}
		}
	}
	return total
}

const (
	always     = math.MinInt64 // before all times
	endOfTimes = math.MaxInt64
)
