package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// benchAgent is whose memory is measured; Chroma has a collection of the same name.
const (
	benchAgent      = "bench"
	agentCollection = "concurrent_modular_agent-state-" + benchAgent
	dimension       = 384
)

// memorySizes are the numbers of records at which the same collection is asked.
var memorySizes = []int{0, 1_000, 10_000, 100_000}

// memory compares coma with the real Chroma: the same requests, by Chroma's own Python client and by a bare one in Go,
// on both servers in turn. Then coma alone by its own API, as modules in Go use it.
func (b *bench) memory() error {
	chroma, err := peers.Chroma()
	if err != nil {
		b.row("memory", "-", err.Error())
		return nil
	}
	python, err := peers.Python()
	if err != nil {
		b.row("memory", "-", err.Error())
		return nil
	}
	m := &memoryBench{bench: b, python: python}
	home := filepath.Join(b.dir, "memory")
	m.coma = &storeServer{name: "coma", dir: filepath.Join(home, "coma"), log: filepath.Join(b.dir, "coma.log"),
		command: func(ctx context.Context, port int) *exec.Cmd {
			cmd := exec.CommandContext(ctx, b.coma, "backend", "start", "--foreground", "--api-port", strconv.Itoa(port), "--mqtt-port", strconv.Itoa(port+1))
			cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+home, "XDG_STATE_HOME="+home+"/state", "XDG_RUNTIME_DIR="+home+"/run")
			return cmd
		}}
	m.chroma = &storeServer{name: "Chroma", dir: filepath.Join(b.dir, "chroma"), log: filepath.Join(b.dir, "chroma.log"),
		command: func(ctx context.Context, port int) *exec.Cmd {
			return exec.CommandContext(ctx, chroma, "run", "--path", filepath.Join(b.dir, "chroma"), "--port", strconv.Itoa(port))
		}}
	m.folders = folders.Folders{Data: filepath.Join(home, "coma"), State: filepath.Join(home, "state", "coma"), Runtime: filepath.Join(home, "run", "coma")}
	for _, s := range m.both() {
		if err := s.start(b.ctx); err != nil {
			return err
		}
		defer s.stop()
	}
	for _, measure := range []func() error{m.compare, m.rest, m.bareWriters, m.alone} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

// memoryBench is what the measurements of memory share.
type memoryBench struct {
	*bench
	python       string
	coma, chroma *storeServer
	folders      folders.Folders // coma's
}

func (m *memoryBench) both() [2]*storeServer { return [2]*storeServer{m.chroma, m.coma} }

// beside is a row of two measurements. better is how many times better coma's is.
func (m *memoryBench) beside(what, coma, chroma string, better float64) {
	verdict := fmt.Sprintf("Chroma %s; × %.3g", chroma, better)
	if better < 1 {
		verdict += " BEHIND"
	}
	m.row(what, coma, verdict)
}

// ask runs memory.py on both servers.
func (m *memoryBench) ask(what, collection string, numbers ...int) (coma, chroma answers, err error) {
	args := []string{filepath.Join("bench", "memory.py"), strconv.Itoa(m.chroma.port), strconv.Itoa(m.coma.port), what, collection}
	for _, n := range numbers {
		args = append(args, strconv.Itoa(n))
	}
	cmd := exec.CommandContext(m.ctx, m.python, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return coma, chroma, fmt.Errorf("memory.py %s: %w\n%s", what, err, stderr.String())
	}
	var both struct{ Coma, Chroma answers }
	if err := json.Unmarshal(out, &both); err != nil {
		return coma, chroma, fmt.Errorf("memory.py %s: %w", what, err)
	}
	return both.Coma, both.Chroma, nil
}

// answers are what memory.py measures: seconds, records a second, or shares.
type answers struct {
	Alone, Together                float64 // write
	Rate                           float64 // fill
	Query, Tenth, Thousandth, Both float64 // ask
	Recall                         float64
	Newest                         float64
}

func (m *memoryBench) compare() error {
	coma, chroma, err := m.ask("write", "writes")
	if err != nil {
		return err
	}
	m.beside("Python client: add, one record a call, p50", inMilliseconds(coma.Alone), inMilliseconds(chroma.Alone), chroma.Alone/coma.Alone)
	m.beside("Python client: add, 16 threads", perSecond(coma.Together), perSecond(chroma.Together), coma.Together/chroma.Together)
	for i, size := range memorySizes[1:] {
		coma, chroma, err := m.ask("fill", agentCollection, memorySizes[i], size)
		if err != nil {
			return err
		}
		m.beside(fmt.Sprintf("Python client: bulk, 1,000 a call, up to %d records", size), perSecond(coma.Rate), perSecond(chroma.Rate), coma.Rate/chroma.Rate)
		if coma, chroma, err = m.ask("ask", agentCollection, size); err != nil {
			return err
		}
		for _, q := range []struct {
			what string
			of   func(answers) float64
		}{
			{"the 10 nearest", func(a answers) float64 { return a.Query }},
			{"the 10 nearest of one in 10", func(a answers) float64 { return a.Tenth }},
			{"the 10 nearest of one in 1,000", func(a answers) float64 { return a.Thousandth }},
			{"the 10 nearest by two conditions, half", func(a answers) float64 { return a.Both }},
		} {
			m.beside(fmt.Sprintf("Python client: %s, %d records, p50", q.what, size), inMilliseconds(q.of(coma)), inMilliseconds(q.of(chroma)), q.of(chroma)/q.of(coma))
		}
		m.row(fmt.Sprintf("recall@10, %d records", size), fmt.Sprintf("%.3f", coma.Recall), fmt.Sprintf("Chroma %.3f", chroma.Recall))
		m.beside(fmt.Sprintf("Python framework's state.get(10), %d records, p50", size), inMilliseconds(coma.Newest), inMilliseconds(chroma.Newest), chroma.Newest/coma.Newest)
	}
	return nil
}

// rest is what a server costs with all records in it: memory, disk, and the time until it answers again.
func (m *memoryBench) rest() error {
	size := memorySizes[len(memorySizes)-1]
	var mib, disk, again [2]float64
	for i, s := range m.both() {
		var err error
		if mib[i], err = proportional(s.cmd.Process.Pid); err != nil {
			return err
		}
		if disk[i], err = diskMiB(s.dir); err != nil {
			return err
		}
		if err := s.stop(); err != nil {
			return err
		}
		began := time.Now()
		if err := s.start(m.ctx); err != nil {
			return err
		}
		if err := s.query(m.ctx, agentCollection); err != nil {
			return err
		}
		again[i] = time.Since(began).Seconds()
	}
	m.beside(fmt.Sprintf("restart to the first answer, %d records", size), inMilliseconds(again[1]), inMilliseconds(again[0]), again[0]/again[1])
	m.beside(fmt.Sprintf("memory of the server, %d records", size), mebibytes(mib[1]), mebibytes(mib[0]), mib[0]/mib[1])
	m.beside(fmt.Sprintf("disk, %d records", size), mebibytes(disk[1]), mebibytes(disk[0]), disk[0]/disk[1])
	return nil
}

// bareWriters adds records by 16 connections of a client that costs next to nothing.
func (m *memoryBench) bareWriters() error {
	var rates [2]float64
	for i, s := range m.both() {
		id, err := s.collection(m.ctx, "writes")
		if err != nil {
			return err
		}
		rate, err := together(m.ctx, 16, 3*time.Second, func(ctx context.Context, n int) error {
			return s.add(ctx, id, fmt.Sprint("bare", n), anyVector(uint64(n)))
		})
		if err != nil {
			return fmt.Errorf("add to %s: %w", s.name, err)
		}
		rates[i] = rate
	}
	m.beside("bare HTTP: add, 16 connections", perSecond(rates[1]), perSecond(rates[0]), rates[1]/rates[0])
	return nil
}

// alone measures coma's own API, over its socket as a module's process uses it, on the largest memory.
func (m *memoryBench) alone() error {
	found, err := backend.Running(m.ctx, m.folders)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%d backends run in %s", len(found), m.folders.Runtime)
	}
	defer found[0].Close()
	memory, err := found[0].OpenMemory(m.ctx, benchAgent)
	if err != nil {
		return err
	}
	defer memory.Close()
	size, err := memory.Count(m.ctx, nil)
	if err != nil {
		return err
	}
	nth := 0
	add := func(ctx context.Context, n int) error {
		_, err := memory.Add(ctx, []api.Record{{Text: fmt.Sprint("Record ", n, " of a module in Go."), Vector: anyVector(uint64(n)), Metadata: api.Metadata{"level": n % 10}}})
		return err
	}
	query := func(filter *api.Filter) func() error {
		return func() error {
			nth++
			_, err := memory.Query(m.ctx, api.Query{Vector: anyVector(uint64(nth)), K: 10, Filter: filter})
			return err
		}
	}
	retrieve := func(r api.Retrieval) func() error {
		r.Query = api.Query{Vector: anyVector(5), K: 10}
		return func() error {
			_, err := memory.Retrieve(m.ctx, r)
			return err
		}
	}
	for _, one := range []struct {
		what string
		do   func() error
	}{
		{"add", func() error { nth++; return add(m.ctx, 1_000_000+nth) }},
		{"Query, k 10", query(nil)},
		{"Query, k 10 of one in 10", query(&api.Filter{Op: "eq", Key: "level", Value: 3})},
		{"Get, the newest 10", func() error { _, err := memory.Get(m.ctx, api.Selection{Limit: 10}); return err }},
		{"Retrieve, TimeWeighted over all", retrieve(api.Retrieval{TimeWeighted: &api.TimeWeighted{Decay: 1e-6, All: true}})},
		{"Retrieve, AlphaBeta over all", retrieve(api.Retrieval{AlphaBeta: &api.AlphaBeta{Alpha: 10, Beta: -3, Pi: 0.5, All: true}})},
		{"Retrieve, MarginalRelevance", retrieve(api.Retrieval{MarginalRelevance: &api.MarginalRelevance{HalfLife: time.Hour}})},
	} {
		took, err := medianOf(40, one.do)
		if err != nil {
			return fmt.Errorf("%s: %w", one.what, err)
		}
		m.row(fmt.Sprintf("Go: %s, %d records, p50", one.what, size), inMilliseconds(took), "")
	}
	rate, err := together(m.ctx, 16, 3*time.Second, func(ctx context.Context, n int) error { return add(ctx, 2_000_000+n) })
	if err != nil {
		return err
	}
	m.row(fmt.Sprintf("Go: add, 16 at once, %d records", size), perSecond(rate), "")
	return nil
}

// medianOf runs do count times and returns the median, in seconds, without the first tenth.
func medianOf(count int, do func() error) (float64, error) {
	var times []float64
	for i := range count {
		began := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		if i >= count/10 {
			times = append(times, time.Since(began).Seconds())
		}
	}
	return median(times), nil
}

// together runs do in n goroutines for a while, numbered, and returns how often a second. The first error ends it.
func together(ctx context.Context, n int, during time.Duration, do func(ctx context.Context, n int) error) (float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done atomic.Int64
	var workers sync.WaitGroup
	began := time.Now()
	for worker := range n {
		workers.Go(func() {
			for i := worker; time.Since(began) < during && ctx.Err() == nil; i += n {
				if err := do(ctx, i); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	workers.Wait()
	return float64(done.Load()) / time.Since(began).Seconds(), context.Cause(ctx)
}

// anyVector is a vector of a number's own.
func anyVector(seed uint64) []float32 {
	random := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, dimension)
	for i := range v {
		v[i] = float32(random.NormFloat64()) / 20 // about length 1
	}
	return v
}

func diskMiB(dir string) (float64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return float64(sum) / (1 << 20), err
}

func inMilliseconds(seconds float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.2f", 1000*seconds), ".00") + " ms"
}
func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }
func mebibytes(mib float64) string  { return fmt.Sprintf("%.0f MiB", mib) }
