package memory

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// nearCandidates is among how many of the nearest records a retriever chooses unless it is to look at all: the number
// that the Python framework has in its code.
const nearCandidates = 100

// Retrieve implements api.Memory. The retrievers have a file each: retriever_time.go, retriever_alphabeta.go and
// retriever_marginal.go. A text without a direction is near to nothing, and records without a vector are retrieved by
// time alone.
func (s *Store) Retrieve(ctx context.Context, r api.Retrieval) ([]api.Match, error) {
	matches, err := s.retrieve(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("retrieve records: %w", err)
	}
	return matches, nil
}

func (s *Store) retrieve(ctx context.Context, r api.Retrieval) ([]api.Match, error) {
	var err error
	if r.K, err = atMost(r.K); err != nil {
		return nil, err
	}
	chosen := 0
	for _, is := range []bool{r.ByTime != nil, r.TimeWeighted != nil, r.AlphaBeta != nil, r.MarginalRelevance != nil} {
		if is {
			chosen++
		}
	}
	if chosen != 1 {
		return nil, fmt.Errorf("%d retrievers are asked for, not one of by_time, time_weighted, alpha_beta and marginal_relevance: %w", chosen, api.ErrInvalid)
	}
	switch {
	case r.ByTime != nil:
		return s.byTime(ctx, r.Query, *r.ByTime)
	case r.TimeWeighted != nil:
		return s.timeWeighted(ctx, r.Query, *r.TimeWeighted)
	case r.AlphaBeta != nil:
		return s.alphaBeta(ctx, r.Query, *r.AlphaBeta, uniformOf(r.AlphaBeta.Seed))
	default:
		return s.marginalRelevance(ctx, r.Query, *r.MarginalRelevance)
	}
}

// candidate is a record that a retriever may choose.
type candidate struct {
	record   *table.Row
	distance float64 // in the space that was asked for
	score    float64 // what the retriever makes of it
}

// candidates returns the records near to what q asks for, nearest first, and the vector that q comes to: all that q
// chooses, or nearCandidates.
func (s *Store) candidates(ctx context.Context, q api.Query, all bool, space api.Space) ([]candidate, []float32, error) {
	if err := s.start(ctx); err != nil {
		return nil, nil, err
	}
	metric, ok := map[api.Space]table.Metric{"": table.L2, api.L2: table.L2, api.Cosine: table.Cosine}[space]
	if !ok {
		return nil, nil, fmt.Errorf("space %q is neither %s nor %s: %w", space, api.L2, api.Cosine, api.ErrInvalid)
	}
	v, vector, err := s.queryVector(ctx, q)
	if err != nil || vector == nil {
		return nil, nil, err
	}
	if q.K = nearCandidates; all {
		q.K = v.snap.Len()
	}
	hits, err := s.nearest(ctx, v, vector, q, metric)
	if err != nil {
		return nil, nil, err
	}
	found := make([]candidate, len(hits))
	for i, h := range hits {
		found[i] = candidate{record: h.Row, distance: h.Distance}
	}
	return found, vector, nil
}

// answers are the candidates as matches, with the cosine distance as Query gives it.
func answers(chosen []candidate, vector []float32, vectors bool) []api.Match {
	matches := make([]api.Match, len(chosen))
	for i, c := range chosen {
		matches[i] = api.Match{Record: answer(c.record, vectors), Distance: cosineBetween(vector, c.record.Vector), Score: c.score}
	}
	return matches
}

// checkNumbers returns an error for the first of a retriever's numbers that is not finite.
func checkNumbers(names string, numbers ...float64) error {
	for _, n := range numbers {
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%s must be finite numbers, not %v: %w", names, n, api.ErrInvalid)
		}
	}
	return nil
}

// present is now unless that is zero.
func (s *Store) present(now time.Time) time.Time {
	if now.IsZero() {
		return s.now()
	}
	return now
}

// cosineBetween is 1 for a vector of length 0, which has no direction.
func cosineBetween(a, b []float32) float64 {
	dot, aa, bb := 0.0, 0.0, 0.0
	for i, x := range a {
		y := float64(b[i])
		dot += float64(x) * y
		aa += float64(x) * float64(x)
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 1
	}
	return 1 - min(1, dot/math.Sqrt(aa*bb))
}
