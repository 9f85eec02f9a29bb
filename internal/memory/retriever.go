package memory

import (
	"context"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Retriever chooses the records that matter for a query: by time, by likeness, or by both.
type Retriever interface {
	// Retrieve returns up to q.K records (0: 10), what matters most first. A retriever that has no use for
	// q.Text and q.Vector does not read them.
	Retrieve(ctx context.Context, m api.Memory, q api.Query) ([]api.Record, error)
}

// Latest retrieves the newest records, newest first.
type Latest struct{}

// Oldest retrieves the oldest records, oldest first.
type Oldest struct{}

// Retrieve implements Retriever.
func (Latest) Retrieve(ctx context.Context, m api.Memory, q api.Query) ([]api.Record, error) {
	return retrieveByTime(ctx, m, q, false)
}

// Retrieve implements Retriever.
func (Oldest) Retrieve(ctx context.Context, m api.Memory, q api.Query) ([]api.Record, error) {
	return retrieveByTime(ctx, m, q, true)
}

func retrieveByTime(ctx context.Context, m api.Memory, q api.Query, oldest bool) ([]api.Record, error) {
	if q.K == 0 {
		q.K = defaultK
	}
	return m.Get(ctx, api.Selection{Limit: q.K, Oldest: oldest, Filter: q.Filter, Vectors: q.Vectors})
}
