// Package vector computes with vectors of float32: exactly in float64, and roughly, but with a proven bound of the
// error, on a compact form of one byte a dimension.
//
// How to read it. exact.go measures two vectors exactly. slab.go is the compact form: 64 vectors, rounded to int8, and
// how far each is from what it was. query.go rounds a query to int16 and sifts a slab for the rows that may be near
// enough; the proof that it never loses one stands there. kernels.go is all inner loops in plain Go; kernels_amd64.s
// (AVX2) and kernels_arm64.s (NEON) do the same faster where the processor can, and are tested against it.
package vector

import (
	"fmt"
	"math"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Check returns an error that wraps api.ErrInvalid if v has a NaN or an infinity in it. Every other vector is good for
// all of this package: zero, huge, tiny, denormal.
func Check(v []float32) error {
	if sum := dot(v, v); !math.IsNaN(sum) && !math.IsInf(sum, 0) {
		return nil // which no finite float32 makes
	}
	for i, x := range v {
		if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("vector has %v at place %d: %w", x, i, api.ErrInvalid)
		}
	}
	return nil
}
