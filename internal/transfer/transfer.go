// Package transfer carries records out of memories and into them: as JSON Lines, which people and programs can read, from
// the Python framework's backups, and to and from collections of a Chroma server.
//
// How to read it. This file has both directions: Export brings a memory to a Sink, Import brings a Source into a memory.
// lines.go is JSON Lines, document.go the Python framework's JSON, chroma.go both ends of a Chroma collection, and
// client.go what is said to a Chroma server.
//
// Both directions go in batches and can be broken off and begun again: records are told apart by their IDs, and what is
// there already is not carried again. Nothing is ever replaced.
package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// Bounds of what is carried at once: some 2 MB of usual records with their vectors, and of very long ones what fits an
// answer of the host's.
const (
	batchRecords = 256
	batchBytes   = 32 << 20
)

// Given is in the place of an embedder's name where nobody says whose the vectors are. It is memory.GivenEmbedder.
const Given = memory.GivenEmbedder

// Progress is told now and then how far a transfer is: done records are carried or were there already; part is how much
// of the whole that is, 0 to 1, or less than 0 where nobody knows.
type Progress func(done int, part float64)

// Result tells what a transfer has done.
type Result struct {
	Carried int `json:"carried"` // records that were not there
	There   int `json:"there"`   // records that were there already
	Left    int `json:"left"`    // records that the far side cannot take: see Sink
}

// Sink takes records.
type Sink interface {
	// Put takes a batch. Records that are there already stay as they are. Left are those that cannot be taken.
	Put(ctx context.Context, records []api.Record) (Result, error)
}

// Source gives records, in batches.
type Source interface {
	// Embedder names whose vectors its records have: Given where nobody says, "" where there are none.
	Embedder() string
	// Next returns the next records, leaving out those that known says are there, and how many these were. A batch may be
	// empty; after the last one the error is io.EOF.
	Next(ctx context.Context, known func(ids []string) (map[string]bool, error)) (records []api.Record, there int, err error)
	// Place says where a record of the last batch stands, for people: "notes.jsonl: line 3".
	Place(id string) string
	// Part is how much of the whole has been given: see Progress.
	Part() float64
	Close() error
}

// Export carries all records of a memory, oldest first, to a sink. What is added meanwhile is carried, too, or left to
// the next time. vectors says whether the vectors come along.
func Export(ctx context.Context, m api.Memory, to Sink, vectors bool, progress Progress) (total Result, err error) {
	count, err := m.Count(ctx, nil)
	if err != nil {
		return total, fmt.Errorf("export memory: %w", err)
	}
	sel := api.Selection{Oldest: true, Limit: batchRecords, Vectors: vectors}
	for {
		records, err := m.Get(ctx, sel)
		if err != nil && sel.Limit > 1 && ctx.Err() == nil {
			sel.Limit = 1 // very long records, perhaps, which are too much for one answer
			continue
		}
		if err != nil {
			return total, fmt.Errorf("export memory: %w", err)
		}
		sel.Limit = min(2*sel.Limit, batchRecords)
		if len(records) == 0 {
			return total, nil
		}
		result, err := to.Put(ctx, records)
		total.add(result)
		if err != nil {
			return total, fmt.Errorf("export memory: %w", err)
		}
		progress(total.done(), part(total.done(), count))
		// The next page begins at the time of the last record, behind those of that time that have been carried: a place
		// that stays the same whatever is added or deleted elsewhere.
		last := records[len(records)-1].Time
		if !last.Equal(sel.Since) {
			sel.Since, sel.Offset = last, 0
		}
		for _, r := range records {
			if r.Time.Equal(last) {
				sel.Offset++
			}
		}
	}
}

// Import carries all records of a source into a memory. With again, vectors are left behind, and the memory makes its
// own.
func Import(ctx context.Context, m api.Memory, from Source, again bool, progress Progress) (total Result, err error) {
	known := func(ids []string) (map[string]bool, error) {
		there := make(map[string]bool, len(ids))
		return there, find(ctx, m, ids, there)
	}
	for {
		records, there, err := from.Next(ctx, known)
		total.There += there
		if isEnd(err) {
			return total, nil
		}
		if err != nil {
			return total, fmt.Errorf("import: %w", err)
		}
		if again {
			for i := range records {
				records[i].Vector = nil
			}
		}
		for len(records) > 0 {
			n := 1
			for bytes := size(records[0]); n < len(records) && bytes+size(records[n]) <= batchBytes; n++ {
				bytes += size(records[n])
			}
			carried, err := add(ctx, m, records[:n], from)
			total.Carried += carried
			if err != nil {
				return total, fmt.Errorf("import into memory: %w", err)
			}
			records = records[n:]
		}
		progress(total.done(), from.Part())
	}
}

// add adds records. Where the memory refuses one of them, those before it are added, and the error says which it is.
func add(ctx context.Context, m api.Memory, records []api.Record, from Source) (int, error) {
	_, err := m.Add(ctx, records)
	if err == nil {
		return len(records), nil
	}
	if !errors.Is(err, api.ErrInvalid) && !errors.Is(err, api.ErrTooLarge) {
		return 0, err
	}
	for i, r := range records {
		if _, err := m.Add(ctx, []api.Record{r}); err != nil {
			return i, fmt.Errorf("%s: %w", from.Place(r.ID), err)
		}
	}
	return len(records), nil // each for itself is taken: together they were too large
}

// find looks which records are there. Those that are too much for one answer are asked for in halves.
func find(ctx context.Context, m api.Memory, ids []string, there map[string]bool) error {
	records, err := m.Get(ctx, api.Selection{IDs: ids})
	if err != nil && len(ids) > 1 && ctx.Err() == nil {
		half := len(ids) / 2
		if err := find(ctx, m, ids[:half], there); err != nil {
			return err
		}
		return find(ctx, m, ids[half:], there)
	}
	for _, r := range records {
		there[r.ID] = true
	}
	return err
}

// size is about what a record takes on its way, in bytes.
func size(r api.Record) int { return len(r.Text) + 12*len(r.Vector) + 100*len(r.Metadata) }

func (r *Result) add(other Result) {
	r.Carried += other.Carried
	r.There += other.There
	r.Left += other.Left
}

func (r Result) done() int { return r.Carried + r.There + r.Left }

func part(done, of int) float64 {
	if of == 0 {
		return 1
	}
	return min(float64(done)/float64(of), 1)
}
