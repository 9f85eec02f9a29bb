package vector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func BenchmarkSift(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, rows := range []int{64, 100_000} {
		slabs := make([]*Slab, (rows+63)/64)
		v := random(rng, 384)
		for i := range slabs {
			slabs[i] = NewSlab(384)
			for j := range SlabRows {
				v[rng.IntN(384)] = float32(rng.NormFloat64())
				slabs[i].Set(j, v)
			}
		}
		q := NewQuery(Cosine, random(rng, 384))
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			b.SetBytes(int64(rows * 384))
			for b.Loop() {
				for _, s := range slabs {
					q.Sift(s, math.MaxUint64, 0.1)
				}
			}
		})
	}
}

func BenchmarkSet(b *testing.B) {
	v := random(rand.New(rand.NewPCG(1, 2)), 384)
	s := NewSlab(384)
	for b.Loop() {
		s.Set(3, v)
	}
}

func BenchmarkDistance(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	v, w := random(rng, 384), random(rng, 384)
	for _, m := range []Metric{Cosine, L2, IP} {
		b.Run(string(m), func(b *testing.B) {
			q := NewQuery(m, v)
			for b.Loop() {
				q.Distance(w)
			}
		})
	}
}
