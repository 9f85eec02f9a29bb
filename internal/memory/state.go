package memory

import (
	"errors"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// record is one stored record. It is never changed once it is in a state or a batch: readers use it without a lock.
type record struct {
	api.Record        // Vector as it was given or embedded; nil where the text is blank
	seq        uint64 // place on disk; orders records of the same time by when they were added
}

// state is what a memory holds, as readers see it.
type state struct {
	space   space
	records map[string]*record
	line    timeline
	index   Index
	lastSeq uint64
}

// newState builds the state of loaded records.
func newState(sp space, records []*record) (*state, error) {
	s := &state{}
	s.reset(sp)
	for _, r := range records {
		if s.records[r.ID] != nil {
			return nil, fmt.Errorf("two records have the ID %q", r.ID)
		}
		s.records[r.ID] = r
		s.lastSeq = max(s.lastSeq, r.seq)
		if r.Vector != nil {
			if err := s.index.Add(r.ID, r.Vector); err != nil {
				return nil, err
			}
		}
	}
	s.line = s.line.insert(records)
	return s, nil
}

func (s *state) len() int { return len(s.records) }

func (s *state) reset(sp space) {
	s.space = sp
	s.records = make(map[string]*record)
	s.line = nil
	s.index = newChromem(sp.Dimension)
}

// apply makes a saved batch visible. The caller holds the store's lock.
func (s *state) apply(b *batch) error {
	if b.cleared || b.space != s.space {
		// A batch changes the space only when nothing of the old one is left, so the index can start anew.
		old := s.records
		s.reset(b.space)
		if !b.cleared {
			for id := range old {
				if _, ok := b.changed[id]; !ok {
					return fmt.Errorf("record %q would be left without an index", id)
				}
			}
		}
	}
	s.lastSeq = b.lastSeq

	var gone, come []*record
	var errs []error
	for _, id := range b.order {
		old, r := s.records[id], b.changed[id]
		if old != nil {
			gone = append(gone, old)
			delete(s.records, id)
			if r == nil || r.Vector == nil {
				errs = append(errs, s.index.Delete(id))
			}
		}
		if r != nil {
			come = append(come, r)
			s.records[id] = r
			if r.Vector != nil && (old == nil || !same(old.Vector, r.Vector)) {
				errs = append(errs, s.index.Add(id, r.Vector))
			}
		}
	}
	s.line = s.line.remove(gone).insert(come)
	return errors.Join(errs...)
}

// same reports whether a and b are one slice.
func same(a, b []float32) bool { return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] }
