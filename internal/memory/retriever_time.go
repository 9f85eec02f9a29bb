package memory

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// byTime is the retrievers Latest and Oldest.
func (s *Store) byTime(ctx context.Context, q api.Query, r api.ByTime) ([]api.Match, error) {
	records, err := s.Get(ctx, api.Selection{
		Limit: q.K, Oldest: r.Oldest, Since: q.Since, Until: q.Until, Filter: q.Filter, Vectors: q.Vectors,
	})
	if err != nil {
		return nil, err
	}
	matches := make([]api.Match, len(records))
	for i, record := range records {
		matches[i].Record = record
	}
	return matches, nil
}

// timeWeighted orders by distance × exp(age × decay).
func (s *Store) timeWeighted(ctx context.Context, q api.Query, r api.TimeWeighted) ([]api.Match, error) {
	if err := checkNumbers("decay", r.Decay); err != nil {
		return nil, err
	}
	found, vector, err := s.candidates(ctx, q, r.All, r.Space)
	if err != nil {
		return nil, err
	}
	// The logarithm of the product is in the same order, and finite where the product is beyond the numbers: a decay of
	// 0.01 a second is that after twenty hours. It is −∞ for a distance of 0, which comes first, as the product would.
	now := s.present(r.Now)
	for i := range found {
		age := now.Sub(found[i].record.Time).Seconds()
		found[i].score = math.Log(found[i].distance) + age*r.Decay
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.score, b.score) })
	found = found[:min(q.K, len(found))]
	for i := range found {
		found[i].score = min(math.Exp(found[i].score), math.MaxFloat64)
	}
	return answers(found, vector, q.Vectors), nil
}
