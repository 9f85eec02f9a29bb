package memory

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// alphaBeta draws records by how often they were retrieved and by how far they are, and counts those it drew. uniform is
// its chance: numbers from 0 to below 1.
func (s *Store) alphaBeta(ctx context.Context, q api.Query, r api.AlphaBeta, uniform func() float64) ([]api.Match, error) {
	if err := checkNumbers("alpha, beta and pi", r.Alpha, r.Beta, r.Pi); err != nil {
		return nil, err
	}
	if r.Pi < 0 || r.Pi > 1 {
		return nil, fmt.Errorf("pi is %v, not 0 to 1: %w", r.Pi, api.ErrInvalid)
	}
	found, vector, err := s.candidates(ctx, q, r.All, r.Space)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	distances := make([]float64, len(found))
	for i, c := range found {
		distances[i] = c.distance
	}
	weights := alphaBetaWeights(r, s.referencesOf(found), distances)
	var chosen []candidate
	var referenced []string
	for _, i := range draw(weights, q.K, uniform) {
		found[i].score = weights[i]
		chosen, referenced = append(chosen, found[i]), append(referenced, found[i].record.ID)
	}
	if err := s.AddReferences(ctx, referenced); err != nil {
		return nil, fmt.Errorf("count references: %w", err)
	}
	return answers(chosen, vector, q.Vectors), nil
}

// referencesOf is References for records at hand, which may be very many.
func (s *Store) referencesOf(found []candidate) []uint64 {
	counts := make([]uint64, len(found))
	s.refsMu.RLock()
	defer s.refsMu.RUnlock()
	for i, c := range found {
		counts[i] = s.refs[c.record.Seq]
	}
	return counts
}

// uniformOf returns uniform numbers: always the same ones for a seed, others each time for 0.
func uniformOf(seed uint64) func() float64 {
	if seed == 0 {
		return rand.Float64
	}
	return rand.New(rand.NewPCG(seed, 0)).Float64
}

// alphaBetaWeights returns the probabilities of the first draw; their sum is 1.
func alphaBetaWeights(r api.AlphaBeta, references []uint64, distances []float64) []float64 {
	total := 0.0
	social := make([]float64, len(references))
	for i, n := range references {
		social[i] = max(1, float64(n)) // never drawn and drawn once weigh the same, as in the original
		total += social[i]
	}
	self := make([]float64, len(distances))
	for i, d := range distances {
		social[i] *= r.Alpha / total
		self[i] = r.Beta * d
	}
	softmax(social)
	softmax(self)
	for i := range social {
		social[i] = r.Pi*social[i] + (1-r.Pi)*self[i]
	}
	return social
}

// softmax replaces each x by exp(x) / Σ exp(x). The greatest x is taken off first, which changes nothing but that no
// exponential is too large for a float64.
func softmax(xs []float64) {
	const most = math.MaxFloat64 / 2 // so that the difference of two is finite
	for i, x := range xs {
		xs[i] = min(max(x, -most), most)
	}
	top, sum := slices.Max(xs), 0.0
	for i, x := range xs {
		xs[i] = math.Exp(x - top)
		sum += xs[i]
	}
	for i := range xs {
		xs[i] /= sum
	}
}

// draw draws k different places (all, if there are fewer) with probabilities in proportion to weights, one after the
// other: what was drawn is out, the rest keep their proportions.
//
// It draws in rounds, as numpy.random.choice does: as many places as are still missing, with replacement, of which the
// first of each counts; only then are these taken out and the sums made anew. The outcome has the same distribution,
// and the same uniform numbers give what numpy gives. Places whose weight is 0 come last, in order.
func draw(weights []float64, k int, uniform func() float64) []int {
	k = min(k, len(weights))
	left, sums := slices.Clone(weights), make([]float64, len(weights))
	drawn := make([]int, 0, k)
	for len(drawn) < k {
		sum, last := 0.0, 0
		for i, w := range left {
			if w > 0 {
				sum, last = sum+w, i
			}
			sums[i] = sum
		}
		if sum == 0 {
			break
		}
		for range k - len(drawn) {
			x := uniform() * sum
			i := sort.Search(last, func(i int) bool { return sums[i] > x }) // last, should x be rounded up to sum
			if left[i] > 0 {
				left[i] = 0
				drawn = append(drawn, i)
			}
		}
	}
	for i := range weights {
		if len(drawn) == k {
			break
		}
		if !slices.Contains(drawn, i) {
			drawn = append(drawn, i)
		}
	}
	return drawn
}
