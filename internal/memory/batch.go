package memory

import (
	"slices"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// batch is the changes of one transaction over a view: writes are planned against it, see what earlier writes of the
// batch did, and change nothing else until it is saved. It belongs to the committer.
//
// A plan checks everything first and changes the batch last, so that a refused write leaves nothing behind.
type batch struct {
	base    *view
	now     time.Time // of the whole batch
	head    header
	newHead bool                  // head is not base's
	cleared bool                  // what base holds is gone
	changed map[string]*table.Row // nil: removed
	order   []string              // the keys of changed, in the order of their first change
	refs    map[uint64]uint64     // new counts of references by Seq
	counted func(seq uint64) uint64
	count   int // records, with the changes
	lastSeq uint64
	bytes   int // how much there is to write, roughly
}

func (b *batch) empty() bool {
	return !b.cleared && !b.newHead && len(b.order) == 0 && len(b.refs) == 0
}

// get returns the record, or nil where there is none.
func (b *batch) get(id string) *table.Row {
	if r, ok := b.changed[id]; ok {
		return r
	}
	return b.stored(id)
}

// stored returns the record as it is on disk, unless the batch clears that.
func (b *batch) stored(id string) *table.Row {
	if b.cleared {
		return nil
	}
	return b.base.snap.Get(id)
}

// add stores a new record, at the end of the disk's order.
func (b *batch) add(r *table.Row) {
	b.lastSeq++
	r.Seq = b.lastSeq
	b.count++
	b.put(r)
}

// replace stores r in the place of the record with its ID.
func (b *batch) replace(old, r *table.Row) {
	r.Seq = old.Seq
	b.put(r)
}

func (b *batch) remove(id string) {
	r := b.get(id)
	if r == nil {
		return
	}
	delete(b.refs, r.Seq)
	b.count--
	b.set(id, nil)
}

func (b *batch) clear() {
	b.cleared = true
	b.count = 0
	b.order = nil
	clear(b.changed)
	clear(b.refs)
}

// refer counts one reference more.
func (b *batch) refer(r *table.Row) {
	n, ok := b.refs[r.Seq]
	if !ok {
		n = b.counted(r.Seq)
	}
	if b.refs == nil {
		b.refs = make(map[uint64]uint64)
	}
	b.refs[r.Seq] = n + 1
}

func (b *batch) sethead(change func(*header)) {
	change(&b.head)
	b.newHead = true
}

func (b *batch) setSpace(sp space) {
	if b.head.space != sp {
		b.sethead(func(h *header) { h.space = sp })
	}
}

func (b *batch) put(r *table.Row) {
	b.bytes += len(r.ID) + len(r.Text) + 4*len(r.Vector) + 64*(1+len(r.Metadata))
	b.set(r.ID, r)
}

func (b *batch) set(id string, r *table.Row) {
	if _, ok := b.changed[id]; !ok {
		b.order = append(b.order, id)
	}
	b.changed[id] = r
}

// sweep removes what has expired. It looks at base alone: it is called where nothing is planned yet.
func (b *batch) sweep() {
	for _, r := range b.base.snap.Expired(b.now) {
		b.remove(r.ID)
	}
	if since := b.head.settings.since(b.now); !since.IsZero() {
		for r := range b.base.snap.ByTime(table.Select{Until: since}, true) {
			b.remove(r.ID)
		}
	}
}

// trim removes the oldest records past the limit, those of the batch among them.
func (b *batch) trim() {
	limit := b.head.settings.Limit
	over := b.count - limit
	if limit == 0 || over <= 0 {
		return
	}
	var oldest []*table.Row
	if !b.cleared {
		for r := range b.base.snap.ByTime(table.Select{}, true) {
			if _, ok := b.changed[r.ID]; ok {
				continue
			}
			if oldest = append(oldest, r); len(oldest) == over {
				break
			}
		}
	}
	for _, r := range b.changed {
		if r != nil {
			oldest = append(oldest, r)
		}
	}
	slices.SortFunc(oldest, compare)
	for _, r := range oldest[:over] {
		b.remove(r.ID)
	}
}

// change is the batch as the table takes it.
func (b *batch) change() table.Change {
	c := table.Change{Clear: b.cleared}
	for _, id := range b.order {
		old, r := b.stored(id), b.changed[id]
		if old != nil && (r == nil || r.Seq != old.Seq) {
			c.Delete = append(c.Delete, id)
		}
		if r != nil {
			c.Put = append(c.Put, r)
		}
	}
	return c
}
