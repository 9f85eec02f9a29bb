package memory

import (
	"container/heap"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// expiries are the times at which records expire, the first on top, in microseconds since 1970. Those of records that
// have gone before their time stay until it comes: nothing is removed then.
type expiries []int64

func (e *expiries) push(r *table.Row) {
	if !r.Expires.IsZero() {
		heap.Push((*microHeap)(e), r.Expires.UnixMicro())
	}
}

// pop takes those up to now away.
func (e *expiries) pop(now time.Time) {
	for len(*e) > 0 && (*e)[0] <= now.UnixMicro() {
		heap.Pop((*microHeap)(e))
	}
}

// first returns the first of them, zero where there are none.
func (e expiries) first() time.Time {
	if len(e) == 0 {
		return time.Time{}
	}
	return time.UnixMicro(e[0]).UTC()
}

// microHeap implements heap.Interface.
type microHeap []int64

func (h microHeap) Len() int           { return len(h) }
func (h microHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h microHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *microHeap) Push(x any)        { *h = append(*h, x.(int64)) }
func (h *microHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
