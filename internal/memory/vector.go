package memory

import (
	"fmt"
	"math"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// maxDimension bounds vectors; known models have up to 12,288 dimensions.
const maxDimension = 1 << 16

// length returns the Euclidean length of v, or an error where v points nowhere: zero, NaN, infinite. It is computed in
// float64, which neither overflows nor vanishes for any float32.
func length(v []float32) (float64, error) {
	var sum float64
	for i, x := range v {
		f := float64(x)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return 0, fmt.Errorf("vector has %v at place %d: %w", x, i, api.ErrInvalid)
		}
		sum += f * f
	}
	if sum == 0 {
		return 0, fmt.Errorf("vector is zero: it has no direction to compare: %w", api.ErrInvalid)
	}
	return math.Sqrt(sum), nil
}

// unit returns v at length 1: v itself where that is its length already (to a millionth, chromem's own tolerance).
func unit(v []float32) ([]float32, error) {
	n, err := length(v)
	if err != nil {
		return nil, err
	}
	if math.Abs(n-1) < 1e-6 {
		return v, nil
	}
	u := make([]float32, len(v))
	for i, x := range v {
		u[i] = float32(float64(x) / n)
	}
	return u, nil
}

func isZero(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}
