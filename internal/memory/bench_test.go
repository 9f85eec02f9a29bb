package memory

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// filled returns a memory of n records with random vectors of 384 dimensions and 100 bytes of text.
func filled(b *testing.B, n int) *Store {
	s := open(b, temp(b), Options{Embedder: Hashing(384)})
	random := rand.New(rand.NewPCG(9, 10))
	records := make([]api.Record, n)
	for i := range records {
		records[i] = api.Record{Text: strings.Repeat("plant ", 16), Time: start.Add(time.Duration(i) * time.Second),
			Vector: randomVector(random), Metadata: api.Metadata{"i": i, "odd": i%2 == 1}}
	}
	add(b, s, records...)
	return s
}

func randomVector(random *rand.Rand) []float32 {
	v := make([]float32, 384)
	for i := range v {
		v[i] = float32(random.NormFloat64())
	}
	return v
}

// BenchmarkAdd is one durable record of about 1.7 kB an operation.
func BenchmarkAdd(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(writers, "writers"), func(b *testing.B) {
			s := open(b, temp(b), Options{Embedder: Hashing(384)})
			vector := randomVector(rand.New(rand.NewPCG(1, 1)))
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, writers)
			b.ResetTimer()
			for range writers {
				go func() {
					for left.Add(-1) >= 0 {
						if _, err := s.Add(b.Context(), []api.Record{{Text: strings.Repeat("plant ", 20), Vector: vector}}); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range writers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		s := filled(b, n)
		vector := randomVector(rand.New(rand.NewPCG(2, 2)))
		for name, filter := range map[string]*api.Filter{"all": nil, "half": {Op: "eq", Key: "odd", Value: true}, "one": {Op: "eq", Key: "i", Value: 7}} {
			b.Run(fmt.Sprint(n, "/", name), func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Query(b.Context(), api.Query{Vector: vector, Filter: filter}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkGetNewest10(b *testing.B) {
	for _, n := range []int{10_000, 50_000} {
		s := filled(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if got, err := s.Get(b.Context(), api.Selection{Limit: 10}); err != nil || len(got) != 10 {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	s := filled(b, 10_000)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(s.path, Options{Embedder: Hashing(384)})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHashing(b *testing.B) {
	text := []string{"The soil of the plant is dry and the light is going down."}
	for b.Loop() {
		if _, err := Hashing(0).Embed(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}
