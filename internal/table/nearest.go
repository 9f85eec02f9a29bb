package table

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/vector"
)

// Metric says how far two vectors are apart.
type Metric = vector.Metric

// The metrics. A zero vector has the cosine distance 1 to all.
const (
	Cosine = vector.Cosine // 1 − cosine of the angle: 0 (same direction) to 2 (opposite)
	L2     = vector.L2     // the square of the Euclidean distance
	IP     = vector.IP     // 1 − inner product
)

// Hit is one answer of Nearest.
type Hit struct {
	Row      *Row
	Distance float64 // in the metric asked for, as float64 arithmetic gives it
}

// alone is up to how many blocks one goroutine searches all by itself.
const alone = 4

// Nearest returns the k nearest of the selected rows that have a vector, nearest first, equally near ones in the order
// of adding. It is exact. A vector of another dimension or with a NaN or an infinity in it is refused with an error
// that wraps api.ErrInvalid. Where ctx ends before, its error is returned.
//
// Each row's compact vector says how near it can be at best; only those that can be among the k nearest found so far
// are looked at further: at their text, where the filter needs it, then at the vector itself.
func (s *Snapshot) Nearest(ctx context.Context, query []float32, k int, metric Metric, sel Select) ([]Hit, error) {
	hits, err := s.nearest(ctx, query, k, metric, sel)
	if err != nil {
		return nil, fmt.Errorf("find nearest: %w", err)
	}
	return hits, nil
}

func (s *Snapshot) nearest(ctx context.Context, query []float32, k int, metric Metric, sel Select) ([]Hit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := vector.Check(query); err != nil {
		return nil, err
	}
	if s.vectors == 0 || k < 1 {
		return nil, nil
	}
	if len(query) != s.dimension {
		return nil, fmt.Errorf("vector has %d dimensions, not %d: %w", len(query), s.dimension, api.ErrInvalid)
	}
	c := &search{s: s, query: vector.NewQuery(metric, query), k: min(k, s.vectors)}
	c.limit.Store(math.Float64bits(math.Inf(1)))
	if sel.IDs != nil {
		var f finding
		for slot, r := range s.named(sel) {
			if r.Vector != nil {
				f.take(c, candidate{c.query.Distance(r.Vector), uint32(slot), r})
			}
		}
		return merge([]finding{f}, k), nil
	}
	c.plan = s.planned(sel)
	found := make([]finding, max(1, min(runtime.GOMAXPROCS(0), len(s.blocks)/alone)))
	var working sync.WaitGroup
	for i := range found[1:] {
		working.Go(func() { c.work(ctx, &found[1+i]) })
	}
	c.work(ctx, &found[0])
	working.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return merge(found, k), nil
}

// search is one Nearest on its way.
type search struct {
	s     *Snapshot
	plan  *plan
	query *vector.Query
	k     int
	next  atomic.Int64  // block to be searched next, counted from the end: what is new is often near
	limit atomic.Uint64 // a float64: k rows that are not further away were found
}

func (c *search) work(ctx context.Context, f *finding) {
	const turn = 2 // blocks, some 60 µs: then others may run, who would wait for 10 ms otherwise
	for i := 1; ctx.Err() == nil; i++ {
		n := len(c.s.blocks) - int(c.next.Add(1))
		if n < 0 {
			return
		}
		c.block(n, f)
		if i%turn == 0 {
			runtime.Gosched()
		}
	}
}

func (c *search) block(n int, f *finding) {
	b := c.s.blocks[n]
	if b.vectors.empty() {
		return
	}
	v := c.plan.verdict(n)
	for w, slab := range b.slabs {
		rows := (v.yes[w] | v.maybe[w]) & b.vectors[w]
		if rows == 0 {
			continue
		}
		for pass := c.query.Sift(slab, rows, math.Float64frombits(c.limit.Load())); pass != 0; pass &= pass - 1 {
			bit := bits.TrailingZeros64(pass)
			r := b.rows[64*w+bit]
			if v.maybe[w]>>bit&1 != 0 && !c.plan.match(r) {
				continue
			}
			f.take(c, candidate{c.query.Distance(r.Vector), uint32(n*blockSlots + 64*w + bit), r})
		}
	}
}

// candidate is a row that may be among the nearest.
type candidate struct {
	distance float64
	slot     uint32
	row      *Row
}

func (a candidate) compare(b candidate) int {
	return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.slot, b.slot))
}

// finding is the k nearest that one goroutine found: a list, and from k on a heap, the furthest on top.
type finding struct{ heap []candidate }

func (f *finding) take(c *search, x candidate) {
	switch {
	case len(f.heap) < c.k:
		f.heap = append(f.heap, x)
		if len(f.heap) < c.k {
			return
		}
		for i := len(f.heap)/2 - 1; i >= 0; i-- {
			f.down(i)
		}
	case x.compare(f.heap[0]) < 0:
		f.heap[0] = x
		f.down(0)
	default:
		return
	}
	c.lower(f.heap[0].distance)
}

// lower makes d the limit where it is less.
func (c *search) lower(d float64) {
	for {
		old := c.limit.Load()
		if math.Float64frombits(old) <= d || c.limit.CompareAndSwap(old, math.Float64bits(d)) {
			return
		}
	}
}

// down brings the one at i to its place among those below it.
func (f *finding) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(f.heap) {
			return
		}
		if child+1 < len(f.heap) && f.heap[child+1].compare(f.heap[child]) > 0 {
			child++
		}
		if f.heap[child].compare(f.heap[i]) <= 0 {
			return
		}
		f.heap[i], f.heap[child] = f.heap[child], f.heap[i]
		i = child
	}
}

func merge(found []finding, k int) []Hit {
	var all []candidate
	for _, f := range found {
		all = append(all, f.heap...)
	}
	slices.SortFunc(all, candidate.compare)
	all = all[:min(k, len(all))]
	hits := make([]Hit, len(all))
	for i, x := range all {
		hits[i] = Hit{x.row, x.distance}
	}
	return hits
}
