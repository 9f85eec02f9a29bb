package chroma

import (
	"context"
	"maps"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/memory"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

type fakes struct {
	mu     sync.Mutex
	stores map[Key]*fake
}

func (f *fakes) Keys() (keys []Key, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.stores {
		keys = append(keys, k)
	}
	return
}
func (f *fakes) Peek(key Key) (Head, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stores[key]
	if s == nil {
		return Head{}, api.ErrNotFound
	}
	return Head{Attribute: s.attrs[AttributeKey], Dimension: s.t.Snapshot().Dimension()}, nil
}
func (f *fakes) Use(key Key, create bool, do func(Store) error) error {
	f.mu.Lock()
	s := f.stores[key]
	if s == nil && create {
		t, _ := table.New(table.Options{}, nil)
		s = &fake{t: t, attrs: map[string][]byte{}}
		f.stores[key] = s
	}
	f.mu.Unlock()
	if s == nil {
		return api.ErrNotFound
	}
	return do(s)
}
func (f *fakes) Remove(key Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.stores, key)
	return nil
}

type fake struct {
	t     *table.Table
	attrs map[string][]byte
	seq   uint64
}

func (s *fake) WriteItems(ctx context.Context, mode memory.Mode, items []memory.Item) error {
	dim := s.t.Snapshot().Dimension()
	for _, it := range items {
		if it.Vector == nil {
			continue
		}
		if dim == 0 {
			dim = len(it.Vector)
		}
		if len(it.Vector) != dim {
			return memory.DimensionError{Want: dim, Got: len(it.Vector)}
		}
	}
	for _, it := range items {
		old := s.t.Snapshot().Get(it.ID)
		if mode == memory.AddItems && old != nil || mode == memory.UpdateItems && old == nil {
			continue
		}
		r := &table.Row{NoText: true, NoMetadata: true}
		if old != nil {
			*r = *old
		} else {
			s.seq++
			r.ID, r.Seq = it.ID, s.seq
		}
		if it.Document != nil {
			r.Text, r.NoText = *it.Document, false
		}
		if it.URI != nil {
			r.URI = it.URI
		}
		if it.Vector != nil {
			r.Vector = it.Vector
		}
		if it.Metadata != nil {
			m := maps.Clone(r.Metadata)
			if m == nil {
				m = map[string]any{}
			}
			for k, v := range it.Metadata {
				if v == nil {
					delete(m, k)
				} else {
					m[k] = v
				}
			}
			r.Metadata = m
			if old != nil || len(m) > 0 {
				r.NoMetadata = len(m) == 0 && old != nil && old.NoMetadata
			}
		}
		if err := s.t.Apply(table.Change{Put: []*table.Row{r}}); err != nil {
			return err
		}
	}
	return nil
}

func item(r *table.Row) memory.Item {
	it := memory.Item{ID: r.ID, URI: r.URI, Vector: r.Vector}
	if !r.NoText {
		it.Document = &r.Text
	}
	if !r.NoMetadata {
		it.Metadata = r.Metadata
	}
	return it
}

func (s *fake) sel(sel memory.ItemSelection) (table.Select, error) {
	f, err := table.Compile(sel.Filter)
	return table.Select{IDs: sel.IDs, Filter: f}, err
}
func (s *fake) Items(ctx context.Context, sel memory.ItemSelection) (items []memory.Item, err error) {
	q, err := s.sel(sel)
	if err != nil {
		return nil, err
	}
	n := 0
	for r := range s.t.Snapshot().ByAdding(q) {
		n++
		if n <= sel.Offset {
			continue
		}
		if sel.Limit > 0 && len(items) == sel.Limit {
			break
		}
		items = append(items, item(r))
	}
	return items, nil
}
func (s *fake) NearestItems(ctx context.Context, vectors [][]float32, k int, metric table.Metric, sel memory.ItemSelection) (all [][]memory.ItemMatch, err error) {
	q, err := s.sel(sel)
	if err != nil {
		return nil, err
	}
	for _, v := range vectors {
		if d := s.t.Snapshot().Dimension(); d != len(v) {
			return nil, memory.DimensionError{Want: d, Got: len(v)}
		}
		hits, err := s.t.Snapshot().Nearest(ctx, v, k, metric, q)
		if err != nil {
			return nil, err
		}
		m := []memory.ItemMatch{}
		for _, h := range hits {
			m = append(m, memory.ItemMatch{Item: item(h.Row), Distance: h.Distance})
		}
		all = append(all, m)
	}
	return all, nil
}
func (s *fake) DeleteItems(ctx context.Context, sel memory.ItemSelection) (int, error) {
	items, err := s.Items(ctx, sel)
	for _, it := range items {
		s.t.Apply(table.Change{Delete: []string{it.ID}})
	}
	return len(items), err
}
func (s *fake) Count(ctx context.Context, f *api.Filter) (int, error) {
	return s.t.Snapshot().Count(table.Select{}), nil
}
func (s *fake) Clear(ctx context.Context) (int, error) {
	n, _ := s.Count(ctx, nil)
	return n, s.t.Apply(table.Change{Clear: true})
}
func (s *fake) Declare(ctx context.Context, e string) error { return nil }
func (s *fake) Attribute(key string) []byte                 { return s.attrs[key] }
func (s *fake) SetAttribute(ctx context.Context, key string, v []byte) error {
	s.attrs[key] = v
	return nil
}
