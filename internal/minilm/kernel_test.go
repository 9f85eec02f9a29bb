package minilm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestKernels runs the vector units' kernels beside the plain ones: the bits must be the same.
func TestKernels(t *testing.T) {
	here, plain := kernelsHere(), portable()
	t.Logf("kernels: %s", here.name)
	r := rand.New(rand.NewPCG(4, 1))
	numbers := func(n int, scale float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64() * scale)
		}
		return x
	}
	same := func(t *testing.T, got, want []float32) {
		t.Helper()
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("number %d is %v (%#x), by the plain kernel %v (%#x)", i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
			}
		}
	}

	for _, in := range []int{4, 8, width, inner} {
		for rows := 1; rows <= tileRows; rows++ {
			t.Run(fmt.Sprintf("tile %d×%d", rows, in), func(t *testing.T) {
				x, w := make([]int16, rows*in), make([]int8, BlockOutputs*in)
				limit := int(inputLimit(in))
				for i := range x {
					x[i] = int16(r.IntN(2*limit+1) - limit)
				}
				for i := range w {
					w[i] = int8(r.IntN(255) - 127)
				}
				if rows == 1 { // the greatest sum that there can be
					for i := range x {
						x[i] = int16(limit)
					}
					for i := range w {
						w[i] = 127
					}
				}
				xScale, scale, bias := numbers(rows, 1e-4), numbers(16, 1e-3), numbers(16, 1)
				stride := 16 + r.IntN(20)
				got := numbers(rows*stride, 1)
				want := slices.Clone(got)
				here.tile(got, stride, x, in, xScale, w, scale, bias)
				plain.tile(want, stride, x, in, xScale, w, scale, bias)
				same(t, got, want) // what lies between the rows stays, too
			})
		}
	}
	for _, n := range []int{16, 48, width, inner} {
		t.Run(fmt.Sprintf("quantise %d", n), func(t *testing.T) {
			for _, scale := range []float64{0, 1e-38, 1e-20, 1, 1e9} {
				x := numbers(n, scale)
				x[0], x[1] = float32(4*scale), float32(-2*scale) // halves: limit/8 and so on
				got, want := make([]int16, n), make([]int16, n)
				same(t, []float32{here.quantise(got, x, 11008)}, []float32{plain.quantise(want, x, 11008)})
				if !slices.Equal(got, want) {
					t.Fatalf("got %v, want %v", got, want)
				}
			}
		})
		t.Run(fmt.Sprintf("gelu %d", n), func(t *testing.T) {
			for _, scale := range []float64{0, 1e-30, 0.1, 1, 3, 30} {
				got := numbers(n, scale)
				want := slices.Clone(got)
				here.gelu(got)
				plain.gelu(want)
				same(t, got, want)
			}
		})
		t.Run(fmt.Sprintf("layerNorm %d", n), func(t *testing.T) {
			for _, scale := range []float64{0, 1e-20, 0.1, 1, 30} {
				got, y := numbers(n, scale), numbers(n, scale)
				want := slices.Clone(got)
				gamma, beta := numbers(n, 1), numbers(n, 1)
				here.layerNorm(got, y, gamma, beta)
				plain.layerNorm(want, y, gamma, beta)
				same(t, got, want)
			}
		})
	}
	for _, n := range []int{8, 16, 40, 256} {
		t.Run(fmt.Sprintf("softmax %d", n), func(t *testing.T) {
			for _, scale := range []float64{0, 0.1, 1, 10, 1000} {
				got := numbers(n, scale)
				got[n-1] = -math.MaxFloat32
				want := slices.Clone(got)
				here.softmax(got)
				plain.softmax(want)
				same(t, got, want)
			}
		})
	}
	for _, s := range [][3]int{{1, 1, 16}, {2, 32, 16}, {7, 3, 48}, {14, 32, 16}, {17, 17, 32}, {64, 64, 32}} {
		rows, inner, columns := s[0], s[1], s[2]
		t.Run(fmt.Sprintf("multiply %d×%d×%d", rows, inner, columns), func(t *testing.T) {
			aStride, bStride, outStride := inner+r.IntN(9), columns+r.IntN(9), columns+r.IntN(9)
			a, b := numbers(rows*aStride, 1), numbers(inner*bStride, 1)
			got := numbers(rows*outStride, 1)
			want := slices.Clone(got)
			here.multiply(got, outStride, a, aStride, b, bStride, rows, inner, columns)
			plain.multiply(want, outStride, a, aStride, b, bStride, rows, inner, columns)
			same(t, got, want)
		})
	}
}

// TestFunctions holds the plain kernels' formulas against the standard library's.
func TestFunctions(t *testing.T) {
	for x := -12.0; x <= 12; x += 1.0 / 512 {
		got := []float32{float32(x)}
		geluGo(got)
		want := x / 2 * (1 + math.Erf(x/math.Sqrt2))
		if math.Abs(float64(got[0])-want) > 2e-6 {
			t.Fatalf("gelu(%v) is %v, not %v", x, got[0], want)
		}
	}
	for x := -87.0; x <= 0; x += 1.0 / 512 {
		if got, want := float64(exp(float32(x))), math.Exp(x); math.Abs(got/want-1) > 3e-7 {
			t.Fatalf("exp(%v) is %v, not %v", x, got, want)
		}
	}
	if got := exp(-math.MaxFloat32); got > 1e-37 {
		t.Fatalf("exp of what has no share is %v", got)
	}
}
