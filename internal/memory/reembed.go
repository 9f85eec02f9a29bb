package memory

import (
	"context"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// Reembed gives all records vectors of another embedder (NoEmbedder's: none), made of their texts; a record without a text
// has none afterwards. The memory speaks with that embedder from then on.
//
// The new vectors are made beside the old ones and take their place in one step: until then, and after an error or a
// crash, the memory is as it was. Reads and writes go on meanwhile, and what is written is taken along. progress, which
// may be nil, is told how many records are done.
func (s *Store) Reembed(ctx context.Context, e Embedder, progress func(done, total int)) error {
	name := e.Name()
	if name == "" || name == GivenEmbedder {
		return fmt.Errorf("reembed memory %s: embedder %q makes no vectors: %w", s.name, name, api.ErrInvalid)
	}
	dimension := 0
	f := &follower{told: progress}
	f.convert = func(ctx context.Context, rows []*table.Row) ([]*table.Row, error) {
		texts := make([]string, len(rows))
		for i, r := range rows {
			texts[i] = r.Text
		}
		vectors := make([][]float32, len(rows))
		if name != NoEmbedder {
			var err error
			if vectors, err = s.embed(ctx, e, texts); err != nil {
				return nil, err
			}
		}
		made := make([]*table.Row, len(rows))
		for i, r := range rows {
			if n := len(vectors[i]); n > 0 && dimension == 0 {
				dimension = n
			} else if n > 0 && n != dimension {
				return nil, fmt.Errorf("embed text with %q: %w", name, DimensionError{Want: dimension, Got: n})
			}
			row := *r
			row.Vector = vectors[i]
			made[i] = &row
		}
		return made, nil
	}
	err := s.rebuild(ctx, f, func(h header) header {
		h.space = space{Embedder: name, Dimension: dimension}
		h.declared = ""
		s.foundMu.Lock()
		defer s.foundMu.Unlock()
		s.found[name] = e
		return h
	})
	if err != nil {
		return fmt.Errorf("reembed memory %s: %w", s.name, err)
	}
	return nil
}
