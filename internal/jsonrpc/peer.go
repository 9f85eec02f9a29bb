// Package jsonrpc is JSON-RPC 2.0 between two equal peers over a connection of text frames: either side calls, notifies
// and answers. Read Peer first; frame.go is the wire format.
//
// Two things differ from the plainest implementation, both for speed and neither visible to a conforming peer: frames
// that are ready while another is being written leave together, as one batch, and a call whose context ends is
// cancelled on the far side by the notification "$/cancel" with the call's id.
package jsonrpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Conn carries whole frames, each one JSON text. Read is called by one goroutine, Write by one at a time; Close ends both.
type Conn interface {
	Read(ctx context.Context) ([]byte, error)
	Write(ctx context.Context, frame []byte) error
	Close() error
}

// Handler answers what the far side asks.
type Handler interface {
	// Request is called in a goroutine of its own for each call; ctx ends when the caller cancels or the connection is
	// lost. The result is encoded as JSON.
	Request(ctx context.Context, method string, params json.RawMessage) (result any, err error)
	// Notify is called for notifications, one after the other in the order in which they were sent and before any later
	// frame is looked at. It must not block. params is only valid during the call.
	Notify(method string, params json.RawMessage)
}

// maxBuffered bounds what waits to be written, in bytes. Callers wait above it.
const maxBuffered = 8 << 20

// maxConcurrent bounds the requests of one far side that are being answered at the same time; further frames wait.
const maxConcurrent = 1024

var errLost = errors.New("connection lost")

// Lost reports whether err means that the connection went before the answer came: whether the far side acted on the
// call is unknown.
func Lost(err error) bool { return errors.Is(err, errLost) }

// Peer is one end of a connection.
type Peer struct {
	conn    Conn
	handler Handler
	ids     atomic.Int64
	slots   chan struct{} // one per request being answered

	mu       sync.Mutex
	calls    map[int64]chan response       // our calls that wait for an answer; nil once the connection is lost
	answers  map[string]context.CancelFunc // the far side's calls that are being answered, by id
	out      batch
	spare    []byte        // the buffer that is not being filled
	writing  bool          // some goroutine is in flush
	drained  chan struct{} // closed and replaced when the buffer has been taken for writing
	lost     chan struct{} // closed when the connection is lost
	lostOnce sync.Once
	cause    error
}

// New returns a peer that speaks over conn. It does nothing before Run.
func New(conn Conn, handler Handler) *Peer {
	return &Peer{
		conn:    conn,
		handler: handler,
		slots:   make(chan struct{}, maxConcurrent),
		calls:   map[int64]chan response{},
		answers: map[string]context.CancelFunc{},
		drained: make(chan struct{}),
		lost:    make(chan struct{}),
	}
}

// Run reads until the connection is lost or ctx ends and returns why. When it returns, every handler has returned and
// every waiting call has been answered with an error for which Lost is true.
func (p *Peer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer cancel()
	for {
		frame, err := p.conn.Read(ctx)
		if err != nil {
			return p.fail(err)
		}
		messages, err := parse(frame)
		if err != nil {
			// A frame that is not JSON-RPC is answered, as the specification asks, and ends the connection: what else
			// it was meant to carry is unknown.
			p.write(appendError(nil, nil, CodeParse, err.Error()))
			return p.fail(fmt.Errorf("read frame: %w", err))
		}
		for i := range messages {
			if !p.accept(ctx, &messages[i], &handlers) {
				return p.fail(ctx.Err())
			}
		}
	}
}

// Close ends the connection; Run then returns.
func (p *Peer) Close() error {
	p.fail(errors.New("closed"))
	return nil
}

// Lost is closed when the connection is lost.
func (p *Peer) Lost() <-chan struct{} { return p.lost }

// Call asks the far side and decodes its answer into result, a pointer, or nil to ignore it.
func (p *Peer) Call(ctx context.Context, method string, params, result any) error {
	id := p.ids.Add(1)
	frame, err := appendCall(nil, id, method, params)
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	answer := make(chan response, 1)
	p.mu.Lock()
	if p.calls == nil {
		p.mu.Unlock()
		return p.lostError(method)
	}
	p.calls[id] = answer
	p.mu.Unlock()
	if err := p.send(ctx, frame); err != nil {
		p.forget(id)
		return err
	}
	select {
	case r := <-answer:
		return r.decode(method, result)
	case <-ctx.Done():
		if p.forget(id) {
			p.write(appendCancel(nil, id))
			return ctx.Err()
		}
		return (<-answer).decode(method, result) // it came at the same moment
	}
}

// Notify tells the far side something that has no answer. A nil error means that it is on its way, not that it arrived.
func (p *Peer) Notify(ctx context.Context, method string, params any) error {
	frame, err := appendNotification(nil, method, params)
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	return p.send(ctx, frame)
}

func (p *Peer) forget(id int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, waiting := p.calls[id]
	delete(p.calls, id)
	return waiting
}

// accept acts on one message of the far side; false means that ctx ended while it waited for a free slot.
func (p *Peer) accept(ctx context.Context, m *message, handlers *sync.WaitGroup) bool {
	switch {
	case m.isResponse():
		var id int64
		if json.Unmarshal(m.ID, &id) != nil {
			return true // an error answer without id: about a frame of ours that could not be read
		}
		p.mu.Lock()
		answer := p.calls[id]
		delete(p.calls, id)
		p.mu.Unlock()
		if answer != nil {
			answer <- response{m.Result, m.Error, nil}
		}
	case m.Method == cancelMethod:
		var c struct {
			ID json.RawMessage `json:"id"`
		}
		if json.Unmarshal(m.Params, &c) == nil {
			p.mu.Lock()
			cancel := p.answers[string(c.ID)]
			p.mu.Unlock()
			if cancel != nil {
				cancel()
			}
		}
	case m.ID == nil:
		p.handler.Notify(m.Method, m.Params)
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		callCtx, cancel := context.WithCancel(ctx)
		p.mu.Lock()
		p.answers[string(m.ID)] = cancel
		p.mu.Unlock()
		handlers.Add(1)
		go func(m message) {
			defer handlers.Done()
			p.answer(callCtx, &m)
			p.mu.Lock()
			delete(p.answers, string(m.ID))
			p.mu.Unlock()
			cancel()
			<-p.slots
		}(*m)
	}
	return true
}

func (p *Peer) answer(ctx context.Context, m *message) {
	result, err := p.handler.Request(ctx, m.Method, m.Params)
	if err == nil {
		frame, encodeErr := appendResult(nil, m.ID, result)
		if encodeErr == nil {
			p.write(frame)
			return
		}
		err = encodeErr
	}
	code := CodeInternal
	var coded interface{ JSONRPCCode() int }
	if errors.As(err, &coded) {
		code = coded.JSONRPCCode()
	}
	p.write(appendError(nil, m.ID, code, err.Error()))
}

// send queues a frame, waiting while too much is queued already, and writes it unless another goroutine is about to.
func (p *Peer) send(ctx context.Context, frame []byte) error {
	for {
		p.mu.Lock()
		if p.calls == nil {
			p.mu.Unlock()
			return p.lostError("write")
		}
		if p.out.size() < maxBuffered {
			p.flush(frame)
			return nil
		}
		drained := p.drained
		p.mu.Unlock()
		select {
		case <-drained:
		case <-p.lost:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write queues an answer. It waits for nothing but the connection: answers are bounded by maxConcurrent.
func (p *Peer) write(frame []byte) {
	p.mu.Lock()
	if p.calls == nil {
		p.mu.Unlock()
		return // the connection is lost, and its Run says so
	}
	p.flush(frame)
}

// flush adds frame to the buffer and, if nobody is writing, writes until the buffer is empty. It is called with mu held
// and gives it back.
func (p *Peer) flush(frame []byte) {
	p.out.add(frame)
	if p.writing {
		p.mu.Unlock()
		return
	}
	p.writing = true
	for p.out.count > 0 && p.calls != nil {
		taken := p.out
		p.out = batch{buf: p.spare[:0]}
		close(p.drained)
		p.drained = make(chan struct{})
		p.mu.Unlock()
		err := p.conn.Write(context.Background(), taken.frame())
		if err != nil {
			p.fail(err)
		}
		p.mu.Lock()
		p.spare = nil
		if cap(taken.buf) <= 1<<20 {
			p.spare = taken.buf // keep an ordinary buffer for next time, let a huge one go
		}
	}
	p.writing = false
	p.mu.Unlock()
}

// fail ends the connection once, with its cause, and answers all waiting calls.
func (p *Peer) fail(cause error) error {
	p.lostOnce.Do(func() {
		p.mu.Lock()
		p.cause = cause
		calls := p.calls
		p.calls = nil
		p.mu.Unlock()
		p.conn.Close()
		close(p.lost)
		for _, answer := range calls {
			answer <- response{lost: p.lostError("call")}
		}
	})
	<-p.lost
	return p.cause
}

func (p *Peer) lostError(what string) error {
	return fmt.Errorf("%s: %w: %w", what, errLost, p.cause)
}
