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
	err := m.wire.call(ctx, methodMemoryAdd, memoryParams{Agent: m.agent, Records: named}, &ids)
	return ids, err
}

func (m remoteMemory) Get(ctx context.Context, sel api.Selection) ([]api.Record, error) {
	var records []api.Record
	err := m.wire.call(ctx, methodMemoryGet, memoryParams{Agent: m.agent, Select: sel}, &records)
	return records, err
}

func (m remoteMemory) Query(ctx context.Context, q api.Query) ([]api.Match, error) {
	var matches []api.Match
	err := m.wire.call(ctx, methodMemoryQuery, memoryParams{Agent: m.agent, Query: q}, &matches)
	return matches, err
}

// Retrieve asks again when the connection was lost before the answer: what alpha-beta drew for the lost one was counted.
func (m remoteMemory) Retrieve(ctx context.Context, r api.Retrieval) ([]api.Match, error) {
	var matches []api.Match
	err := m.wire.call(ctx, methodMemoryRetrieve, memoryParams{Agent: m.agent, Retrieval: r}, &matches)
	return matches, err
}

func (m remoteMemory) Update(ctx context.Context, records []api.Record) error {
	return m.wire.call(ctx, methodMemoryUpdate, memoryParams{Agent: m.agent, Records: records}, nil)
}

func (m remoteMemory) Delete(ctx context.Context, ids []string, filter *api.Filter) (int, error) {
	return m.count(ctx, methodMemoryDelete, memoryParams{Agent: m.agent, IDs: ids, Filter: filter})
}

func (m remoteMemory) Count(ctx context.Context, filter *api.Filter) (int, error) {
	return m.count(ctx, methodMemoryCount, memoryParams{Agent: m.agent, Filter: filter})
}

func (m remoteMemory) Clear(ctx context.Context) (int, error) {
	return m.count(ctx, methodMemoryClear, memoryParams{Agent: m.agent})
}

func (m remoteMemory) count(ctx context.Context, method string, p memoryParams) (int, error) {
	var answer count
	err := m.wire.call(ctx, method, p, &answer)
	return answer.Count, err
}
