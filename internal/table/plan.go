package table

import (
	"cmp"
	"math"
	"slices"
)

// plan is a selection prepared for one snapshot: keys are columns, texts are codes.
type plan struct {
	s                 *Snapshot
	since, until, now int64
	filter            *Filter
	root              *step // of filter; nil: none
}

// step is a node of a filter, prepared.
type step struct {
	*node
	parts   []step
	where   place
	column  int
	wants   []cell               // of oneOf
	wanted  map[cell]bool        // of oneOf with many
	sieve   *[wantedWords]uint64 // of wanted: a bit for the hash of each, to answer most without the map
	low, up float64              // of ordered with a number: from low to up, both included
	text    string               // of ordered with a string
	isText  bool
	grams   []uint16 // of contains and matches: runs of bytes that a text that matches has
}

// place says where the values of a key are.
type place int

const (
	inColumn place = iota
	nowhere        // no row has the key
	inRows         // it has no column
)

// fewWants is up to how many values a column is compared with one by one.
const fewWants = 16

const wantedWords = 64

// verdict is the answer for the slots of one block: yes is for certain; maybe are rows to look at themselves.
type verdict struct{ yes, maybe mask }

func (s *Snapshot) planned(sel Select) *plan {
	p := &plan{s: s, since: always, until: endOfTimes, now: always, filter: sel.Filter}
	if !sel.Since.IsZero() {
		p.since = upper(sel.Since)
	}
	if !sel.Until.IsZero() {
		p.until = upper(sel.Until)
	}
	if !sel.Now.IsZero() {
		p.now = micros(sel.Now)
	}
	if sel.Filter != nil {
		root := s.prepare(&sel.Filter.root)
		p.root = &root
	}
	return p
}

// holds says whether a row is selected.
func (p *plan) holds(r *Row) bool {
	t := micros(r.Time)
	return p.since <= t && t < p.until && (expiry(r) > p.now) && p.match(r)
}

// match says whether the filter holds of a row.
func (p *plan) match(r *Row) bool { return p.filter.Match(r, p.s.keys.time) }

// prepare makes a step of a node. Parts that can be answered by columns come before those that cannot.
func (s *Snapshot) prepare(n *node) step {
	st := step{node: n}
	switch n.kind {
	case all, some:
		st.parts = make([]step, len(n.parts))
		for i := range n.parts {
			st.parts[i] = s.prepare(&n.parts[i])
		}
		slices.SortStableFunc(st.parts, func(a, b step) int { return cmp.Compare(a.cost(), b.cost()) })
		return st
	case contains:
		st.grams = gramsOf(n.text)
		return st
	case matches:
		prefix, _ := n.pattern.LiteralPrefix()
		st.grams = gramsOf(prefix)
		return st
	}
	k, ok := s.keys.numbers[n.key]
	switch {
	case ok:
		st.column = k
	case s.keys.more:
		st.where = inRows
	default:
		st.where = nowhere
	}
	if n.kind == oneOf {
		for v := range n.values {
			if c, ok := s.dict.search(v); ok {
				st.wants = append(st.wants, c)
			}
		}
		if len(st.wants) > fewWants {
			st.wanted, st.sieve = make(map[cell]bool, len(st.wants)), new([wantedWords]uint64)
			for _, c := range st.wants {
				st.wanted[c] = true
				h := c.hash()
				st.sieve[h>>58] |= 1 << (h >> 52 & 63)
			}
		}
		return st
	}
	if st.text, st.isText = n.value.(string); !st.isText {
		st.low, st.up = interval(n.op, n.value)
	}
	return st
}

// cost orders parts: columns, rows, patterns.
func (st *step) cost() int {
	switch {
	case st.kind == all || st.kind == some:
		most := 0
		for i := range st.parts {
			most = max(most, st.parts[i].cost())
		}
		return most
	case st.kind == matches:
		return 3
	case st.kind == contains:
		return 2
	case st.where == inRows:
		return 1
	}
	return 0
}

// interval is the float64 that op lets through, compared with a number in plain form.
func interval(op string, v any) (low, up float64) {
	var f float64
	if i, isInt := v.(int64); isInt {
		f = float64(i)
	} else {
		f = v.(float64)
	}
	c, _ := order(plain(f), v) // f is the nearest to v, not always v
	low, up = math.Inf(-1), math.Inf(1)
	switch op {
	case "gt", "gte":
		if low = f; !holds(op, c) {
			low = math.Nextafter(f, math.Inf(1))
		}
	default:
		if up = f; !holds(op, c) {
			up = math.Nextafter(f, math.Inf(-1))
		}
	}
	return low, up
}

// verdict says which rows of block n are selected.
func (p *plan) verdict(n int) verdict {
	b := p.s.blocks[n]
	v := verdict{yes: b.live}
	if b.earliest < p.since || b.latest >= p.until {
		for i := range b.used {
			if t := b.times[i]; t < p.since || t >= p.until {
				v.yes.unset(i)
			}
		}
	}
	if b.soonest <= p.now {
		for i := range b.used {
			if b.expires[i] <= p.now {
				v.yes.unset(i)
			}
		}
	}
	if p.root != nil && !v.yes.empty() {
		among := v.yes
		v = p.root.decide(p.s, b, &among)
	}
	return v
}
