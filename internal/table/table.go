// Package table holds the records of a memory in RAM and answers questions about them: which match a filter, in the
// order of time or of adding, and which are nearest to a vector, exactly. It knows nothing of files and of embedders.
//
// How to read it. table.go says what a row and a change are. A row has a slot, its place in the order of adding; 1,024
// slots are a block (block.go), which holds them by column: rows, times, vectors in compact form (package vector),
// metadata (column.go, keys.go) and what is known of the texts (text.go). apply.go makes a change: it copies what it
// changes, and publishes the whole as a new Snapshot (snapshot.go) by storing one pointer. So readers wait for nobody,
// and nobody for them. build.go makes a table of many rows at once, compact.go gives back what is gone. timeline.go is
// the order of time, finder.go a hash table that readers need no lock for.
//
// filter.go says what a filter means, row by row; plan.go prepares it for a snapshot and decide.go answers it, block by
// block, with the inner loops of kernels.go. nearest.go finds the nearest.
package table

import (
	"sync/atomic"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Row is one record of a table. It is never changed once it is in one.
type Row struct {
	api.Record        // Vector as given, nil: none; Metadata of the four kinds (see Value); times to the microsecond
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
	// Dimension of the vectors that New is given; 0: that of the first. A table that has no vectors any more takes
	// those of any dimension.
	Dimension int
}

// Table is a set of rows. One goroutine at a time may change it; any number may read its snapshots meanwhile.
type Table struct {
	current atomic.Pointer[Snapshot]
}

// Change is what one Apply does: first Clear, then Delete, then Put.
type Change struct {
	Clear  bool
	Delete []string // IDs; unknown ones are passed over
	Put    []*Row   // new rows, and rows in the place of those with the same ID (they keep its Seq)
}

// Snapshot returns the table as it is now; later changes are not seen in it.
func (t *Table) Snapshot() *Snapshot { return t.current.Load() }

// micros is a time as it is compared.
func micros(t time.Time) int64 { return t.UnixMicro() }

// upper is the first microsecond that is not before t.
func upper(t time.Time) int64 {
	u := t.UnixMicro()
	if time.UnixMicro(u).Before(t) {
		u++
	}
	return u
}

// seconds is a time as metadata hold it.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
