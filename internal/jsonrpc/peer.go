// Package jsonrpc is JSON-RPC 2.0 between two equal peers over a connection of text frames: either side calls, notifies
// and answers. Read Peer first; frame.go is the wire format, scan.go reads the usual frames fast, write.go is what waits
// to be written.
//
// A call whose context ends is cancelled on the far side by the notification "$/cancel" with the call's id. Between two
// peers that both say so (see New), messages of all kinds that are ready while a frame is being written leave together
// as one array; other peers get one message a frame, and the answers to a batch of theirs in one array, as the
// specification has it.
package jsonrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
)

// Conn carries whole frames, each one JSON text. Read is called by one goroutine, Write by any but by one at a
// time; Close ends both.
type Conn interface {
	// Read returns a frame that is valid until the next Read; with a SkippedError the beginning of one.
	Read() ([]byte, error)
	Write(frame []byte) error
	Close() error
}

// SkippedError is a Conn's for a frame that was too large to be read: the connection goes on behind it. Cause answers the
// call that was in it.
type SkippedError struct{ Cause error }

func (e *SkippedError) Error() string { return "frame skipped: " + e.Cause.Error() }
func (e *SkippedError) Unwrap() error { return e.Cause }

// Handler answers what the far side asks.
type Handler interface {
	// Request is called in a goroutine of its own for each call; ctx ends when the caller cancels or the connection is
	// lost. The result is encoded as JSON.
	Request(ctx context.Context, method string, params json.RawMessage) (result any, err error)
	// Notify is called for notifications, one after the other in the order in which they were sent and before any later
	// frame is looked at. It must not block. params is only valid during the call.
	Notify(method string, params json.RawMessage)
}

// Quick is a Handler that can answer some calls without waiting for anything. The goroutine that reads then writes, too,
// which may have to wait for the far side to read: so of the two ends of a connection one may be Quick, lest each waits for
// the other.
type Quick interface {
	// Quick answers a call as Request does, in the goroutine that reads, if it can at once; ok is false if it cannot, and
	// Request is called then. params is only valid during the call.
	Quick(method string, params json.RawMessage) (result any, err error, ok bool)
}

// Admitting is a Handler that is asked whether a call is to be answered at all.
type Admitting interface {
	// Admit is called in the goroutine that reads, with the size of a call's parameters in bytes; release is called when the
	// call has been answered. The error is the answer.
	Admit(bytes int) (release func(), err error)
}

// maxConcurrent bounds the requests of one far side that are being answered at the same time; further frames wait.
const maxConcurrent = 1024

var errLost = errors.New("connection lost")

// Lost reports whether err means that the connection went before the answer came: whether the far side acted on the
// call is unknown.
func Lost(err error) bool { return errors.Is(err, errLost) }

// Peer is one end of a connection.
type Peer struct {
	conn     Conn
	handler  Handler
	batching bool
	ids      atomic.Int64
	slots    chan struct{} // one per request being answered
	scratch  sync.Pool     // of *[]byte: where messages are encoded

	mu       sync.Mutex
	calls    map[int64]chan response       // our calls that wait for an answer; nil once the connection is lost
	answers  map[string]context.CancelFunc // the far side's calls that are being answered, by id
	out      outgoing
	lost     chan struct{} // closed when the connection is lost
	lostOnce sync.Once
	cause    error
}

// New returns a peer that speaks over conn. With batching, the far side is known to take arrays that mix messages of all
// kinds. The peer does nothing before Run.
func New(conn Conn, handler Handler, batching bool) *Peer {
	return &Peer{
		conn:     conn,
		handler:  handler,
		batching: batching,
		slots:    make(chan struct{}, maxConcurrent),
		scratch:  sync.Pool{New: func() any { return new([]byte) }},
		calls:    map[int64]chan response{},
		answers:  map[string]context.CancelFunc{},
		out:      outgoing{wake: make(chan struct{}, 1)},
		lost:     make(chan struct{}),
	}
}

// Run reads until the connection is lost or ctx ends and returns why. When it returns, every handler has returned and
// every waiting call has been answered with an error for which Lost is true.
func (p *Peer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { p.fail(ctx.Err()) })()
	running.Go(p.write)
	var messages []message
	for {
		frame, err := p.conn.Read()
		if skipped := new(SkippedError); errors.As(err, &skipped) {
			if id := idOf(frame); id != nil {
				p.reply(ctx, nil, encodeAnswer(nil, id, nil, skipped.Cause))
				continue
			}
		}
		if err != nil {
			return p.fail(err)
		}
		p.mu.Lock()
		p.out.owing = 0
		p.mu.Unlock()
		array := false
		if messages, array, err = parse(frame, messages[:0]); err != nil {
			// A frame that is not JSON is answered, as the specification asks, and ends the connection: what else it was
			// meant to carry is unknown.
			p.queue("answer", appendError(nil, nil, CodeParse, "parse error: "+err.Error()))
			late, done := context.WithTimeout(ctx, farewell)
			p.Flush(late) // how the connection ends is what follows
			done()
			return p.fail(fmt.Errorf("read frame: %w", err))
		}
		var together *answers
		if array && !p.batching {
			together = newAnswers(messages)
		}
		for i := range messages {
			if !p.accept(ctx, &messages[i], together, &running) {
				return p.fail(ctx.Err())
			}
		}
		if _, ok := p.handler.(Quick); ok {
			p.mu.Lock()
			p.leave()
			p.mu.Unlock()
		}
		clear(messages) // they hold on to the frame
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
	buf := p.scratch.Get().(*[]byte)
	defer p.release(buf)
	message, err := appendCall((*buf)[:0], id, method, params)
	*buf = message
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
	if err := p.send(ctx, method, message); err != nil {
		p.forget(id)
		return err
	}
	select {
	case r := <-answer:
		return r.decode(method, result)
	case <-ctx.Done():
		if p.forget(id) {
			// Where the connection is lost, there is nothing left to cancel.
			p.queue(cancelMethod, appendCancel(nil, id))
			p.mu.Lock()
			p.out.signal()
			p.mu.Unlock()
			return ctx.Err()
		}
		return (<-answer).decode(method, result) // it came at the same moment
	}
}

// Notify tells the far side something that has no answer, waiting while too much waits to be written already. A nil
// error means that it is on its way, not that it arrived.
func (p *Peer) Notify(ctx context.Context, method string, params any) error {
	return p.notify(method, params, func(message []byte) error { return p.send(ctx, method, message) })
}

// Push is Notify that never waits, for notifications of which the caller bounds the number and size. With soon, it leaves
// at once; else when the writer comes to it, together with what has been pushed until then.
func (p *Peer) Push(method string, params any, soon bool) error {
	return p.notify(method, params, func(message []byte) error {
		err := p.queue(method, message)
		if err == nil {
			p.mu.Lock()
			if soon {
				p.leave()
			} else {
				p.out.signal()
			}
			p.mu.Unlock()
		}
		return err
	})
}

// Queue is Push that leaves the writing for later: with the next that is sent, or by Flush.
func (p *Peer) Queue(method string, params any) error {
	return p.notify(method, params, func(message []byte) error { return p.queue(method, message) })
}

func (p *Peer) notify(method string, params any, send func([]byte) error) error {
	buf := p.scratch.Get().(*[]byte)
	defer p.release(buf)
	message, err := appendNotification((*buf)[:0], method, params)
	*buf = message
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	return send(message)
}

// release gives an encoding buffer back; queued messages have been copied.
func (p *Peer) release(buf *[]byte) {
	if cap(*buf) <= maxSpare {
		p.scratch.Put(buf)
	}
}

func (p *Peer) forget(id int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, waiting := p.calls[id]
	delete(p.calls, id)
	return waiting
}

// accept acts on one message of the far side; false means that ctx ended while it waited for a free slot.
func (p *Peer) accept(ctx context.Context, m *message, together *answers, running *sync.WaitGroup) bool {
	switch {
	case m.isResponse():
		p.answered(ctx, m, together)
	case m.invalid != nil:
		p.reply(ctx, together, appendError(nil, nil, CodeInvalidRequest, m.invalid.Error()))
	case m.Method == cancelMethod:
		p.cancel(m.Params)
	case m.ID == nil:
		p.handler.Notify(m.Method, m.Params)
	default:
		return p.request(ctx, m, together, running)
	}
	return true
}

// answered hands an answer to the call that waits for it. One that is not an answer fails that call, or is answered as
// an invalid request where it does not say whose it is.
func (p *Peer) answered(ctx context.Context, m *message, together *answers) {
	id, err := strconv.ParseInt(string(m.ID), 10, 64)
	var answer chan response
	if err == nil {
		p.mu.Lock()
		answer = p.calls[id]
		delete(p.calls, id)
		p.mu.Unlock()
	}
	switch {
	case answer == nil && m.invalid != nil:
		if m.ID != nil {
			together = nil // meant as an answer, not as a part of what is asked together
		}
		p.reply(ctx, together, appendError(nil, nil, CodeInvalidRequest, m.invalid.Error()))
	case answer == nil:
		// An answer that nobody waits for any more, or an error without id: about a frame that could not be read.
	case m.invalid != nil:
		answer <- response{err: fmt.Errorf("read answer: %w", m.invalid)}
	case m.Error != nil:
		answer <- response{err: m.Error}
	default:
		answer <- response{result: bytes.Clone(m.Result)}
	}
}

// cancel ends the answering of one of the far side's calls.
func (p *Peer) cancel(params json.RawMessage) {
	var c struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(params, &c) != nil {
		return // as for a call that has been answered: notifications have no errors
	}
	p.mu.Lock()
	cancel := p.answers[string(c.ID)]
	p.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// quick answers a call at once, if the handler can and there is room for the answer, which leaves when all of the frame
// has been looked at.
func (p *Peer) quick(m *message) bool {
	handler, ok := p.handler.(Quick)
	if !ok {
		return false
	}
	p.mu.Lock()
	_, busy := p.answers[string(m.ID)]
	full := p.out.bytes >= maxBuffered
	p.mu.Unlock()
	if busy || full {
		return false
	}
	result, err, ok := handler.Quick(m.Method, m.Params)
	if !ok {
		return false
	}
	buf := p.scratch.Get().(*[]byte)
	defer p.release(buf)
	*buf = encodeAnswer((*buf)[:0], m.ID, result, err)
	p.queue("answer", *buf) // a lost connection is Run's to tell
	return true
}

// request starts the answering of a call.
func (p *Peer) request(ctx context.Context, m *message, together *answers, running *sync.WaitGroup) bool {
	if together == nil && p.quick(m) {
		return true
	}
	release := func() {}
	if handler, ok := p.handler.(Admitting); ok {
		var err error
		if release, err = handler.Admit(len(m.Params)); err != nil {
			p.reply(ctx, together, encodeAnswer(nil, m.ID, nil, err))
			return true
		}
	}
	id := string(m.ID)
	callCtx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	_, busy := p.answers[id]
	if !busy {
		p.answers[id] = cancel
	}
	p.mu.Unlock()
	if busy {
		cancel()
		release()
		p.reply(ctx, together, appendError(nil, m.ID, CodeInvalidRequest, "invalid request: a call of that id is being answered"))
		return true
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		cancel()
		release()
		return false
	}
	method, params := m.Method, bytes.Clone(m.Params)
	running.Go(func() {
		p.answer(ctx, callCtx, id, method, params, together)
		cancel()
		release()
		<-p.slots
	})
	return true
}

// answer calls the handler with callCtx and sends what it returns; ctx is the connection's.
func (p *Peer) answer(ctx, callCtx context.Context, id, method string, params json.RawMessage, together *answers) {
	result, err := p.handler.Request(callCtx, method, params)
	// From here on the caller may use the id again.
	p.mu.Lock()
	delete(p.answers, id)
	p.mu.Unlock()
	if ctx.Err() != nil {
		return // the handler may have failed for no other reason: the caller is to learn that the connection is lost
	}
	buf := p.scratch.Get().(*[]byte)
	defer p.release(buf)
	*buf = encodeAnswer((*buf)[:0], json.RawMessage(id), result, err)
	p.reply(ctx, together, *buf)
}

// encodeAnswer appends the answer to a call: a result, or an error, with the code that it names.
func encodeAnswer(b []byte, id json.RawMessage, result any, err error) []byte {
	if err == nil {
		var answer []byte
		if answer, err = appendResult(b, id, result); err == nil {
			return answer
		}
	}
	code := CodeInternal
	var coded interface{ JSONRPCCode() int }
	if errors.As(err, &coded) {
		code = coded.JSONRPCCode()
	}
	return appendError(b, id, code, err.Error())
}

// reply sends an answer, or keeps it for the array in which it belongs. There is nobody to tell that a connection is lost
// but Run, which says so.
func (p *Peer) reply(ctx context.Context, together *answers, message []byte) {
	if together != nil {
		if message = together.add(message); message == nil {
			return
		}
	}
	p.send(ctx, "answer", message)
}

// answers are those to a batch, which leave as one array when all are there.
type answers struct {
	mu      sync.Mutex
	missing int
	batch   batch
}

func newAnswers(messages []message) *answers {
	a := &answers{}
	for i := range messages {
		if m := &messages[i]; m.Method != "" && m.ID != nil || m.invalid != nil && (m.Method != "" || m.ID == nil) {
			a.missing++
		}
	}
	return a
}

// add returns the array once all answers are in it.
func (a *answers) add(message []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.batch.add(message)
	if a.missing--; a.missing > 0 {
		return nil
	}
	return a.batch.frame(true)
}

// fail ends the connection once, with its cause, and answers all waiting calls.
func (p *Peer) fail(cause error) error {
	p.lostOnce.Do(func() {
		p.mu.Lock()
		p.cause = cause
		calls := p.calls
		p.calls = nil
		p.mu.Unlock()
		p.conn.Close() // its error is no news: the connection is given up
		close(p.lost)
		for _, answer := range calls {
			answer <- response{err: p.lostError("call")}
		}
	})
	return p.cause
}

func (p *Peer) lostError(what string) error {
	return fmt.Errorf("%s: %w: %w", what, errLost, p.cause)
}
