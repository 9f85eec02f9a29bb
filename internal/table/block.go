package table

import (
	"math"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/vector"
)

// blockSlots is how many slots a block has. A slot is the place of a row, in the order of adding.
const blockSlots = 1024

const slabs = blockSlots / vector.SlabRows

// block is 1,024 slots, by column. What a reader holds does not change: a block is copied to be changed, and of what it
// points to, that which changes. Only slots from used on are written behind the reader's back, as it never looks there.
type block struct {
	used          int  // slots given out
	live, vectors mask // slots that have a row; one with a vector

	rows    *[blockSlots]*Row  // nil where not live
	times   *[blockSlots]int64 // microseconds since 1970; stay after a row is gone
	expires *[blockSlots]int64 // likewise, never where it does not; nil: no row does
	slabs   [slabs]*vector.Slab
	columns []column // by the number of the key; shorter where the last have none
	grams   *grams   // of the texts; nil while the block is not full

	// Bounds of the times and of expires in the block; they may be too wide.
	earliest, latest, soonest int64
}

const never = math.MaxInt64

func newBlock() *block {
	return &block{rows: new([blockSlots]*Row), times: new([blockSlots]int64),
		earliest: math.MaxInt64, latest: math.MinInt64, soonest: never}
}

func (b *block) full() bool { return b.used == blockSlots }

func expiry(r *Row) int64 {
	if r.Expires.IsZero() {
		return never
	}
	return micros(r.Expires)
}

// edit is a block on its way to the next snapshot. It remembers which parts are its own already.
type edit struct {
	*block
	rowsOwn, timesOwn, expiresOwn, columnsOwn, gramsOwn bool

	slabsOwn [slabs]bool
	cellsOwn map[int]bool
}

func edited(b *block) *edit {
	c := *b
	return &edit{block: &c, cellsOwn: make(map[int]bool)}
}

// fresh is the edit of a block that no reader has: everything in it is its own.
func fresh() *edit {
	e := &edit{block: newBlock(), rowsOwn: true, timesOwn: true, expiresOwn: true, columnsOwn: true, cellsOwn: make(map[int]bool)}
	for i := range e.slabsOwn {
		e.slabsOwn[i] = true
	}
	return e
}

// own copies what *part points to before it is changed, once; not where only a slot behind what readers see is written.
func own[T any](part **T, owned *bool, behind bool) {
	if behind || *owned {
		return
	}
	c := **part
	*part, *owned = &c, true
}

// place puts a row into a slot: one that is new (i == used) or one that has a row already. The vector comes apart
// (see setVector), so that many can be made at once.
func (e *edit) place(i int, r *Row, names *keys, d *dictionary) {
	behind := i >= e.used
	e.used = max(e.used, i+1)
	own(&e.rows, &e.rowsOwn, behind)
	e.rows[i] = r
	e.live.set(i)

	t := micros(r.Time)
	if behind || e.times[i] != t {
		own(&e.times, &e.timesOwn, behind)
		e.times[i] = t
		e.earliest, e.latest = min(e.earliest, t), max(e.latest, t)
	}
	e.setExpires(i, expiry(r), behind)
	e.setCells(i, r, behind, names, d)
	if e.full() && behind {
		e.summarise(*d)
	}
}

func (e *edit) setExpires(i int, at int64, behind bool) {
	if e.expires == nil {
		if at == never {
			return
		}
		e.expires, e.expiresOwn = new([blockSlots]int64), true
		for j := range e.expires {
			e.expires[j] = never
		}
	}
	if e.expires[i] != at {
		own(&e.expires, &e.expiresOwn, behind)
		e.expires[i] = at
		e.soonest = min(e.soonest, at)
	}
}

// setCells writes the metadata of a row into the columns, and its time under the time key.
func (e *edit) setCells(i int, r *Row, behind bool, names *keys, d *dictionary) {
	for k := range e.columns {
		if c := e.columns[k].cells; !behind && c != nil && c.kinds[i] != absent {
			if _, stays := lookup(r, names.names[k], names.time); !stays {
				e.setCell(k, i, cell{}, behind, d)
			}
		}
	}
	for key, v := range r.Metadata {
		if k, ok := names.number(key); ok {
			e.setCell(k, i, d.encode(v), behind, d)
		}
	}
	if names.time != "" {
		if _, has := r.Metadata[names.time]; !has {
			if k, ok := names.number(names.time); ok {
				e.setCell(k, i, d.encode(seconds(r.Time)), behind, d)
			}
		}
	}
}

func (e *edit) setCell(k, i int, v cell, behind bool, d *dictionary) {
	if k < len(e.columns) && e.columns[k].cells != nil {
		if e.columns[k].cells.at(i) == v {
			return
		}
	} else {
		e.ownColumns(k + 1)
		e.columns[k].cells, e.cellsOwn[k] = &cells{}, true
		if e.full() {
			e.columns[k].summary = &summary{}
		}
	}
	if !behind && !e.cellsOwn[k] {
		e.ownColumns(0)
		c := *e.columns[k].cells
		e.columns[k].cells, e.cellsOwn[k] = &c, true
		if s := e.columns[k].summary; s != nil {
			c := *s
			e.columns[k].summary = &c
		}
	}
	e.columns[k].cells.set(i, v)
	if s := e.columns[k].summary; s != nil {
		s.add(v, *d)
	}
}

// ownColumns makes the list of columns the edit's own, and at least n long.
func (e *edit) ownColumns(n int) {
	if !e.columnsOwn || n > len(e.columns) {
		list := make([]column, max(n, len(e.columns)))
		copy(list, e.columns)
		e.columns, e.columnsOwn = list, true
	}
}

// summarise is called when the last slot was given out.
func (e *edit) summarise(d dictionary) {
	e.ownColumns(0)
	for k := range e.columns {
		if c := e.columns[k].cells; c != nil {
			e.columns[k].summary = summarise(c, d)
		}
	}
}

// setVector makes the compact form of a row's vector, or takes note that it has none. old is the row that was there.
func (e *edit) setVector(i int, r, old *Row) {
	if r.Vector == nil {
		e.vectors.unset(i)
		return
	}
	e.vectors.set(i)
	if old != nil && slices.Equal(old.Vector, r.Vector) {
		return
	}
	n := i / vector.SlabRows
	switch {
	case e.slabs[n] == nil:
		e.slabs[n], e.slabsOwn[n] = vector.NewSlab(len(r.Vector)), true
	case old != nil && !e.slabsOwn[n]:
		e.slabs[n], e.slabsOwn[n] = e.slabs[n].Clone(), true
	}
	e.slabs[n].Set(i%vector.SlabRows, r.Vector)
}

// setText takes in the text of a row that was put into a slot.
func (e *edit) setText(r *Row) {
	switch {
	case e.grams != nil:
		own(&e.grams, &e.gramsOwn, false)
		e.grams.add(r.Text)
	case e.full():
		e.setTexts(e.rows[:])
	}
}

// setTexts takes in the texts of a full block.
func (e *edit) setTexts(rows []*Row) {
	e.grams, e.gramsOwn = new(grams), true
	for _, r := range rows {
		if r != nil {
			e.grams.add(r.Text)
		}
	}
}

// remove takes the row out of a slot.
func (e *edit) remove(i int) {
	e.live.unset(i)
	e.vectors.unset(i)
	own(&e.rows, &e.rowsOwn, false)
	e.rows[i] = nil
	if e.expires != nil && e.expires[i] == e.soonest {
		e.soonest = never
		for j := range e.used {
			if e.live.has(j) {
				e.soonest = min(e.soonest, e.expires[j])
			}
		}
	}
	if e.full() && e.live.empty() { // nobody asks for anything but the times any more
		e.rows, e.expires, e.columns, e.grams, e.slabs, e.soonest = nil, nil, nil, nil, [slabs]*vector.Slab{}, never
	}
}
