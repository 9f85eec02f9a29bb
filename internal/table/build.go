package table

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/vector"
)

// New makes a table of rows, in any order, whose IDs and Seqs are unique.
func New(opt Options, rows []*Row) (*Table, error) {
	s, err := build(opt.TimeKey, opt.Dimension, rows)
	if err != nil {
		return nil, fmt.Errorf("build table: %w", err)
	}
	t := new(Table)
	t.current.Store(s)
	return t, nil
}

// build makes a snapshot of rows. What is of each row alone is made by all cores but one; meanwhile this one does the
// rest, in which one row depends on those before.
func build(timeKey string, dimension int, rows []*Row) (*Snapshot, error) {
	order := func(a, b *Row) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(rows, order) {
		rows = slices.Clone(rows)
		slices.SortFunc(rows, order)
	}
	seed := maphash.MakeSeed()
	s := &Snapshot{seed: seed, dimension: dimension, ids: newFinder(len(rows)), keys: keys{time: timeKey},
		dict: dictionary{seed: seed, codes: newFinder(0)}}
	if timeKey != "" {
		s.keys.number(timeKey) // has a column in any case
	}
	if len(rows) == 0 {
		s.keys.own = false
		return s, nil
	}
	for i := 0; s.dimension == 0 && i < len(rows); i++ {
		s.dimension = len(rows[i].Vector)
	}
	edits := make([]*edit, (len(rows)+blockSlots-1)/blockSlots)
	for i := range edits {
		edits[i] = fresh()
		s.blocks = append(s.blocks, edits[i].block)
	}
	wait := prepare(s.dimension, rows, edits)
	err := s.fill(rows, edits)
	if err = errors.Join(err, wait()); err != nil {
		return nil, err
	}
	for _, b := range s.blocks {
		s.vectors += b.vectors.count()
	}
	return s, nil
}

// prepare starts to make the compact vectors of all rows and the summaries of their texts; wait ends when all are made.
func prepare(dimension int, rows []*Row, edits []*edit) (wait func() error) {
	var next atomic.Int64
	work := func() error {
		for {
			n := int(next.Add(1)) - 1
			if n >= len(edits) {
				return nil
			}
			part := rows[n*blockSlots : min(len(rows), (n+1)*blockSlots)]
			for i, r := range part {
				if err := checkVector(r, dimension); err != nil {
					return err
				}
				edits[n].setVector(i, r, nil)
			}
			if len(part) == blockSlots {
				edits[n].setTexts(part)
			}
		}
	}
	errs := make([]error, min(len(edits), runtime.GOMAXPROCS(0))-1)
	var working sync.WaitGroup
	for i := range errs {
		working.Go(func() { errs[i] = work() })
	}
	return func() error {
		err := work() // what is left
		working.Wait()
		return errors.Join(append(errs, err)...)
	}
}

func checkVector(r *Row, dimension int) error {
	if r.Vector == nil {
		return nil
	}
	if len(r.Vector) != dimension || dimension == 0 {
		return fmt.Errorf("vector of %q has %d dimensions, not %d: %w", r.ID, len(r.Vector), dimension, api.ErrInvalid)
	}
	if err := vector.Check(r.Vector); err != nil {
		return fmt.Errorf("vector of %q: %w", r.ID, err)
	}
	return nil
}

// fill does all but what prepare does.
func (s *Snapshot) fill(rows []*Row, edits []*edit) error {
	for i, r := range rows {
		if i > 0 && r.Seq == rows[i-1].Seq {
			return fmt.Errorf("rows %q and %q have the same Seq %d: %w", rows[i-1].ID, r.ID, r.Seq, api.ErrInvalid)
		}
		hash := maphash.String(s.seed, r.ID)
		if _, found := s.ids.find(hash, func(slot uint32) bool { return rows[slot].ID == r.ID }); found {
			return fmt.Errorf("two rows have the ID %q: %w", r.ID, api.ErrInvalid)
		}
		s.ids = s.ids.add(hash, uint32(i), func(uint32) bool { return true })
		edits[i/blockSlots].place(i%blockSlots, r, &s.keys, &s.dict)
		s.weigh(r, 1)
	}
	s.lastSeq = rows[len(rows)-1].Seq
	s.line = newTimeline(len(rows), s.time)
	s.keys.own = false
	return nil
}
