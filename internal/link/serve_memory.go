package link

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// memoryMethod is a call on a memory: that of the agent named, or of the module that is seated.
type memoryMethod struct {
	shape
	answer func(ctx context.Context, c *serving, raw json.RawMessage) (any, error)
}

// memoryCall is a memoryMethod with parameters of the form P and a result of the form R.
func memoryCall[P interface{ agent() string }, R any](f func(ctx context.Context, m api.Memory, p P) (R, error)) memoryMethod {
	return memoryMethod{shapeOf[P, R](), func(ctx context.Context, c *serving, raw json.RawMessage) (any, error) {
		p, err := params[P](raw)
		if err != nil {
			return nil, err
		}
		memory, done, err := c.memory(ctx, p.agent())
		if err != nil {
			return nil, err
		}
		defer done()
		return f(ctx, memory, p)
	}}
}

// memory returns the memory that is meant, until done is called.
func (c *serving) memory(ctx context.Context, agent string) (m api.Memory, done func(), err error) {
	c.mu.Lock()
	seat, opened := c.seat, c.memories[agent]
	c.mu.Unlock()
	switch {
	case opened != nil:
		return opened, func() {}, nil
	case agent == "" && seat != nil:
		return seat.Memory(), func() {}, nil
	case agent == "":
		return nil, nil, fmt.Errorf("%w: name the agent whose memory is meant", api.ErrInvalid)
	}
	if opened, err = c.host.OpenMemory(ctx, agent); err != nil {
		return nil, nil, err
	}
	return opened, func() { opened.Close() }, nil // what was written is on disk already
}

// some is a list that is never null.
func some[T any](list []T, err error) ([]T, error) {
	if list == nil {
		list = []T{}
	}
	return list, err
}

var memoryMethods = map[string]memoryMethod{
	methodMemoryAdd: memoryCall(func(ctx context.Context, m api.Memory, p recordsParams) ([]string, error) {
		return some(m.Add(ctx, p.Records))
	}),
	methodMemoryGet: memoryCall(func(ctx context.Context, m api.Memory, p selectParams) ([]api.Record, error) {
		return some(m.Get(ctx, p.Select))
	}),
	methodMemoryQuery: memoryCall(func(ctx context.Context, m api.Memory, p queryParams) ([]api.Match, error) {
		return some(m.Query(ctx, p.Query))
	}),
	methodMemoryRetrieve: memoryCall(func(ctx context.Context, m api.Memory, p retrieveParams) ([]api.Match, error) {
		return some(m.Retrieve(ctx, p.Retrieval))
	}),
	methodMemoryUpdate: memoryCall(func(ctx context.Context, m api.Memory, p recordsParams) (none, error) {
		return none{}, m.Update(ctx, p.Records)
	}),
	methodMemoryDelete: memoryCall(func(ctx context.Context, m api.Memory, p whichParams) (count, error) {
		n, err := m.Delete(ctx, p.IDs, p.Filter)
		return count{n}, err
	}),
	methodMemoryCount: memoryCall(func(ctx context.Context, m api.Memory, p countParams) (count, error) {
		n, err := m.Count(ctx, p.Filter)
		return count{n}, err
	}),
	methodMemoryClear: memoryCall(func(ctx context.Context, m api.Memory, _ memoryOf) (count, error) {
		n, err := m.Clear(ctx)
		return count{n}, err
	}),
}
