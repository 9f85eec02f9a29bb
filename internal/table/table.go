// Package table holds the records of a memory in RAM and answers questions about them: which match a filter, in the
// order of time or of adding, and which are nearest to a vector. It knows nothing of files and of embedders.
package table

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Row is one record of a table. It is never changed once it is in one.
type Row struct {
	api.Record        // Vector as given, nil: none; Metadata of the four kinds (see Value)
	Seq        uint64 // when it was added: unique, grows; an update keeps it
	NoText     bool   // the text is null rather than empty (clients of the Chroma API tell them apart)
	NoMetadata bool   // likewise
	URI        *string
}

// Options say how a table reads its rows.
type Options struct {
	// TimeKey is the metadata key under which filters see the time of a row that has no such key of its own, as a
	// float of seconds since 1970. "" for none.
	TimeKey string
	// Dimension of the vectors; 0: that of the first. A table that has no vectors any more takes any.
	Dimension int
}

// Table is a set of rows. One goroutine at a time may change it; any number may read its snapshots meanwhile.
type Table struct {
	opt     Options
	current atomic.Pointer[Snapshot]
}

// Change is what one Apply does: first Clear, then Delete, then Put.
type Change struct {
	Clear  bool
	Delete []string // IDs; unknown ones are passed over
	Put    []*Row   // new rows, and rows in the place of those with the same ID (they keep its Seq)
}

// New makes a table of rows, in any order, whose IDs and Seqs are unique.
func New(opt Options, rows []*Row) (*Table, error) {
	t := &Table{opt: opt}
	s, err := newSnapshot(opt, rows)
	if err != nil {
		return nil, fmt.Errorf("build table: %w", err)
	}
	t.current.Store(s)
	return t, nil
}

// Snapshot returns the table as it is now; later changes are not seen in it.
func (t *Table) Snapshot() *Snapshot { return t.current.Load() }

// Apply makes one change visible as a whole. After an error nothing is changed.
func (t *Table) Apply(change Change) error {
	gone := make(map[string]bool)
	for _, id := range change.Delete {
		gone[id] = true
	}
	for _, r := range change.Put {
		gone[r.ID] = true
	}
	var rows []*Row
	if !change.Clear {
		for _, r := range t.Snapshot().rows {
			if !gone[r.ID] {
				rows = append(rows, r)
			}
		}
	}
	opt := t.opt
	opt.Dimension = 0
	s, err := newSnapshot(opt, append(rows, change.Put...))
	if err != nil {
		return fmt.Errorf("change table: %w", err)
	}
	t.current.Store(s)
	return nil
}

func newSnapshot(opt Options, rows []*Row) (*Snapshot, error) {
	s := &Snapshot{opt: opt, rows: slices.Clone(rows), ids: make(map[string]*Row, len(rows))}
	for _, r := range rows {
		if s.ids[r.ID] != nil {
			return nil, fmt.Errorf("two rows have the ID %q", r.ID)
		}
		s.ids[r.ID] = r
		if r.Vector == nil {
			continue
		}
		if s.opt.Dimension == 0 {
			s.opt.Dimension = len(r.Vector)
		}
		if len(r.Vector) != s.opt.Dimension {
			return nil, fmt.Errorf("vector of %q has %d dimensions, not %d: %w", r.ID, len(r.Vector), s.opt.Dimension, api.ErrInvalid)
		}
	}
	slices.SortFunc(s.rows, func(a, b *Row) int { return int(a.Seq) - int(b.Seq) })
	return s, nil
}

// seconds is a time as metadata hold it.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
