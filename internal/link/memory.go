package link

import (
	"context"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// remoteMemory is a memory at the host: that of a module's own agent, or the one named.
type remoteMemory struct {
	wire  *wire
	agent string
}

func (m remoteMemory) Add(ctx context.Context, records []api.Record) ([]string, error) {
	named := make([]api.Record, len(records))
	copy(named, records)
	for i := range named {
		if named[i].ID == "" {
			named[i].ID = api.NewID() // so that asking again after a lost connection adds nothing twice
		}
	}
	var ids []string
	err := m.wire.call(ctx, methodMemoryAdd, recordsParams{memoryOf{m.agent}, named}, &ids)
	return ids, err
}

func (m remoteMemory) Get(ctx context.Context, sel api.Selection) ([]api.Record, error) {
	var records []api.Record
	err := m.wire.call(ctx, methodMemoryGet, selectParams{memoryOf{m.agent}, sel}, &records)
	return records, err
}

func (m remoteMemory) Query(ctx context.Context, q api.Query) ([]api.Match, error) {
	var matches []api.Match
	err := m.wire.call(ctx, methodMemoryQuery, queryParams{memoryOf{m.agent}, q}, &matches)
	return matches, err
}

// Retrieve asks again when the connection was lost before the answer: what alpha-beta drew for the lost one was counted.
func (m remoteMemory) Retrieve(ctx context.Context, r api.Retrieval) ([]api.Match, error) {
	var matches []api.Match
	err := m.wire.call(ctx, methodMemoryRetrieve, retrieveParams{memoryOf{m.agent}, r}, &matches)
	return matches, err
}

func (m remoteMemory) Update(ctx context.Context, records []api.Record) error {
	return m.wire.call(ctx, methodMemoryUpdate, recordsParams{memoryOf{m.agent}, records}, nil)
}

func (m remoteMemory) Delete(ctx context.Context, ids []string, filter *api.Filter) (int, error) {
	return m.count(ctx, methodMemoryDelete, whichParams{memoryOf{m.agent}, ids, filter})
}

func (m remoteMemory) Count(ctx context.Context, filter *api.Filter) (int, error) {
	return m.count(ctx, methodMemoryCount, countParams{memoryOf{m.agent}, filter})
}

func (m remoteMemory) Clear(ctx context.Context) (int, error) {
	return m.count(ctx, methodMemoryClear, memoryOf{m.agent})
}

func (m remoteMemory) count(ctx context.Context, method string, p any) (int, error) {
	var answer count
	err := m.wire.call(ctx, method, p, &answer)
	return answer.Count, err
}
