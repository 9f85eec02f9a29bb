package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const defaultK = 10

// Get implements api.Memory: records in time order, newest first unless sel.Oldest, those of the same time in the order
// (or the reverse) in which they were added. IDs that do not exist are left out.
func (s *Store) Get(ctx context.Context, sel api.Selection) ([]api.Record, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if sel.Limit < 0 || sel.Offset < 0 {
		return nil, fmt.Errorf("get records: limit %d and offset %d must not be negative: %w", sel.Limit, sel.Offset, api.ErrInvalid)
	}
	matches, err := compile(sel.Filter)
	if err != nil {
		return nil, fmt.Errorf("get records: %w", err)
	}
	chosen := s.choose(sel, matches)
	records := make([]api.Record, len(chosen))
	for i, r := range chosen {
		records[i] = answer(r, sel.Vectors)
	}
	return records, nil
}

// choose finds the records of a selection, in its order.
func (s *Store) choose(sel api.Selection, matches condition) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	line := s.state.line
	if len(sel.IDs) > 0 {
		line = s.state.named(sel.IDs)
	}
	line = line.between(sel.Since, sel.Until)
	from := slices.Backward(line)
	if sel.Oldest {
		from = slices.All(line)
	}
	var chosen []*record
	skip := sel.Offset
	for _, r := range from {
		if !matches(r) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		chosen = append(chosen, r)
		if len(chosen) == sel.Limit {
			break
		}
	}
	return chosen
}

// named returns the records with these IDs, each once, in time order.
func (s *state) named(ids []string) timeline {
	var found timeline
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if r := s.records[id]; r != nil && !seen[id] {
			seen[id] = true
			found = append(found, r)
		}
	}
	slices.SortFunc(found, compare)
	return found
}

// Query implements api.Memory. Distances are of vectors brought to length 1. A text without a direction (blank, or
// empty) is near to nothing: no matches, no error. Records without a vector are never among the matches.
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
	if q.K < 0 {
		return nil, fmt.Errorf("k is %d: %w", q.K, api.ErrInvalid)
	}
	if q.K == 0 {
		q.K = defaultK
	}
	matches, err := compile(q.Filter)
	if err != nil {
		return nil, err
	}
	vector, embedded := q.Vector, false
	if len(vector) == 0 {
		made, err := s.embed(ctx, []string{q.Text})
		if err != nil {
			return nil, err
		}
		if vector, embedded = made[0], true; vector == nil {
			return nil, nil
		}
	}

	s.mu.RLock()
	defer s.mu.RUnlock()
	sp := s.space()
	if embedded {
		if err := s.speaks(sp); err != nil {
			return nil, err
		}
	}
	if err := checkVector(vector, sp); err != nil {
		return nil, err
	}
	if s.state.len() == 0 {
		return nil, nil
	}
	var keep func(string) bool
	if q.Filter != nil {
		keep = func(id string) bool { return matches(s.state.records[id]) }
	}
	hits, err := s.state.index.Search(ctx, vector, q.K, keep)
	if err != nil {
		return nil, err
	}
	answers := make([]api.Match, len(hits))
	for i, h := range hits {
		answers[i] = api.Match{Record: answer(s.state.records[h.ID], q.Vectors), Distance: h.Distance}
	}
	return answers, nil
}

// checkVector checks a vector against the space that it is meant for.
func checkVector(v []float32, sp space) error {
	if len(v) != sp.Dimension {
		return fmt.Errorf("vector has %d dimensions, the memory's embedder %q has %d: %w", len(v), sp.Embedder, sp.Dimension, api.ErrInvalid)
	}
	_, err := length(v)
	return err
}

// Count implements api.Memory.
func (s *Store) Count(ctx context.Context, filter *api.Filter) (int, error) {
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	matches, err := compile(filter)
	if err != nil {
		return 0, fmt.Errorf("count records: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if filter == nil {
		return s.state.len(), nil
	}
	n := 0
	for _, r := range s.state.line {
		if matches(r) {
			n++
		}
	}
	return n, nil
}

// answer copies a record for a caller, who may change what it gets.
func answer(r *record, vectors bool) api.Record {
	a := r.Record
	a.Metadata = maps.Clone(r.Metadata)
	a.Vector = nil
	if vectors {
		a.Vector = slices.Clone(r.Vector)
	}
	return a
}
