package memory

import (
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
		exponent := now.Sub(found[i].record.Time).Seconds() * r.Decay
		found[i].score = math.Log(found[i].distance) + min(max(exponent, -math.MaxFloat64), math.MaxFloat64)
	}
	chosen := least(found, q.K)
	for i := range chosen {
		chosen[i].score = min(math.Exp(chosen[i].score), math.MaxFloat64)
	}
	return answers(chosen, vector, q.Vectors), nil
}

// least returns the k candidates of the least scores in their order, equal ones in the order in which they stood. It does
// not sort all of them, since they may be all records of a memory.
func least(found []candidate, k int) []candidate {
	byScore := func(c candidate, score float64) int {
		if c.score <= score { // what came before goes before its equals
			return -1
		}
		return 1
	}
	var chosen []candidate
	for _, c := range found {
		if len(chosen) == k && !(c.score < chosen[k-1].score) {
			continue
		}
		if len(chosen) == k {
			chosen = chosen[:k-1]
		}
		place, _ := slices.BinarySearchFunc(chosen, c.score, byScore)
		chosen = slices.Insert(chosen, place, c)
	}
	return chosen
}
