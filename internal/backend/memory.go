package backend

import (
	"context"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// lazyMemory is a memory that is looked up, and opened if need be, for each call. It implements api.Memory.
type lazyMemory struct {
	with func(ctx context.Context, do func(api.Memory) error) error
}

func (m lazyMemory) Add(ctx context.Context, records []api.Record) (ids []string, err error) {
	err = m.with(ctx, func(s api.Memory) (err error) {
		ids, err = s.Add(ctx, records)
		return err
	})
	return ids, err
}

func (m lazyMemory) Get(ctx context.Context, sel api.Selection) (records []api.Record, err error) {
	err = m.with(ctx, func(s api.Memory) (err error) {
		records, err = s.Get(ctx, sel)
		return err
	})
	return records, err
}

func (m lazyMemory) Query(ctx context.Context, q api.Query) (matches []api.Match, err error) {
	err = m.with(ctx, func(s api.Memory) (err error) {
		matches, err = s.Query(ctx, q)
		return err
	})
	return matches, err
}

func (m lazyMemory) Retrieve(ctx context.Context, r api.Retrieval) (matches []api.Match, err error) {
	err = m.with(ctx, func(s api.Memory) (err error) {
		matches, err = s.Retrieve(ctx, r)
		return err
	})
	return matches, err
}

func (m lazyMemory) Update(ctx context.Context, records []api.Record) error {
	return m.with(ctx, func(s api.Memory) error { return s.Update(ctx, records) })
}

func (m lazyMemory) Delete(ctx context.Context, ids []string, filter *api.Filter) (n int, err error) {
	err = m.with(ctx, func(s api.Memory) (err error) {
		n, err = s.Delete(ctx, ids, filter)
		return err
	})
	return n, err
}

func (m lazyMemory) Count(ctx context.Context, filter *api.Filter) (n int, err error) {
	err = m.with(ctx, func(s api.Memory) (err error) {
		n, err = s.Count(ctx, filter)
		return err
	})
	return n, err
}

func (m lazyMemory) Clear(ctx context.Context) (n int, err error) {
	err = m.with(ctx, func(s api.Memory) (err error) {
		n, err = s.Clear(ctx)
		return err
	})
	return n, err
}
