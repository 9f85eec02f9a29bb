package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// MemoryTokenVariable is the environment variable of the token, or user:password, for memories at other backends. It is
// never written down.
const MemoryTokenVariable = "COMA_MEMORY_TOKEN"

// remoteStore is an agent's memory at another backend. While that is away, calls wait for it, as modules wait for their
// host: until their context ends or this backend does.
type remoteStore struct {
	agent   *agent
	address string

	dialing chan struct{} // capacity 1: full while somebody makes the connection
	life    context.Context
	stop    context.CancelFunc

	mu     sync.Mutex
	client *link.Client
	memory api.OpenedMemory
	away   bool // told
	ended  bool
}

func newRemoteStore(a *agent, address string, ended bool) *remoteStore {
	r := &remoteStore{agent: a, address: address, dialing: make(chan struct{}, 1), ended: ended}
	r.life, r.stop = context.WithCancel(a.backend.life)
	return r
}

// memoryAt returns where the agent's memory is; "": here.
func (a *agent) memoryAt() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.opened.Memory.At
}

// remoteMemory returns the agent's memory at another backend; nil where it is here.
func (a *agent) remoteMemory() *remoteStore {
	at := a.memoryAt()
	if at == "" {
		return nil
	}
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.far != nil && a.far.address != at {
		a.far.close()
		a.far = nil
	}
	if a.far == nil {
		a.far = newRemoteStore(a, at, a.closed)
	}
	return a.far
}

// errElsewhere tells who asks for a memory here that it is at another backend.
func errElsewhere(name, at string) error {
	return fmt.Errorf("memory of agent %s: %w here: it is at %s, ask there", name, api.ErrNotFound, at)
}

// with calls do with the memory, again when the connection was lost.
func (r *remoteStore) with(ctx context.Context, do func(api.Memory) error) error {
	pause := 50 * time.Millisecond
	for {
		memory, client, err := r.open(ctx)
		if err == nil {
			err = do(memory)
			if !errors.Is(err, api.ErrClosed) {
				r.back()
				return err
			}
			r.drop(client)
			err = unreachable{err}
		}
		var lost unreachable
		if !errors.As(err, &lost) {
			return fmt.Errorf("memory at %s: %w", r.address, err)
		}
		r.gone(lost.error)
		pause = min(2*pause, 2*time.Second)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("memory at %s: %w: %w", r.address, ctx.Err(), lost.error)
		case <-r.life.Done():
			return fmt.Errorf("memory at %s: %w: %w", r.address, api.ErrClosed, lost.error)
		}
	}
}

// asMemory is what modules and commands use.
func (r *remoteStore) asMemory() api.Memory { return farMemory{lazyMemory{r.with}} }

// farMemory is a memory at another backend.
type farMemory struct{ lazyMemory }

// Add names the records, lest they are there twice when they are added again because the connection was lost.
func (m farMemory) Add(ctx context.Context, records []api.Record) ([]string, error) {
	named := slices.Clone(records)
	for i := range named {
		if named[i].ID == "" {
			named[i].ID = api.NewID()
		}
	}
	return m.lazyMemory.Add(ctx, named)
}

// unreachable is the error of a backend that may be there again later.
type unreachable struct{ error }

// open returns the memory, and connects first if need be. One connects at a time; the others wait, as long as their
// contexts allow.
func (r *remoteStore) open(ctx context.Context) (api.Memory, *link.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
	if memory, client, err := r.opened(); memory != nil || err != nil {
		return memory, client, err
	}
	select {
	case r.dialing <- struct{}{}:
		defer func() { <-r.dialing }()
	case <-ctx.Done():
		return nil, nil, unreachable{ctx.Err()}
	}
	if memory, client, err := r.opened(); memory != nil || err != nil {
		return memory, client, err
	}
	client, memory, err := r.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		client.Close() // which ends what is open there
		return nil, nil, api.ErrClosed
	}
	r.client, r.memory = client, memory
	return memory, client, nil
}

// opened returns the memory if there is a connection; nil if there is none.
func (r *remoteStore) opened() (api.Memory, *link.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended:
		return nil, nil, api.ErrClosed
	case r.client == nil:
		return nil, nil, nil
	}
	return r.memory, r.client, nil
}

// connect makes a connection and opens the memory there, which is made if there is none.
func (r *remoteStore) connect(ctx context.Context) (*link.Client, api.OpenedMemory, error) {
	client, err := link.Dial(ctx, r.address, os.Getenv(MemoryTokenVariable))
	if errors.Is(err, api.ErrUnauthorized) {
		return nil, nil, fmt.Errorf("%w: set %s to that backend's token, or to user:password", err, MemoryTokenVariable)
	}
	if err != nil {
		return nil, nil, unreachable{err}
	}
	name, embedder := r.agent.name, r.embedder()
	memory, err := client.OpenMemory(ctx, name)
	if errors.Is(err, api.ErrNotFound) {
		if err = client.CreateMemory(ctx, name, embedder); err == nil {
			memory, err = client.OpenMemory(ctx, name)
		}
	}
	if err != nil {
		if errors.Is(err, api.ErrClosed) || ctx.Err() != nil {
			err = unreachable{err}
		}
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, memory, nil
}

// embedder is whose vectors a memory that is not there yet gets.
func (r *remoteStore) embedder() string {
	r.agent.mu.Lock()
	defer r.agent.mu.Unlock()
	if h := r.agent.host; h != nil {
		return h.as.Memory.Embedder
	}
	return ""
}

// drop gives a connection up.
func (r *remoteStore) drop(client *link.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client == client && client != nil {
		client.Close() // it is lost
		r.client, r.memory = nil, nil
	}
}

// gone tells, once, that the other backend is away; back, that it is there again.
func (r *remoteStore) gone(why error) {
	r.mu.Lock()
	first := !r.away
	r.away = true
	r.mu.Unlock()
	if first {
		r.agent.tellAll(slog.LevelWarn, fmt.Sprintf("the memory at %s is away: modules wait for it: %v", r.address, why))
	}
}

func (r *remoteStore) back() {
	r.mu.Lock()
	was := r.away
	r.away = false
	r.mu.Unlock()
	if was {
		r.agent.tellAll(slog.LevelWarn, fmt.Sprintf("the memory at %s is there again", r.address))
	}
}

// tellAll tells who runs the agent something that concerns all its modules.
func (a *agent) tellAll(level slog.Level, text string) {
	if console := a.console(); console != nil {
		console.Log("", api.LogEntry{Time: time.Now(), Level: level.String(), Text: text})
		return
	}
	a.backend.log.Log(context.Background(), level, text, slog.String("agent", a.name))
}

// close ends the connection, and the making of one.
func (r *remoteStore) close() {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.client != nil {
		r.client.Close() // which ends what is open there
		r.client, r.memory = nil, nil
	}
}

// look tells who runs the agent, at the start, that the memory cannot be reached.
func (r *remoteStore) look(ctx context.Context) {
	patience, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err := r.with(patience, func(m api.Memory) error {
		_, err := m.Count(patience, nil)
		return err
	})
	if err != nil && patience.Err() == nil {
		r.agent.tellAll(slog.LevelWarn, err.Error())
	}
}

// remoteAgent returns the agent of that name if its memory is at another backend, for who asks from outside; its use
// must be ended.
func (b *Backend) remoteAgent(name string) (*agent, *remoteStore) {
	a, err := b.use(name, nil)
	if err != nil {
		return nil, nil // what is asked says so
	}
	if r := a.remoteMemory(); r != nil {
		return a, r
	}
	if err := a.done(); err != nil {
		b.log.Error("close agent", slog.String("agent", name), slog.Any("error", err))
	}
	return nil, nil
}
