package embed

import (
	"container/list"
	"context"
	"strings"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// cached remembers the vectors of the texts that were asked for last, up to a number of bytes: agents say the same things
// again, and a retry of a request that failed half way costs its other half only.
type cached struct {
	memory.Embedder
	limit int // bytes

	mu    sync.Mutex
	known map[string]*list.Element
	order list.List // of *known: what was used last is in front
	bytes int
}

type known struct {
	text   string
	vector []float32
}

// entryBytes is about what the map, the list and the headers take for one text.
const entryBytes = 200

func (k *known) bytes() int { return entryBytes + len(k.text) + 4*len(k.vector) }

func newCached(e memory.Embedder, limit int) *cached {
	return &cached{Embedder: e, limit: limit, known: map[string]*list.Element{}}
}

func (c *cached) ready(ctx context.Context) error { return Ready(ctx, c.Embedder) }

// Embed implements memory.Embedder. It asks for each text that it does not know once.
func (c *cached) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	var ask []string
	at := map[string]int{} // in ask
	c.mu.Lock()
	for i, text := range texts {
		if e := c.known[text]; e != nil {
			c.order.MoveToFront(e)
			vectors[i] = e.Value.(*known).vector
		} else if _, asked := at[text]; !asked {
			at[text] = len(ask)
			ask = append(ask, text)
		}
	}
	c.mu.Unlock()
	if len(ask) == 0 {
		return vectors, nil
	}
	made, err := c.Embedder.Embed(ctx, ask)
	if len(made) == len(ask) { // an embedder that failed half way gives nil for the rest
		c.remember(ask, made)
	}
	if err != nil {
		return nil, err
	}
	if len(made) != len(ask) {
		return made, nil // the caller compares, and tells
	}
	for i, text := range texts {
		if vectors[i] == nil {
			vectors[i] = made[at[text]]
		}
	}
	return vectors, nil
}

func (c *cached) remember(texts []string, vectors [][]float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, text := range texts {
		if vectors[i] == nil || len(text) > longestInCache || c.known[text] != nil {
			continue
		}
		k := &known{text: strings.Clone(text), vector: vectors[i]}
		c.known[k.text] = c.order.PushFront(k)
		c.bytes += k.bytes()
	}
	for c.bytes > c.limit {
		last := c.order.Back()
		k := c.order.Remove(last).(*known)
		delete(c.known, k.text)
		c.bytes -= k.bytes()
	}
}
