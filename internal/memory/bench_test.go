package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// benchOptions are those of a memory with vectors of 384 dimensions.
var benchOptions = Options{Embedder: Hashing(384)}

// filled returns a memory of n records with random vectors of 384 dimensions and 100 bytes of text.
func filled(b *testing.B, n int) *Store {
	s := open(b, temp(b), benchOptions)
	random := rand.New(rand.NewPCG(9, 10))
	for done := 0; done < n; {
		records := make([]api.Record, min(10_000, n-done))
		for i := range records {
			records[i] = api.Record{Text: strings.Repeat("plant ", 16), Time: start.Add(time.Duration(done+i) * time.Second),
				Vector: randomVector(random), Metadata: api.Metadata{"i": done + i, "odd": i%2 == 1}}
		}
		add(b, s, records...)
		done += len(records)
	}
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
			s := open(b, temp(b), benchOptions)
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
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "adds/s")
			err := s.disk.db.View(func(tx *bbolt.Tx) error {
				b.ReportMetric(float64(b.N)/float64(tx.ID()), "adds/commit")
				return nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkAddWhileQuerying is one durable record an operation, while two readers ask without a pause.
func BenchmarkAddWhileQuerying(b *testing.B) {
	s := filled(b, 100_000)
	ctx, cancel := context.WithCancel(b.Context())
	var readers sync.WaitGroup
	var asked atomic.Int64
	for r := range 2 {
		vector := randomVector(rand.New(rand.NewPCG(2, uint64(r))))
		readers.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Query(ctx, api.Query{Vector: vector}); err != nil && !errors.Is(err, context.Canceled) {
					b.Error(err)
					return
				}
				asked.Add(1)
			}
		})
	}
	vector := randomVector(rand.New(rand.NewPCG(1, 1)))
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := s.Add(b.Context(), []api.Record{{Text: "plant", Vector: vector}}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	cancel()
	readers.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
	b.ReportMetric(float64(asked.Load())/b.Elapsed().Seconds(), "queries/s")
}

func BenchmarkGetNewest10(b *testing.B) {
	s := filled(b, 50_000)
	for b.Loop() {
		if got, err := s.Get(b.Context(), api.Selection{Limit: 10}); err != nil || len(got) != 10 {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens memories whose files the system has in its cache. 1,000,000 records take 2.1 GB of disk and are asked
// for by COMA_BENCH_MILLION=1.
func BenchmarkOpen(b *testing.B) {
	sizes := []int{10_000, 100_000}
	if os.Getenv("COMA_BENCH_MILLION") != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := filled(b, n)
			info, err := s.Info()
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s, err := Open(s.path, benchOptions)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(info.Bytes)/float64(n), "B/record-on-disk")
			b.ReportMetric(float64(info.HeldBytes)/float64(n), "B/record-in-RAM")
		})
	}
}

func BenchmarkBackup(b *testing.B) {
	s := filled(b, 10_000)
	for b.Loop() {
		if _, err := s.Backup(b.Context(), io.Discard, JSONLines); err != nil {
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
