package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	// settled, if set, is called when a connection has been made again and greeted. It says what must be said before all
	// else on it, and calls use, from which on others speak on it.
	settled func(peer *jsonrpc.Peer, use func())
	// away, if set, is told that the connection is lost, by nil that it is there again, and lastly why it will not be.
	away func(err error)
	// once makes the wire end with its first connection: for tools that ask a single thing.
	once bool
	// patient makes the wire wait for a host that is away from the beginning, not only once it was there.
	patient bool

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
	up, err := w.first(ctx, life)
	if err != nil {
		stop()
		err = local(err)
		w.end(err)
		close(w.ended)
		return err
	}
	go func() {
		defer close(w.ended)
		w.end(w.run(life, up))
	}()
	return nil
}

// first makes the first connection.
func (w *wire) first(ctx, life context.Context) (*connection, error) {
	var pause backoff
	for {
		up, err := w.establish(ctx, life, false)
		if err == nil || !w.patient || refused(err) || pause.wait(ctx) != nil {
			return up, err
		}
	}
}

// refused reports whether a host has answered, and not only that it ends.
func refused(err error) bool {
	var refusal *jsonrpc.Error
	return errors.As(err, &refusal) && !errors.Is(local(err), api.ErrClosed) || errors.Is(err, api.ErrUnauthorized)
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
		return nil, err
	}
	use := func() { w.set(c.peer, nil) }
	if again && w.settled != nil {
		w.settled(c.peer, use)
	} else {
		use()
	}
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
		w.tellAway(errAway)
		next, err := w.again(life)
		if life.Err() == nil {
			w.tellAway(err)
		}
		if err != nil {
			return err
		}
		up = next
	}
}

// errAway is told where a host may well come back.
var errAway = errors.New("the backend has gone: modules wait for messages and memory until it is back")

func (w *wire) tellAway(err error) {
	if w.away != nil {
		w.away(err)
	}
}

// again makes a new connection, however long the host is away.
func (w *wire) again(life context.Context) (*connection, error) {
	var pause backoff
	var refused time.Time // since when the host says that another has our place
	for {
		up, err := w.establish(life, life, true)
		if err == nil {
			return up, nil
		}
		if final(err) {
			return nil, local(err)
		}
		switch err := local(err); {
		case !errors.Is(err, api.ErrInUse):
			refused = time.Time{}
		case refused.IsZero():
			refused = time.Now() // it may be our own lost connection, which the host has not noticed yet
		case time.Since(refused) > patience:
			return nil, err
		}
		if pause.wait(life) != nil {
			return nil, api.ErrClosed
		}
	}
}

// patience is how long a host may say that another has our place before it is believed.
const patience = 3 * time.Second

// final reports whether a host's refusal to be greeted is its last word, rather than that of a host that is away or
// starting.
func final(err error) bool {
	var refusal *jsonrpc.Error
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case jsonrpc.CodeInvalidRequest, jsonrpc.CodeInvalidParams, jsonrpc.CodeMethodNotFound:
			return true // a host of another version
		}
	}
	err = local(err)
	return errors.Is(err, api.ErrReplaced) || errors.Is(err, api.ErrUnauthorized) || errors.Is(err, api.ErrInvalid)
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

// queue is notify for small things that a new connection is told anyway: it never waits, and where there is no connection
// it does nothing. They leave with the next that is sent, or by flush.
func (w *wire) queue(method string, params any) {
	w.mu.Lock()
	peer := w.peer
	w.mu.Unlock()
	if peer != nil {
		peer.Queue(method, params) // fails only where the connection has just been lost
	}
}

// flush returns when what is queued has left this process, or is told the next connection anyway, or ctx has ended.
func (w *wire) flush(ctx context.Context) {
	w.mu.Lock()
	peer := w.peer
	w.mu.Unlock()
	if peer != nil {
		peer.Flush(ctx)
	}
}

func unknownMethod(method string) error {
	return &jsonrpc.Error{Code: jsonrpc.CodeMethodNotFound, Message: fmt.Sprintf("no method %q", method)}
}
