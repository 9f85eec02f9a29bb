package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

const defaultK = 10

// atMost is how many records a query for k asks for.
func atMost(k int) (int, error) {
	if k < 0 {
		return 0, fmt.Errorf("k is %d: %w", k, api.ErrInvalid)
	}
	return cmp.Or(k, defaultK), nil
}

// Get implements api.Memory: records in time order, newest first unless sel.Oldest, those of the same time in the order
// (or the reverse) in which they were added. IDs that do not exist are left out.
func (s *Store) Get(ctx context.Context, sel api.Selection) ([]api.Record, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if sel.Limit < 0 || sel.Offset < 0 {
		return nil, fmt.Errorf("get records: limit %d and offset %d must not be negative: %w", sel.Limit, sel.Offset, api.ErrInvalid)
	}
	filter, err := table.Compile(sel.Filter)
	if err != nil {
		return nil, fmt.Errorf("get records: %w", err)
	}
	v := s.view.Load()
	which := v.live(table.Select{IDs: some(sel.IDs), Since: sel.Since, Until: sel.Until, Filter: filter}, s.now())
	records := []api.Record{}
	skip := sel.Offset
	for r := range v.snap.ByTime(which, sel.Oldest) {
		if skip > 0 {
			skip--
			continue
		}
		records = append(records, answer(r, sel.Vectors))
		if len(records) == sel.Limit {
			break
		}
		if len(records)%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return records, nil
}

// some is ids as a table.Select has them: there an empty list is none, here it is any.
func some(ids []string) []string {
	if len(ids) == 0 {
		return nil
	}
	return ids
}

// Query implements api.Memory: exactly the nearest by cosine distance, equally near ones in the order of adding. A text
// without a direction (blank, or empty) is near to nothing: no matches, no error. Records without a vector are never
// among the matches.
func (s *Store) Query(ctx context.Context, q api.Query) ([]api.Match, error) {
	matches, err := s.query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("query memory: %w", err)
	}
	return matches, nil
}

func (s *Store) query(ctx context.Context, q api.Query) ([]api.Match, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	var err error
	if q.K, err = atMost(q.K); err != nil {
		return nil, err
	}
	v, vector, err := s.queryVector(ctx, q)
	if vector == nil || err != nil {
		return nil, err
	}
	hits, err := s.nearest(ctx, v, vector, q, table.Cosine)
	if err != nil {
		return nil, err
	}
	matches := make([]api.Match, len(hits))
	for i, h := range hits {
		matches[i] = api.Match{Record: answer(h.Row, q.Vectors), Distance: h.Distance}
	}
	return matches, nil
}

// queryVector returns the vector that q asks for (nil: its text has no direction) and a view in whose space it is.
func (s *Store) queryVector(ctx context.Context, q api.Query) (*view, []float32, error) {
	if len(q.Vector) > 0 {
		v := s.view.Load()
		return v, q.Vector, s.fits(v, q.Vector)
	}
	for {
		v := s.view.Load()
		e, err := s.speaker(v)
		if err != nil {
			return nil, nil, err
		}
		made, err := s.embed(ctx, e, []string{q.Text})
		if err != nil || made[0] == nil {
			return v, nil, err
		}
		// What was written while the text was embedded is to be found.
		now := s.view.Load()
		if s.spaceOf(now).Embedder == s.spaceOf(v).Embedder {
			return now, made[0], s.fits(now, made[0])
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
}

// nearest asks a view for the q.K nearest, as q selects.
func (s *Store) nearest(ctx context.Context, v *view, vector []float32, q api.Query, metric table.Metric) ([]table.Hit, error) {
	filter, err := table.Compile(q.Filter)
	if err != nil {
		return nil, err
	}
	which := v.live(table.Select{Since: q.Since, Until: q.Until, Filter: filter}, s.now())
	if v.head.Dimension == 0 || v.snap.Len() == 0 {
		return nil, nil
	}
	return v.snap.Nearest(ctx, vector, q.K, metric, which)
}

// fits checks a vector against what v holds.
func (s *Store) fits(v *view, vector []float32) error {
	if err := checkVector(vector); err != nil {
		return err
	}
	sp := s.spaceOf(v)
	if v.snap.Len() > 0 && v.head.Dimension != 0 && len(vector) != v.head.Dimension {
		return fmt.Errorf("the memory's embedder is %s: %w", sp, DimensionError{Want: sp.Dimension, Got: len(vector)})
	}
	return nil
}

// Count implements api.Memory.
func (s *Store) Count(ctx context.Context, filter *api.Filter) (int, error) {
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	compiled, err := table.Compile(filter)
	if err != nil {
		return 0, fmt.Errorf("count records: %w", err)
	}
	v, now := s.view.Load(), s.now()
	if compiled == nil {
		return v.count(now), nil
	}
	return v.snap.Count(v.live(table.Select{Filter: compiled}, now)), nil
}

// answer copies a record for a caller, who may change what it gets.
func answer(r *table.Row, vectors bool) api.Record {
	a := r.Record
	a.Metadata = maps.Clone(r.Metadata)
	a.Vector = nil
	if vectors {
		a.Vector = slices.Clone(r.Vector)
	}
	return a
}
