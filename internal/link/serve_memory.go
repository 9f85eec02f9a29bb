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

// foundCall is a memoryCall whose answer is records, which a memory can have more of than fit any frame: fewer says how to ask
// for less.
func foundCall[P interface{ agent() string }, T any](fewer string, f func(ctx context.Context, m api.Memory, p P) ([]T, error)) memoryMethod {
	method := memoryCall(f)
	find := method.answer
	method.answer = func(ctx context.Context, c *serving, raw json.RawMessage) (any, error) {
		records, err := find(ctx, c, raw)
		if err != nil {
			return nil, err
		}
		return found[T]{records.([]T), c.server.largest, fewer}, nil
	}
	return method
}

// found are records as an answer of at most so many bytes. They are encoded one by one: what is too large costs no more than
// what is not.
type found[T any] struct {
	records []T
	largest int
	fewer   string
}

// AppendJSON implements jsonrpc.Appender.
func (f found[T]) AppendJSON(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, '[')
	for i := range f.records {
		encoded, err := json.Marshal(&f.records[i])
		if err != nil {
			return b, err
		}
		if len(b)-start+len(encoded)+2 > f.largest {
			return b, coded{fmt.Errorf("the answer is %w: %d of its %d records fill the %d bytes that it may have: ask for fewer at once, %s",
				api.ErrTooLarge, i, len(f.records), f.largest, f.fewer)}
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, encoded...)
	}
	return append(b, ']'), nil
}

var memoryMethods = map[string]memoryMethod{
	methodMemoryAdd: memoryCall(func(ctx context.Context, m api.Memory, p recordsParams) ([]string, error) {
		return some(m.Add(ctx, p.Records))
	}),
	methodMemoryGet: foundCall("with a limit, and an offset or a time to go on from", func(ctx context.Context, m api.Memory, p selectParams) ([]api.Record, error) {
		return m.Get(ctx, p.Select)
	}),
	methodMemoryQuery: foundCall("with a smaller k", func(ctx context.Context, m api.Memory, p queryParams) ([]api.Match, error) {
		return m.Query(ctx, p.Query)
	}),
	methodMemoryRetrieve: foundCall("with a smaller k", func(ctx context.Context, m api.Memory, p retrieveParams) ([]api.Match, error) {
		return m.Retrieve(ctx, p.Retrieval)
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
