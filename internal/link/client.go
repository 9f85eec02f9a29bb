package link

import (
	"context"
	"fmt"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// wire is a connection to a host that outlives the host's restarts: when it is lost it is made again, and what had no
// answer is asked again. It is used by the clients of this package, which say in greet what must be said first on each
// connection.
type wire struct {
	address, token string
	handler        jsonrpc.Handler
	// greet speaks first on every connection; again is false on the first. An error that is not a lost connection ends
	// the wire.
	greet func(ctx context.Context, peer *jsonrpc.Peer, again bool) error
	// settled, if set, is called when a new connection is in use.
	settled func()
	// once makes the wire end with its first connection: for tools that ask a single thing.
	once bool

	stop   context.CancelFunc
	ended  chan struct{} // closed when run has returned
	mu     sync.Mutex
	peer   *jsonrpc.Peer // nil while there is no connection
	change chan struct{} // closed and replaced when peer or err changes
	err    error         // why there will be no connection any more
}

// connect makes the first connection and keeps the wire up until close. ctx bounds the first connection only.
func (w *wire) connect(ctx context.Context) error {
	w.change = make(chan struct{})
	w.ended = make(chan struct{})
	life, stop := context.WithCancel(context.Background())
	w.stop = stop
	up, err := w.establish(ctx, life, false)
	if err != nil {
		stop()
		close(w.ended)
		w.end(err)
		return err
	}
	go func() {
		defer close(w.ended)
		w.end(w.run(life, up))
	}()
	return nil
}

func (w *wire) close() {
	w.stop()
	<-w.ended
}

// connection is one connection's reading goroutine.
type connection struct {
	peer *jsonrpc.Peer
	done chan struct{} // closed when nothing of it runs any more
}

func (w *wire) establish(ctx, life context.Context, again bool) (*connection, error) {
	conn, err := dial(ctx, w.address, w.token)
	if err != nil {
		return nil, err
	}
	c := &connection{peer: jsonrpc.New(conn, w.handler, conn.batching()), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.peer.Run(life) // its error is what Lost and the calls report
	}()
	if err := w.greet(ctx, c.peer, again); err != nil {
		c.peer.Close()
		<-c.done
		return nil, local(err)
	}
	w.set(c.peer, nil)
	return c, nil
}

// run replaces lost connections until life ends or the host refuses.
func (w *wire) run(life context.Context, up *connection) error {
	for {
		select {
		case <-up.peer.Lost():
		case <-life.Done():
			up.peer.Close()
		}
		<-up.done
		w.set(nil, nil)
		if life.Err() != nil {
			return api.ErrClosed
		}
		if w.once {
			return fmt.Errorf("the host at %s has gone: %w", w.address, api.ErrClosed)
		}
		var pause backoff
		for {
			next, err := w.establish(life, life, true)
			if err == nil {
				up = next
				if w.settled != nil {
					w.settled()
				}
				break
			}
			if final(err) {
				return err
			}
			if pause.wait(life) != nil {
				return api.ErrClosed
			}
		}
	}
}

// final reports whether a host's refusal to be greeted is its last word, rather than a host that is away or starting.
func final(err error) bool {
	code := api.Code(err)
	return code == api.Code(api.ErrReplaced) || code == api.Code(api.ErrUnauthorized) ||
		code == api.Code(api.ErrInvalid) || code == api.Code(api.ErrInUse)
}

func (w *wire) end(err error) { w.set(nil, err) }

func (w *wire) set(peer *jsonrpc.Peer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.peer, w.err = peer, err
	close(w.change)
	w.change = make(chan struct{})
}

// current returns the connection, waiting for one while there is none.
func (w *wire) current(ctx context.Context) (*jsonrpc.Peer, error) {
	for {
		w.mu.Lock()
		peer, err, change := w.peer, w.err, w.change
		w.mu.Unlock()
		if peer != nil || err != nil {
			return peer, err
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, fmt.Errorf("the host at %s is away: %w", w.address, ctx.Err())
		}
	}
}

// call asks the host, again after each lost connection. All methods are safe to repeat but send, which marks the
// repetition (see Session.Send).
func (w *wire) call(ctx context.Context, method string, params, result any) error {
	for {
		peer, err := w.current(ctx)
		if err != nil {
			return err
		}
		err = peer.Call(ctx, method, params, result)
		if !jsonrpc.Lost(err) {
			return local(err)
		}
		if s, ok := params.(*sendParams); ok {
			s.Resent = true
		}
		if err := w.after(ctx, peer); err != nil {
			return err
		}
	}
}

// after waits until peer is no longer the current connection.
func (w *wire) after(ctx context.Context, peer *jsonrpc.Peer) error {
	for {
		w.mu.Lock()
		same, change := w.peer == peer, w.change
		w.mu.Unlock()
		if !same {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notify tells the host something, waiting for a connection while there is none. What was on its way when the
// connection is lost is lost too.
func (w *wire) notify(ctx context.Context, method string, params any) error {
	for {
		peer, err := w.current(ctx)
		if err != nil {
			return err
		}
		err = peer.Notify(ctx, method, params)
		if !jsonrpc.Lost(err) {
			return err
		}
		if err := w.after(ctx, peer); err != nil {
			return err
		}
	}
}

// tell is notify for what greet says anyway on a new connection: without a connection it does nothing.
func (w *wire) tell(method string, params any) error {
	w.mu.Lock()
	peer, err := w.peer, w.err
	w.mu.Unlock()
	if peer == nil {
		return err
	}
	if err := peer.Notify(context.Background(), method, params); !jsonrpc.Lost(err) {
		return err
	}
	return nil
}

func unknownMethod(method string) error {
	return &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: fmt.Sprintf("no method %q", method)}
}
