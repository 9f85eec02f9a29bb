package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// reportTimeout bounds what waits for a backend that is away.
const reportTimeout = time.Second

// reports tells the backend the state of modules: the latest of each, one after the other, without holding up the
// modules when the backend is away.
type reports struct {
	host api.Host
	tell func(error)

	mu      sync.Mutex
	pending map[string]api.ModuleState
	order   []string
	wake    chan struct{}
	done    chan struct{}
	closed  bool
}

func (r *reports) open(host api.Host, tell func(error)) {
	r.host, r.tell = host, tell
	r.pending = map[string]api.ModuleState{}
	r.wake = make(chan struct{}, 1)
	r.done = make(chan struct{})
	go r.run()
}

func (r *reports) set(state api.ModuleState) {
	r.mu.Lock()
	if _, waiting := r.pending[state.Module]; !waiting {
		r.order = append(r.order, state.Module)
	}
	r.pending[state.Module] = state
	r.mu.Unlock()
	r.signal()
}

func (r *reports) forget(module string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, module)
}

func (r *reports) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reports) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.signal()
	<-r.done
}

func (r *reports) run() {
	defer close(r.done)
	for range r.wake {
		for {
			r.mu.Lock()
			if len(r.order) == 0 {
				closed := r.closed
				r.mu.Unlock()
				if closed {
					return
				}
				break
			}
			name := r.order[0]
			r.order = r.order[1:]
			state, ok := r.pending[name]
			delete(r.pending, name)
			r.mu.Unlock()
			if !ok {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
			err := r.host.Report(ctx, state)
			cancel()
			// A backend that is away is told all states when it is back.
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				r.tell(fmt.Errorf("report state of %s: %w", name, err))
			}
		}
	}
}
