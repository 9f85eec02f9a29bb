package rest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// A list of records has so many if nothing is said of it, and never more than the bound: ask again from an offset.
const (
	usualRecords = 100
	mostRecords  = 10_000
)

// memoriesQuery says which memories are meant.
type memoriesQuery struct {
	All bool `json:"all,omitempty"` // the other collections of Chroma clients, too
}

// recordsQuery says which records are meant.
type recordsQuery struct {
	Limit   int       `json:"limit,omitempty" schema:"minimum=0,maximum=10000,default=100"` // how many at most
	Offset  int       `json:"offset,omitempty" schema:"minimum=0,default=0"`                // records to pass over first
	Oldest  bool      `json:"oldest,omitempty"`                                             // begin with the oldest
	Since   time.Time `json:"since,omitzero"`                                               // of this time or later (RFC 3339)
	Until   time.Time `json:"until,omitzero"`                                               // before this time (RFC 3339)
	Vectors bool      `json:"vectors,omitempty"`                                            // with their vectors
}

// newMemory says how a memory is to be made.
type newMemory struct {
	Embedder string `json:"embedder,omitempty"` // whose vectors it is to have: minilm, hash, openai, ollama, https://host/v1#model, or none; the host's default if not given
}

// Records are records to be stored or changed.
type Records struct {
	Records []api.Record `json:"records"` // to change one, give its id and what is to be different
}

// Selection says which records are meant.
type Selection struct {
	api.Selection
	Limit int `json:"limit,omitempty" schema:"minimum=0,maximum=10000,default=100"` // how many at most
}

// Query asks for the records nearest to a text, or to a vector where that is given.
type Query struct {
	api.Query
	K int `json:"k,omitempty" schema:"minimum=0,maximum=10000,default=10"` // how many at most
}

// Retrieval asks for records by a retriever: exactly one of by_time, time_weighted, alpha_beta and marginal_relevance.
// What they reckon is told in docs/memory.md.
type Retrieval struct {
	api.Retrieval
	K int `json:"k,omitempty" schema:"minimum=0,maximum=10000,default=10"` // how many at most
}

// stored says what was stored.
type stored struct {
	IDs []string `json:"ids"` // of all records, in the order in which they were given
}

// which says what records are meant: by their ids, by a filter, or those that both say.
type which struct {
	IDs    []string    `json:"ids,omitempty"`    // of records
	Filter *api.Filter `json:"filter,omitempty"` // what the records must be like
}

// filtered says what records are meant.
type filtered struct {
	Filter *api.Filter `json:"filter,omitempty"` // what the records must be like; any, if not given
}

func memories(ctx context.Context, a asked[memoriesQuery, none]) ([]api.MemoryInfo, error) {
	return list(a.host.Memories(ctx, a.query.All))
}

func memory(ctx context.Context, a asked[none, none]) (api.MemoryInfo, error) {
	all, err := a.host.Memories(ctx, false)
	if err != nil {
		return api.MemoryInfo{}, err
	}
	i := slices.IndexFunc(all, func(m api.MemoryInfo) bool { return m.Name == a.named("agent") })
	if i < 0 {
		return api.MemoryInfo{}, fmt.Errorf("memory %q: %w", a.named("agent"), api.ErrNotFound)
	}
	return all[i], nil
}

func createMemory(ctx context.Context, a asked[none, newMemory]) (none, error) {
	return none{}, a.host.CreateMemory(ctx, a.named("agent"), a.body.Embedder)
}

func removeMemory(ctx context.Context, a asked[none, none]) (none, error) {
	return none{}, a.host.RemoveMemory(ctx, a.named("agent"))
}

func compactMemory(ctx context.Context, a asked[none, none]) (api.MemoryInfo, error) {
	return a.host.CompactMemory(ctx, a.named("agent"))
}

// with calls do with the memory that the path names.
func with[Q, B, R any](ctx context.Context, a asked[Q, B], do func(api.Memory) (R, error)) (result R, err error) {
	opened, err := a.host.OpenMemory(ctx, a.named("agent"))
	if err != nil {
		return result, err
	}
	defer opened.Close() // what was written is on disk already
	return do(opened)
}

// limited checks how many records are asked for.
func limited(n int) (int, error) {
	switch {
	case n == 0:
		return usualRecords, nil
	case n < 0 || n > mostRecords:
		return 0, invalid("%d records: want 1 to %d: ask again from an offset for more", n, mostRecords)
	}
	return n, nil
}

func records(ctx context.Context, a asked[recordsQuery, none]) ([]api.Record, error) {
	q := a.query
	limit, err := limited(q.Limit)
	if err != nil {
		return nil, err
	}
	return with(ctx, a, func(m api.Memory) ([]api.Record, error) {
		return list(m.Get(ctx, api.Selection{Limit: limit, Offset: q.Offset, Oldest: q.Oldest, Since: q.Since, Until: q.Until, Vectors: q.Vectors}))
	})
}

func getRecords(ctx context.Context, a asked[none, Selection]) ([]api.Record, error) {
	limit, err := limited(a.body.Limit)
	if err != nil {
		return nil, err
	}
	a.body.Selection.Limit = limit
	return with(ctx, a, func(m api.Memory) ([]api.Record, error) { return list(m.Get(ctx, a.body.Selection)) })
}

func record(ctx context.Context, a asked[none, none]) (api.Record, error) {
	return with(ctx, a, func(m api.Memory) (api.Record, error) {
		found, err := m.Get(ctx, api.Selection{IDs: []string{a.named("id")}})
		if err != nil {
			return api.Record{}, err
		}
		if len(found) == 0 {
			return api.Record{}, noRecord(a.named("id"))
		}
		return found[0], nil
	})
}

func noRecord(id string) error { return fmt.Errorf("record %q: %w", id, api.ErrNotFound) }

func deleteRecord(ctx context.Context, a asked[none, none]) (none, error) {
	return with(ctx, a, func(m api.Memory) (none, error) {
		n, err := m.Delete(ctx, []string{a.named("id")}, nil)
		if err == nil && n == 0 {
			err = noRecord(a.named("id"))
		}
		return none{}, err
	})
}

// given checks that a body has records: one without is rather a mistake than a wish to change nothing.
func (r Records) given() error {
	if r.Records == nil {
		return invalid("body: records are missing")
	}
	return nil
}

func addRecords(ctx context.Context, a asked[none, Records]) (stored, error) {
	if err := a.body.given(); err != nil {
		return stored{}, err
	}
	return with(ctx, a, func(m api.Memory) (stored, error) {
		added, err := list(m.Add(ctx, a.body.Records))
		return stored{added}, err
	})
}

func updateRecords(ctx context.Context, a asked[none, Records]) (none, error) {
	if err := a.body.given(); err != nil {
		return none{}, err
	}
	return with(ctx, a, func(m api.Memory) (none, error) { return none{}, m.Update(ctx, a.body.Records) })
}

func clearRecords(ctx context.Context, a asked[none, none]) (counted, error) {
	return with(ctx, a, func(m api.Memory) (counted, error) {
		n, err := m.Clear(ctx)
		return counted{n}, err
	})
}

func queryRecords(ctx context.Context, a asked[none, Query]) ([]api.Match, error) {
	if _, err := limited(a.body.K); err != nil {
		return nil, err
	}
	a.body.Query.K = a.body.K // what 0 stands for is the memory's to say
	return with(ctx, a, func(m api.Memory) ([]api.Match, error) { return list(m.Query(ctx, a.body.Query)) })
}

func retrieveRecords(ctx context.Context, a asked[none, Retrieval]) ([]api.Match, error) {
	if _, err := limited(a.body.K); err != nil {
		return nil, err
	}
	a.body.Retrieval.K = a.body.K // likewise
	return with(ctx, a, func(m api.Memory) ([]api.Match, error) { return list(m.Retrieve(ctx, a.body.Retrieval)) })
}

func countRecords(ctx context.Context, a asked[none, filtered]) (counted, error) {
	return with(ctx, a, func(m api.Memory) (counted, error) {
		n, err := m.Count(ctx, a.body.Filter)
		return counted{n}, err
	})
}

func deleteRecords(ctx context.Context, a asked[none, which]) (counted, error) {
	return with(ctx, a, func(m api.Memory) (counted, error) {
		n, err := m.Delete(ctx, a.body.IDs, a.body.Filter)
		return counted{n}, err
	})
}
