package memory

import (
	"fmt"
	"math"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// maxDimension bounds vectors; known models have up to 12,288 dimensions.
const maxDimension = 1 << 16

// checkVector refuses what nothing can be compared with: NaN, infinities, no or too many dimensions. Zeros are allowed.
func checkVector(v []float32) error {
	if len(v) == 0 || len(v) > maxDimension {
		return fmt.Errorf("vector has %d dimensions, not 1 to %d: %w", len(v), maxDimension, api.ErrInvalid)
	}
	for i, x := range v {
		if x-x != 0 { // NaN, or infinite
			return fmt.Errorf("vector has %v at place %d: %w", x, i, api.ErrInvalid)
		}
	}
	return nil
}

// length returns the Euclidean length of v. It is computed in float64, which neither overflows nor vanishes for any
// float32.
func length(v []float32) float64 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// unit brings v to length 1 (to a millionth) in place; a zero vector stays one.
func unit(v []float32) {
	if n := length(v); n > 0 && math.Abs(n-1) >= 1e-6 {
		for i, x := range v {
			v[i] = float32(float64(x) / n)
		}
	}
}

func isZero(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}
