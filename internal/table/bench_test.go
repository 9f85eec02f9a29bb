package table

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/philippgille/chromem-go"
	"github.com/shirou/gopsutil/v4/process"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// kinds of vectors to measure with.
const (
	scattered = "random"    // normal in every dimension: the nearest are hardly nearer than the rest
	clustered = "clustered" // around a thousand centres, as texts about a thousand subjects are
)

func vectorsOf(kind string, rng *rand.Rand, n, dimension int) [][]float32 {
	centres := make([][]float32, 1000)
	for i := range centres {
		centres[i] = normal(rng, dimension)
	}
	all := make([][]float32, n)
	for i := range all {
		v := normal(rng, dimension)
		if kind == clustered {
			for j, x := range centres[rng.IntN(len(centres))] {
				v[j] = 0.6*v[j] + x
			}
		}
		all[i] = v
	}
	return all
}

func normal(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

func benchRows(kind string, n, dimension int) []*Row {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	rows := make([]*Row, n)
	for i, v := range vectorsOf(kind, rng, n, dimension) {
		rows[i] = &Row{Seq: uint64(i + 1), Record: api.Record{ID: fmt.Sprintf("00000000-0000-0000-0000-%012d", i), Vector: v,
			Time: start.Add(time.Duration(i) * time.Millisecond),
			Text: fmt.Sprintf("At %d the soil moisture sensor of bed %d said %d percent, and the light was %d.", i, rng.IntN(40), rng.IntN(100), rng.IntN(1000)),
			Metadata: api.Metadata{"half": rng.IntN(2) == 0, "module": fmt.Sprint("module-", rng.IntN(1000)),
				"level": rng.Float64(), "rare": int64(rng.IntN(100_000))}}}
	}
	return rows
}

var benchTables = sync.OnceValue(func() *sync.Map { return new(sync.Map) })

// benchTable keeps the tables, as a million rows take a while to invent.
func benchTable(b *testing.B, kind string, n int) *Table {
	b.Helper()
	key := fmt.Sprint(kind, n)
	if t, ok := benchTables().Load(key); ok {
		return t.(*Table)
	}
	benchTables().Clear() // one at a time: a million rows are 2 GB
	rows := benchRows(kind, n, 384)
	runtime.GC()
	began := time.Now()
	t, err := New(Options{TimeKey: timeKey}, rows)
	if err != nil {
		b.Fatal(err)
	}
	s := t.Snapshot()
	b.Logf("%s %d: built in %v; %d bytes a row beside the row itself", kind, n, time.Since(began), s.overhead()/int64(n))
	benchTables().Store(key, t)
	return t
}

var benchFilters = []struct {
	name   string
	filter *api.Filter
}{
	{"all", nil},
	{"half", &api.Filter{Op: "eq", Key: "half", Value: true}},
	{"thousandth", &api.Filter{Op: "eq", Key: "module", Value: "module-7"}},
	{"range", &api.Filter{Op: "lt", Key: "level", Value: 0.1}},
	{"in", &api.Filter{Op: "in", Key: "module", Value: []string{"module-1", "module-2", "module-3", "module-4", "module-5", "module-6"}}},
	{"several", &api.Filter{Op: "and", Filters: []api.Filter{{Op: "eq", Key: "half", Value: true}, {Op: "gte", Key: "level", Value: 0.5}, {Op: "ne", Key: "module", Value: "module-9"}}}},
	{"rare", &api.Filter{Op: "eq", Key: "rare", Value: 4711}},
	{"none", &api.Filter{Op: "eq", Key: "module", Value: "nobody"}},
	{"never", &api.Filter{Op: "and", Filters: []api.Filter{{Op: "gt", Key: "level", Value: 0.5}, {Op: "lt", Key: "level", Value: 0.5}}}},
	{"two rare", &api.Filter{Op: "and", Filters: []api.Filter{{Op: "eq", Key: "module", Value: "module-7"}, {Op: "eq", Key: "rare", Value: 4711}}}},
	{"contains", &api.Filter{Op: "contains", Value: "percent"}},
	{"text none", &api.Filter{Op: "contains", Value: "nobody said"}},
}

func BenchmarkNearest(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000, 100_000, 1_000_000} {
		for _, kind := range []string{scattered, clustered} {
			b.Run(fmt.Sprintf("%d/%s", n, kind), func(b *testing.B) {
				for _, f := range benchFilters {
					b.Run(f.name, func(b *testing.B) {
						if n == 1_000_000 && testing.Short() {
							b.Skip("a million")
						}
						s := benchTable(b, kind, n).Snapshot()
						filter, err := Compile(f.filter)
						if err != nil {
							b.Fatal(err)
						}
						rng := rand.New(rand.NewPCG(7, 7))
						queries := vectorsOf(kind, rng, 64, 384)
						if kind == clustered { // near to what there is
							for i := range queries {
								for j, x := range s.row(uint32(rng.IntN(n))).Vector {
									queries[i][j] = x + 0.3*float32(rng.NormFloat64())
								}
							}
						}
						var took []time.Duration
						before := processorTime(b)
						for i := 0; b.Loop(); i++ {
							began := time.Now()
							if _, err := s.Nearest(b.Context(), queries[i%64], 10, Cosine, Select{Filter: filter}); err != nil {
								b.Fatal(err)
							}
							took = append(took, time.Since(began))
						}
						b.ReportMetric(float64(processorTime(b)-before)/1e6/float64(len(took)), "cpu-ms")
						quantiles(b, took)
					})
				}
			})
		}
	}
}

// processorTime is what this process has used: it tells more than the clock where others use the machine, too.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	all, err := process.NewProcess(int32(os.Getpid()))
	if err != nil {
		b.Fatal(err)
	}
	times, err := all.Times()
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration((times.User + times.System) * float64(time.Second))
}

func quantiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "p99-ms")
	b.ReportMetric(float64(took[len(took)-1].Nanoseconds())/1e6, "max-ms")
}

func BenchmarkNewest(b *testing.B) {
	for _, f := range benchFilters {
		b.Run(f.name, func(b *testing.B) {
			n := 1_000_000
			if testing.Short() {
				n = 100_000
			}
			s := benchTable(b, scattered, n).Snapshot()
			filter, err := Compile(f.filter)
			if err != nil {
				b.Fatal(err)
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				found := 0
				for range s.ByTime(Select{Filter: filter}, false) {
					if found++; found == 10 {
						break
					}
				}
				took = append(took, time.Since(began))
			}
			quantiles(b, took)
		})
	}
}

// BenchmarkNew builds a table anew, as opening a memory does.
func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			if n == 1_000_000 && testing.Short() {
				b.Skip("a million")
			}
			benchTables().Clear()
			rows := benchRows(scattered, n, 384)
			runtime.GC()
			for b.Loop() {
				if _, err := New(Options{TimeKey: timeKey}, rows); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApply adds one row at a time while queries run.
func BenchmarkApply(b *testing.B) {
	for _, what := range []string{"add", "update", "under a limit", "add while queries run"} {
		b.Run(what, func(b *testing.B) {
			table := benchTable(b, scattered, 100_000)
			ctx, stop := context.WithCancel(b.Context())
			var asking sync.WaitGroup
			query := normal(rand.New(rand.NewPCG(1, 1)), 384)
			if what == "add while queries run" {
				asking.Go(func() {
					for ctx.Err() == nil {
						if _, err := table.Snapshot().Nearest(ctx, query, 10, Cosine, Select{}); err != nil && ctx.Err() == nil {
							b.Error(err)
						}
					}
				})
			}
			v := normal(rand.New(rand.NewPCG(1, 9)), 384)
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				s := table.Snapshot()
				r := &Row{Seq: s.lastSeq + 1, Record: api.Record{ID: fmt.Sprint("new", s.lastSeq), Text: "news", Vector: v, Time: start.Add(time.Hour),
					Metadata: api.Metadata{"half": true, "level": 0.5}}}
				if what == "update" {
					old := s.row(uint32(i * 7919 % 100_000))
					r.ID, r.Seq = old.ID, old.Seq
				}
				change := Change{Put: []*Row{r}}
				if what == "under a limit" {
					change.Delete = []string{s.Oldest(1)[0].ID}
				}
				began := time.Now()
				if err := table.Apply(change); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			stop()
			asking.Wait()
			quantiles(b, took)
			benchTables().Clear()
		})
	}
}

// BenchmarkChromem is the yardstick: chromem-go with the same vectors, unit length as it wants them.
func BenchmarkChromem(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			c := chromemOf(b, vectorsOf(scattered, rng, n, 384))
			query := unit(normal(rng, 384))
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if _, err := c.QueryEmbedding(b.Context(), query, 10, nil, nil); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			quantiles(b, took)
		})
	}
}

// BenchmarkRead reads the bytes of 100,000 compact vectors, one core, and does nothing with them.
func BenchmarkRead(b *testing.B) {
	words := make([]uint64, 100_000*384/8)
	b.SetBytes(int64(8 * len(words)))
	var a, c, d, e uint64
	for b.Loop() {
		for i := 0; i < len(words); i += 8 {
			w := words[i : i+8 : i+8]
			a, c, d, e = a+w[0]+w[4], c+w[1]+w[5], d+w[2]+w[6], e+w[3]+w[7]
		}
	}
	runtime.KeepAlive(a + c + d + e)
}

func unit(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) / math.Sqrt(sum))
	}
	return out
}

func chromemOf(tb testing.TB, vectors [][]float32) *chromem.Collection {
	tb.Helper()
	c, err := chromem.NewDB().CreateCollection("oracle", nil, func(context.Context, string) ([]float32, error) { return nil, context.Canceled })
	if err != nil {
		tb.Fatal(err)
	}
	for i, v := range vectors {
		if err := c.AddDocument(tb.Context(), chromem.Document{ID: fmt.Sprint(i), Embedding: unit(v)}); err != nil {
			tb.Fatal(err)
		}
	}
	return c
}
