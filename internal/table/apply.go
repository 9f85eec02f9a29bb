package table

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Apply makes one change visible as a whole. After an error nothing is changed.
//
// It takes as long as the change is big. Now and then, when half of the slots have come to be empty, they are made up
// for; when half of the texts in metadata are of rows that are gone, or a row comes that is older than others by its
// Seq, the table is built anew.
func (t *Table) Apply(change Change) error {
	s, err := t.Snapshot().with(change)
	if err != nil {
		return fmt.Errorf("change table: %w", err)
	}
	t.current.Store(s)
	return nil
}

// with returns s with a change.
func (s *Snapshot) with(change Change) (*Snapshot, error) {
	if change.Clear {
		return build(s.keys.time, 0, change.Put)
	}
	p, err := s.plan(change)
	if err != nil {
		return nil, err
	}
	if p.anew {
		return s.rebuilt(p)
	}
	w := newWriter(s)
	for _, slot := range p.gone {
		w.remove(slot)
	}
	for _, r := range p.replaced {
		w.replace(r.slot, r.row)
	}
	for _, r := range p.added {
		w.add(r)
	}
	n := w.finish(p.dimension)
	if n.wordy() {
		return build(n.keys.time, n.dimension, n.all())
	}
	if n.wasteful() {
		n = n.compacted()
	}
	return n, nil
}

// planned is a change that was checked: what it does to which slots.
type planned struct {
	gone      []uint32 // slots
	replaced  []replacement
	added     []*Row // by Seq
	dimension int    // of the table afterwards
	anew      bool   // it does not fit into the slots as they are
}

type replacement struct {
	slot uint32
	row  *Row
}

func (s *Snapshot) plan(change Change) (*planned, error) {
	p := &planned{dimension: s.dimension}
	going := make(map[uint32]bool, len(change.Delete))
	left := s.vectors // vectors that stay
	leave := func(slot uint32) {
		if s.row(slot).Vector != nil {
			left--
		}
	}
	for _, id := range change.Delete {
		if slot, ok := s.find(id); ok && !going[slot] {
			going[slot] = true
			leave(slot)
		}
	}
	seen := make(map[string]bool, len(change.Put))
	for _, r := range change.Put {
		if seen[r.ID] {
			return nil, fmt.Errorf("two rows have the ID %q: %w", r.ID, api.ErrInvalid)
		}
		seen[r.ID] = true
		slot, found := s.find(r.ID)
		switch {
		case found && !going[slot] && s.row(slot).Seq == r.Seq:
			p.replaced = append(p.replaced, replacement{slot, r})
			leave(slot)
			continue
		case found && !going[slot]:
			going[slot] = true
			leave(slot)
		}
		p.added = append(p.added, r)
	}
	for slot := range going {
		p.gone = append(p.gone, slot)
	}
	slices.SortFunc(p.added, func(a, b *Row) int { return cmp.Compare(a.Seq, b.Seq) })
	for i, last := 0, s.lastSeq; i < len(p.added); i++ {
		if p.added[i].Seq <= last && (i > 0 || s.slots() > 0) {
			p.anew = true
		}
		last = p.added[i].Seq
	}
	if uint64(s.slots())+uint64(len(p.added)) >= 1<<32-1 {
		p.anew = true
	}
	return p, p.check(s, change.Put, left)
}

// check looks at the vectors that come; left is how many stay.
func (p *planned) check(s *Snapshot, put []*Row, left int) error {
	for _, r := range put {
		if left == 0 && r.Vector != nil {
			p.dimension, left = len(r.Vector), 1 // the first of a table without any decides
		}
		if err := checkVector(r, p.dimension); err != nil {
			return err
		}
	}
	if p.dimension != s.dimension && s.slots() > 0 {
		p.anew = true // the slabs have the old one
	}
	return nil
}

// rebuilt makes a new snapshot of all rows that a change leaves.
func (s *Snapshot) rebuilt(p *planned) (*Snapshot, error) {
	out := make(map[uint32]bool, len(p.gone)+len(p.replaced))
	for _, slot := range p.gone {
		out[slot] = true
	}
	rows := p.added
	for _, r := range p.replaced {
		out[r.slot] = true
		rows = append(rows, r.row)
	}
	for slot := range s.slots() {
		if r := s.row(uint32(slot)); r != nil && !out[uint32(slot)] {
			rows = append(rows, r)
		}
	}
	return build(s.keys.time, p.dimension, rows)
}

// writer makes the next snapshot of one.
type writer struct {
	Snapshot
	edits map[int]*edit // by the number of the block
	line  lineEdit
}

func newWriter(s *Snapshot) *writer {
	w := &writer{Snapshot: *s, edits: make(map[int]*edit)}
	w.blocks = slices.Clone(s.blocks)
	w.line = lineEdit{timeline: s.line, at: w.time}
	return w
}

func (w *writer) edit(n int) *edit {
	e := w.edits[n]
	if e == nil {
		if n == len(w.blocks) {
			e = fresh()
			w.blocks = append(w.blocks, nil)
		} else {
			e = edited(w.blocks[n])
		}
		w.edits[n], w.blocks[n] = e, e.block
	}
	return e
}

func (w *writer) remove(slot uint32) {
	old := w.row(slot)
	w.weigh(old, -1)
	if old.Vector != nil {
		w.vectors--
	}
	w.edit(int(slot / blockSlots)).remove(int(slot % blockSlots))
}

func (w *writer) replace(slot uint32, r *Row) {
	e, i, old := w.edit(int(slot/blockSlots)), int(slot%blockSlots), w.row(slot)
	moved := micros(old.Time) != micros(r.Time)
	if moved {
		w.line.remove(slot)
	}
	w.weigh(old, -1)
	if old.Vector != nil {
		w.vectors--
	}
	w.place(e, i, r, old)
	if moved {
		w.line.insert(slot)
	}
}

func (w *writer) add(r *Row) {
	slot := uint32(w.slots())
	e, i := w.edit(int(slot/blockSlots)), int(slot%blockSlots)
	w.place(e, i, r, nil)
	w.lastSeq = r.Seq
	w.ids = w.ids.add(maphash.String(w.seed, r.ID), slot, func(slot uint32) bool { return w.row(slot) != nil })
	w.line.insert(slot)
}

func (w *writer) place(e *edit, i int, r, old *Row) {
	e.setVector(i, r, old)
	e.place(i, r, &w.keys, &w.dict)
	e.setText(r)
	if r.Vector != nil {
		w.vectors++
	}
	w.weigh(r, 1)
}

func (w *writer) finish(dimension int) *Snapshot {
	s := w.Snapshot
	s.line = w.line.timeline
	s.keys.own = false
	s.dimension = dimension
	return &s
}

// all returns the rows in the order of adding.
func (s *Snapshot) all() []*Row {
	rows := make([]*Row, 0, s.rows)
	for r := range s.ByAdding(Select{}) {
		rows = append(rows, r)
	}
	return rows
}
