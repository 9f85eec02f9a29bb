package memory

import (
	"container/heap"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// usualLambda lets nothing that says the same as a record already chosen come before what says something else.
const usualLambda = 0.5

// marginalRelevance weighs every record by recency × relevance × importance (Park et al. 2023 add the three; a product
// lets none make up for another that is nothing), and then chooses one after the other that with the greatest
//
//	λ · weight / greatest weight − (1 − λ) · likeness to the likest of those chosen
//
// which is maximal marginal relevance (Carbonell and Goldstein 1998). Likeness is the cosine, or 0 where that is
// negative: to be the opposite of what was chosen is no merit.
func (s *Store) marginalRelevance(ctx context.Context, q api.Query, r api.MarginalRelevance) ([]api.Match, error) {
	if err := checkNumbers("lambda", r.Lambda); err != nil {
		return nil, err
	}
	switch {
	case r.Lambda < 0 || r.Lambda > 1:
		return nil, fmt.Errorf("lambda is %v, not 0 to 1: %w", r.Lambda, api.ErrInvalid)
	case r.HalfLife < 0:
		return nil, fmt.Errorf("half-life is %s, which is negative: %w", r.HalfLife, api.ErrInvalid)
	case r.Lambda == 0:
		r.Lambda = usualLambda
	}
	found, vector, err := s.candidates(ctx, q, true, api.Cosine)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	now, greatest := s.present(r.Now), 0.0
	for i := range found {
		found[i].score = weight(found[i], r, now)
		greatest = max(greatest, found[i].score)
	}
	if greatest > 0 {
		for i := range found {
			found[i].score /= greatest
		}
	}
	chosen, err := diverse(ctx, found, q.K, r.Lambda)
	if err != nil {
		return nil, err
	}
	return answers(chosen, vector, q.Vectors), nil
}

// weight is recency × relevance × importance. Recency is 1 for a record of the present (or the future) and halves with
// every half-life; relevance is the cosine, or 0 where that is negative; importance is 1 where there is no such number.
func weight(c candidate, r api.MarginalRelevance, now time.Time) float64 {
	w := max(0, 1-c.distance)
	if age := now.Sub(c.record.Time); r.HalfLife > 0 && age > 0 {
		w *= math.Exp2(-float64(age) / float64(r.HalfLife))
	}
	if r.Importance == "" {
		return w
	}
	switch n := c.record.Metadata[r.Importance].(type) {
	case int64:
		w *= max(0, float64(n))
	case float64:
		w *= max(0, min(n, math.MaxFloat64)) // not an infinity, which times 0 is no number
	}
	return w
}

// diverse chooses k candidates, one after the other that of greatest marginal relevance, of which it makes their score.
//
// Whoever was likened to fewer of those chosen than there are now can only lose by being likened to the rest. So the
// one with the greatest score as known is brought up to date and, if it still leads, chosen: few are ever likened.
func diverse(ctx context.Context, found []candidate, k int, lambda float64) ([]candidate, error) {
	all, waiting := make([]marginal, len(found)), make(marginals, len(found))
	for i, c := range found {
		c.score *= lambda
		all[i] = marginal{candidate: c, place: i, base: c.score}
		waiting[i] = &all[i]
	}
	heap.Init(&waiting)
	var chosen []candidate
	for len(chosen) < k && len(waiting) > 0 {
		m := waiting[0]
		if m.likened == len(chosen) {
			chosen = append(chosen, m.candidate)
			heap.Pop(&waiting)
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for ; m.likened < len(chosen); m.likened++ {
			like := 1 - cosineBetween(m.record.Vector, chosen[m.likened].record.Vector)
			m.likest = max(m.likest, like)
		}
		m.score = m.base - (1-lambda)*m.likest
		heap.Fix(&waiting, 0)
	}
	return chosen, nil
}

// marginal is a candidate that waits to be chosen.
type marginal struct {
	candidate         // score: the marginal relevance as far as known, never less than it is
	place     int     // in the order of distance, which decides between equal scores
	base      float64 // λ · weight
	likened   int     // to how many of those chosen
	likest    float64 // of their likenesses
}

// marginals is a heap, the greatest score first.
type marginals []*marginal

func (m marginals) Len() int { return len(m) }
func (m marginals) Less(i, j int) bool {
	if m[i].score != m[j].score {
		return m[i].score > m[j].score
	}
	return m[i].place < m[j].place
}
func (m marginals) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *marginals) Push(x any)   { *m = append(*m, x.(*marginal)) }
func (m *marginals) Pop() any {
	last := len(*m) - 1
	x := (*m)[last]
	*m = (*m)[:last]
	return x
}
