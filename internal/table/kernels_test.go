package table

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestKernels compares the kernels in use with those in plain Go, at places aligned in no way.
func TestKernels(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var c cells
	for range 200 {
		for i := range blockSlots {
			f := []float64{0, 1, 2, -1, 1e300, math.Inf(1), math.NaN(), math.SmallestNonzeroFloat64}[rng.IntN(8)]
			c.set(i, cell{cellKind(rng.IntN(6)), math.Float64bits(f)})
		}
		n, low, up := rng.IntN(blockSlots-64), float64(rng.IntN(4)-2), float64(rng.IntN(4)-1)
		w := c.at(rng.IntN(blockSlots))
		values, kinds := (*[64]uint64)(c.bits[n:]), (*[64]cellKind)(c.kinds[n:])
		floats := make([]float64, 64)
		for i, v := range values {
			floats[i] = math.Float64frombits(v)
		}
		if got, want := equal(values, kinds, w, 64), equalGo(values[:], kinds[:], w); got != want {
			t.Fatalf("equal %v: %x, want %x", w, got, want)
		}
		if got, want := inside(values, kinds, low, up, 64), insideGo(floats, kinds[:], low, up); got != want {
			t.Fatalf("inside %g to %g: %x, want %x", low, up, got, want)
		}
	}
}
