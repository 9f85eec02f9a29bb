package memory

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// chance makes the random inputs, from few enough values that they meet.
type chance struct{ *rand.Rand }

func pick[T any](c chance, from ...T) T { return from[c.IntN(len(from))] }

func (c chance) id() string { return fmt.Sprint("id", c.IntN(40)) }

func (c chance) time() time.Time { return start.Add(time.Duration(c.IntN(20)) * time.Second) }

func (c chance) value() any {
	return pick[any](c, int64(1), int64(2), 1.0, 2.0, 1.5, -1.5, "a", "b", "", true, false)
}

// key and its value: under timeKey there are times.
func (c chance) pair() (string, any) {
	if c.IntN(8) == 0 {
		return timeKey, pick[any](c, float64(c.time().UnixMicro())/1e6, c.time().Unix(), "a")
	}
	return pick(c, "k", "l"), c.value()
}

func (c chance) vector() []float32 {
	if c.IntN(20) == 0 {
		return make([]float32, 4)
	}
	return []float32{c.Float32() - 0.5, c.Float32(), 3 * c.Float32(), 1}
}

func (c chance) text() string {
	words := []string{"soil", "light", "water", "leaf", "night", "日本", "🌱"}
	if c.IntN(8) == 0 {
		return pick(c, "", " ")
	}
	return pick(c, words...) + " " + pick(c, words...) + " " + pick(c, words...)
}

func (c chance) record(id string, now time.Time) api.Record {
	r := api.Record{ID: id, Time: c.time(), Text: c.text()}
	if c.IntN(4) == 0 {
		r.Vector = c.vector()
	}
	if c.IntN(6) == 0 {
		r.Expires = now.Add(time.Duration(c.IntN(30)-2) * time.Second)
	}
	for range c.IntN(3) {
		if r.Metadata == nil {
			r.Metadata = api.Metadata{}
		}
		key, v := c.pair()
		r.Metadata[key] = v
	}
	return r
}

func (c chance) item() Item {
	item := Item{ID: c.id()}
	if text := c.text(); c.IntN(4) > 0 {
		item.Document = &text
	}
	if c.IntN(6) == 0 {
		uri := pick(c, "file:///a", "")
		item.URI = &uri
	}
	if c.IntN(3) > 0 {
		item.Vector = c.vector()
	}
	for range c.IntN(3) {
		if item.Metadata == nil {
			item.Metadata = map[string]any{}
		}
		key, v := c.pair()
		if c.IntN(4) == 0 {
			v = nil
		}
		item.Metadata[key] = v
	}
	return item
}

func (c chance) itemSelection() ItemSelection {
	sel := ItemSelection{Vectors: true, Limit: c.IntN(8), Filter: c.maybeFilter()}
	if c.IntN(3) == 0 {
		sel.Offset = c.IntN(6)
	}
	if c.IntN(3) == 0 {
		sel.IDs = []string{c.id(), c.id(), c.id()}
	}
	return sel
}

func (c chance) filter(depth int) api.Filter {
	op := pick(c, "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "notcontains", "and", "or")
	f := api.Filter{Op: op}
	switch op {
	case "and", "or":
		if depth > 2 {
			return c.filter(depth)
		}
		for range 1 + c.IntN(3) {
			f.Filters = append(f.Filters, c.filter(depth+1))
		}
	case "contains", "notcontains":
		f.Value = pick(c, "soil", "l", "日", " ")
	case "in", "nin":
		f.Key, f.Value = pick(c, "k", "l"), []any{c.value(), c.value()}
	case "eq", "ne":
		f.Key, f.Value = c.pair()
	default:
		f.Key, f.Value = pick(c, "k", "l"), pick[any](c, 1, 1.5, 2.0, "a")
		if c.IntN(4) == 0 {
			f.Key, f.Value = timeKey, c.time().Unix()
		}
	}
	return f
}

func (c chance) maybeFilter() *api.Filter {
	if c.IntN(2) == 0 {
		return nil
	}
	f := c.filter(0)
	return &f
}

func (c chance) selection() api.Selection {
	sel := api.Selection{Vectors: true, Oldest: c.IntN(2) == 0, Limit: c.IntN(10), Filter: c.maybeFilter()}
	if c.IntN(3) == 0 {
		sel.Offset = c.IntN(10)
	}
	if c.IntN(3) == 0 {
		sel.Since = c.time()
	}
	if c.IntN(3) == 0 {
		sel.Until = c.time()
	}
	if c.IntN(4) == 0 {
		sel.IDs = []string{c.id(), c.id(), c.id()}
	}
	return sel
}
