package memory

import (
	"iter"
)

// batch is the changes of one transaction over a state: writes are planned against it, see what earlier writes of the
// batch did, and change nothing else until it is saved. It belongs to the committer.
//
// A plan checks everything first and changes the batch last, so that a refused write leaves nothing behind.
type batch struct {
	base    *state
	cleared bool               // what base holds is gone
	changed map[string]*record // nil: removed
	order   []string           // the keys of changed, in the order of their first change
	space   space
	count   int // records, with the changes
	lastSeq uint64
	bytes   int // how much there is to write, roughly
}

func newBatch(base *state) *batch {
	return &batch{base: base, changed: make(map[string]*record), space: base.space, count: base.len(), lastSeq: base.lastSeq}
}

func (b *batch) empty() bool { return !b.cleared && len(b.order) == 0 }

// get returns the record, or nil where there is none.
func (b *batch) get(id string) *record {
	if r, ok := b.changed[id]; ok {
		return r
	}
	return b.stored(id)
}

// stored returns the record as it is on disk, unless the batch clears that.
func (b *batch) stored(id string) *record {
	if b.cleared {
		return nil
	}
	return b.base.records[id]
}

// all returns every record, in no particular order.
func (b *batch) all() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		if !b.cleared {
			for id, r := range b.base.records {
				if _, ok := b.changed[id]; !ok && !yield(r) {
					return
				}
			}
		}
		for _, r := range b.changed {
			if r != nil && !yield(r) {
				return
			}
		}
	}
}

// add stores a new record, at the end of the disk's order.
func (b *batch) add(r *record) {
	b.lastSeq++
	r.seq = b.lastSeq
	b.count++
	b.put(r)
}

// replace stores r in the place of the record with its ID.
func (b *batch) replace(old, r *record) {
	r.seq = old.seq
	b.put(r)
}

func (b *batch) remove(id string) {
	if b.get(id) == nil {
		return
	}
	b.count--
	b.set(id, nil)
}

func (b *batch) clear() {
	b.cleared = true
	b.count = 0
	b.order = nil
	clear(b.changed)
}

func (b *batch) put(r *record) {
	b.bytes += len(r.ID) + len(r.Text) + 4*len(r.Vector) + 64*(1+len(r.Metadata))
	b.set(r.ID, r)
}

func (b *batch) set(id string, r *record) {
	if _, ok := b.changed[id]; !ok {
		b.order = append(b.order, id)
	}
	b.changed[id] = r
}
