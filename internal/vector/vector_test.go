package vector

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

var metrics = []Metric{Cosine, L2, IP}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// hard returns vectors that rounding finds hard, n long each.
func hard(rng *rand.Rand, n int) map[string][]float32 {
	each := func(f func(i int) float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(f(i))
		}
		return v
	}
	spike := each(func(int) float64 { return 1e-3 * rng.NormFloat64() })
	spike[rng.IntN(n)] = 1
	return map[string][]float32{
		"normal":    random(rng, n),
		"equal":     each(func(int) float64 { return 0.1 }),
		"signs":     each(func(i int) float64 { return float64(1 - 2*(i&1)) }),
		"spike":     spike,
		"range":     each(func(int) float64 { return math.Exp(40*rng.Float64() - 20) }),
		"far":       each(func(int) float64 { return 1000 + rng.NormFloat64() }),
		"half":      each(func(int) float64 { return float64(rng.IntN(255)-127) + 0.5 }),
		"small":     each(func(int) float64 { return 1e-9 * rng.NormFloat64() }),
		"large":     each(func(int) float64 { return 1e9 * rng.NormFloat64() }),
		"edge":      each(func(int) float64 { return span / math.Sqrt(float64(n)) * (0.999 + 0.002*rng.Float64()) }),
		"huge":      each(func(int) float64 { return 3e38 * (rng.Float64() - 0.5) }),
		"largest":   each(func(int) float64 { return math.MaxFloat32 }),
		"tiny":      each(func(int) float64 { return 1e-38 * rng.Float64() }),
		"denormal":  each(func(int) float64 { return float64(rng.IntN(5)) * math.SmallestNonzeroFloat32 }),
		"zero":      make([]float32, n),
		"one":       each(func(i int) float64 { return float64(max(0, 1-i)) }),
		"minus one": each(func(i int) float64 { return -float64(max(0, 1-i)) }),
	}
}

// exact is the distance in arithmetic without rounding, but for the last step.
func exact(metric Metric, a, b []float32) float64 {
	number := func() *big.Float { return new(big.Float).SetPrec(1000) }
	dot, aa, bb := number(), number(), number()
	for i := range a {
		x, y := number().SetFloat64(float64(a[i])), number().SetFloat64(float64(b[i]))
		dot.Add(dot, number().Mul(x, y))
		aa.Add(aa, number().Mul(x, x))
		bb.Add(bb, number().Mul(y, y))
	}
	var d *big.Float
	switch {
	case metric == IP:
		d = number().Sub(number().SetInt64(1), dot)
	case metric == L2:
		d = number().Sub(number().Add(aa, bb), number().Add(dot, dot))
	case aa.Sign() == 0 || bb.Sign() == 0:
		return 1
	default:
		root := number().Sqrt(number().Mul(aa, bb))
		d = number().Sub(number().SetInt64(1), dot.Quo(dot, root))
	}
	f, _ := d.Float64()
	return f
}

func TestDistance(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 2, 3, 15, 16, 17, 100, 384} {
		vectors := hard(rng, n)
		for name, a := range vectors {
			for other, b := range vectors {
				for _, m := range metrics {
					got, want := NewQuery(m, a).Distance(b), exact(m, a, b)
					// What float64 sums may lose: of the terms, not of the result.
					terms := 2.0
					if m != Cosine {
						terms = 1 + math.Sqrt(Dot(a, a)*Dot(b, b))
					}
					if m == L2 {
						terms = want
					}
					if math.Abs(got-want) > 1e-13*terms {
						t.Errorf("%s of %s and %s, %d dimensions: %g, want %g", m, name, other, n, got, want)
					}
				}
			}
			if d := NewQuery(L2, a).Distance(slices.Clone(a)); d != 0 {
				t.Errorf("l2 of %s with itself is %g", name, d)
			}
			if d := NewQuery(Cosine, a).Distance(slices.Clone(a)); d != 0 && Dot(a, a) != 0 {
				t.Errorf("cosine of %s with itself is %g", name, d)
			}
		}
	}
}

// TestSift sets limits right at each row's distance: the row must never be left out. It also counts how many others
// are, or else Sift could just let all through.
func TestSift(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{1, 3, 31, 32, 33, 384, 1536, 1 << 16} {
		vectors := hard(rng, n)
		var names []string
		for name := range vectors {
			names = append(names, name)
		}
		slices.Sort(names)
		rows := make([][]float32, SlabRows)
		slab := NewSlab(n)
		for i := range rows {
			v := vectors[names[i%len(names)]]
			if i >= len(names) { // the same a little otherwise
				v = slices.Clone(v)
				v[rng.IntN(n)] *= 1 + 1e-3*rng.Float32()
			}
			if n > 1 && i%7 == 0 {
				v = slices.Clone(v)
				rng.Shuffle(n, func(i, j int) { v[i], v[j] = v[j], v[i] })
			}
			rows[i] = v
			if Check(v) != nil {
				rows[i] = vectors["largest"]
			}
			slab.Set(i, rows[i])
		}
		passed, asked := 0, 0
		for _, name := range names {
			for _, m := range metrics {
				q := NewQuery(m, vectors[name])
				for i, row := range rows {
					d := q.Distance(row)
					for _, limit := range []float64{d, math.Nextafter(d, math.Inf(1)), math.Inf(1)} {
						if q.Sift(slab, 1<<i, limit) != 1<<i {
							t.Fatalf("%s, %d dimensions: query %s has lost row %d (%s) at %g", m, n, name, i, names[i%len(names)], limit)
						}
					}
					// All at once gives the same as one by one, and nothing that was not asked for.
					some := rng.Uint64() & rng.Uint64()
					pass := q.Sift(slab, some, d)
					for j := range rows {
						if alone := q.Sift(slab, 1<<j&some, d); alone != pass&(1<<j) {
							t.Fatalf("%s, %d dimensions: query %s, row %d: alone %x, among others %x", m, n, name, j, alone, pass)
						}
						if some>>j&1 != 0 && pass>>j&1 == 0 && q.Distance(rows[j]) <= d {
							t.Fatalf("%s, %d dimensions: query %s has lost row %d", m, n, name, j)
						}
					}
				}
				if name == "normal" {
					for _, row := range rows {
						asked += SlabRows
						for pass := q.Sift(slab, math.MaxUint64, q.Distance(row)*0.9); pass != 0; pass &= pass - 1 {
							passed++
						}
					}
				}
			}
		}
		if n >= 32 && passed*4 > asked*3 {
			t.Errorf("%d dimensions: %d of %d rows pass a limit: hardly any is sifted out", n, passed, asked)
		}
	}
}

// TestSiftRandom does the same with ever new random vectors.
func TestSiftRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		n := 1 + rng.IntN(500)
		slab := NewSlab(n)
		scale := math.Exp(30*rng.Float64() - 15)
		rows := make([][]float32, SlabRows)
		for i := range rows {
			rows[i] = random(rng, n)
			for j := range rows[i] {
				rows[i][j] *= float32(scale)
			}
			slab.Set(i, rows[i])
		}
		slab = slab.Clone()
		query := slices.Clone(rows[rng.IntN(SlabRows)])
		query[rng.IntN(n)] *= 2
		for _, m := range metrics {
			q := NewQuery(m, query)
			for i, row := range rows {
				if d := q.Distance(row); q.Sift(slab, math.MaxUint64, d)>>i&1 == 0 {
					t.Fatalf("%s, %d dimensions, scale %g: row %d at %g is lost", m, n, scale, i, d)
				}
			}
		}
	}
}

func TestCheck(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 3, 100} {
		for name, v := range hard(rng, n) {
			if err := Check(v); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				w := slices.Clone(v)
				w[n-1] = float32(bad)
				if err := Check(w); !errors.Is(err, api.ErrInvalid) {
					t.Errorf("%s with %g: %v", name, bad, err)
				}
			}
		}
	}
}

// TestKernels compares the kernels in use with those in plain Go, for every length and at places aligned in no way.
func TestKernels(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	near := func(got, want, terms float64) bool { return math.Abs(got-want) <= 1e-14*terms }
	for n := range 200 {
		at := rng.IntN(5)
		a, b := random(rng, n+at)[at:], random(rng, n+3)[3:]
		size := dotGo(a, a) + dotGo(b, b)
		if got, want := dot(a, b), dotGo(a, b); !near(got, want, size) {
			t.Errorf("dot of %d: %g, want %g", n, got, want)
		}
		if got, want := apart(a, b), apartGo(a, b); !near(got, want, size) {
			t.Errorf("apart of %d: %g, want %g", n, got, want)
		}
		if got, want := largest(a), largestGo(a); got != want {
			t.Errorf("largest of %d: %g, want %g", n, got, want)
		}
		if n > 0 {
			scale := largestGo(a) / 127
			got, want := make([]int8, n+3), make([]int8, n+3)
			loss, lost := round8(got[at%3:][:n], a, scale), round8Go(want[at%3:][:n], a, scale)
			if !slices.Equal(got, want) || math.Abs(loss-lost) > 1e-6*lost {
				t.Errorf("round of %d: %v losing %g, want %v losing %g", n, got, loss, want, lost)
			}
		}
	}
	for _, stride := range []int{32, 64, 96, 384, 1536} {
		for count := range 20 {
			at := rng.IntN(7)
			rows := make([]int8, count*stride+at)[at:]
			for i := range rows {
				rows[i] = int8(rng.IntN(255) - 127)
			}
			query := make([]int16, stride+1)[1:]
			for i := range query {
				query[i] = int16(rng.IntN(1<<16) - 1<<15 | 1)
				if limit := math.MaxInt32 / 127 / stride; stride > 500 {
					query[i] = int16(rng.IntN(2*limit) - limit)
				}
			}
			got, want := make([]int32, count+1), make([]int32, count+1)
			dots(got[:count], rows, query)
			dotsGo(want[:count], rows, query)
			if !slices.Equal(got, want) {
				t.Errorf("dots of %d rows of %d: %v, want %v", count, stride, got, want)
			}
		}
	}
}

// TestNoOverflow has the products as large as they get.
func TestNoOverflow(t *testing.T) {
	for _, n := range []int{1, 384, 515, 516, 1536, 1 << 16} {
		v := make([]float32, n)
		for i := range v {
			v[i] = 1
		}
		q, slab := NewQuery(Cosine, v), NewSlab(n)
		slab.Set(0, v)
		var products [SlabRows]int32
		q.products(&products, slab, 1)
		if got := float64(products[0]) * q.scale * float64(slab.scale[0]); math.Abs(got-float64(n)) > 1e-3*float64(n) {
			t.Errorf("%d dimensions: product %g", n, got)
		}
	}
}

// FuzzSift makes two vectors of any bytes.
func FuzzSift(f *testing.F) {
	f.Add([]byte{0, 0, 128, 63, 0, 0, 0, 0}, []byte{0, 0, 0, 64, 0, 0, 128, 63})
	f.Add([]byte{255, 255, 127, 127, 1, 0, 0, 0}, []byte{1, 0, 0, 0, 255, 255, 127, 255})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		n := min(len(a), len(b)) / 4
		v, w := floats(a[:4*n]), floats(b[:4*n])
		if n == 0 || Check(v) != nil || Check(w) != nil {
			return
		}
		slab := NewSlab(n)
		slab.Set(5, w)
		for _, m := range metrics {
			q := NewQuery(m, v)
			d := q.Distance(w)
			if math.IsNaN(d) || q.Sift(slab, 1<<5, d) != 1<<5 {
				t.Errorf("%s: row at %g is lost", m, d)
			}
		}
	})
}

func floats(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(uint32(b[4*i]) | uint32(b[4*i+1])<<8 | uint32(b[4*i+2])<<16 | uint32(b[4*i+3])<<24)
	}
	return v
}

func ExampleDistance() {
	a, b := []float32{1, 0}, []float32{0, 2}
	fmt.Println(Distance(Cosine, a, Dot(a, a), b), Distance(L2, a, Dot(a, a), b), Distance(IP, a, Dot(a, a), b))
	// Output: 1 5 1
}
