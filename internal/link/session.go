package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// closeTimeout bounds how long a module that ends waits for a host that is away.
const closeTimeout = time.Second

// Session is a module's seat at a host in another process. It implements api.Session.
//
// The host pushes messages ahead, up to a window; Receive hands out what has arrived. Each Receive tells the host, in
// one notification without an answer, what is finished with: that frees the window, and lets the host know which
// message is in the module's hands should the module die. When the connection is lost, what was pushed ahead is
// forgotten here and pushed again by the host; the message in hand stays in hand.
type Session struct {
	id   api.Identity
	mode Mode
	wire *wire

	receiving chan struct{} // a token: one Receive at a time
	sending   chan struct{} // a token per Send under way
	arrived   chan struct{} // capacity 1: the queue may have something, or the session has ended

	mu     sync.Mutex
	queue  []api.Message   // pushed, not handed out
	hand   uint64          // seq of the message in the module's hand, 0 for none
	done   uint64          // all up to here are finished with
	waits  bool            // a Receive waits for a push
	topics map[string]bool // subscribed to: a host that was restarted is told again
	closed error
}

// maxSending bounds the Sends under way; more wait here. It is well below what the host answers at the same time, so that
// senders that wait for room in mailboxes never keep the host from hearing that room has been made.
const maxSending = 256

// Open seats a module at the host at address ("unix:///path" or "http://host:port").
func Open(ctx context.Context, address, token string, id api.Identity) (*Session, error) {
	return Join(ctx, address, token, id, Seated)
}

// Join is Open with a mode. For programs that come and go, which are those of the other modes, a host that is away is one
// that is being restarted: they wait for it, as a module that is connected does, until ctx ends.
func Join(ctx context.Context, address, token string, id api.Identity, mode Mode) (*Session, error) {
	s := &Session{id: id, mode: mode, topics: map[string]bool{}, receiving: make(chan struct{}, 1), sending: make(chan struct{}, maxSending), arrived: make(chan struct{}, 1)}
	s.wire = &wire{address: address, token: token, handler: sessionHandler{s}, greet: s.greet, settled: s.settled, patient: mode != Seated}
	if err := s.wire.connect(ctx); err != nil {
		return nil, fmt.Errorf("open session of %s/%s: %w", id.Agent, id.Module, err)
	}
	return s, nil
}

func (s *Session) greet(ctx context.Context, peer *jsonrpc.Peer, again bool) error {
	s.mu.Lock()
	s.queue = nil
	p := Claim{Identity: s.id, Mode: s.mode, Resume: again && s.mode != Guest, Hand: s.hand, Done: s.done}
	s.mu.Unlock()
	var welcome openResult
	if err := peer.Call(ctx, methodOpen, p, &welcome); err != nil {
		return err
	}
	s.mu.Lock()
	if !again {
		s.hand = welcome.Hand
	}
	s.mu.Unlock()
	if !again || s.mode == Guest {
		return nil
	}
	s.mu.Lock()
	topics := slices.Collect(maps.Keys(s.topics))
	s.mu.Unlock()
	for _, t := range topics {
		// A pattern that is refused is the affair of the Subscribe that is under way with it.
		if err := peer.Call(ctx, methodSubscribe, pattern{t}, nil); jsonrpc.Lost(err) || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// settled tells the host what has changed while the connection was made: greet has told what was in hand before.
func (s *Session) settled(peer *jsonrpc.Peer, use func()) {
	s.mu.Lock()
	method, p := s.standing(s.waits || s.hand != 0)
	err := peer.Queue(method, p)
	use()
	s.mu.Unlock()
	if err == nil {
		err = peer.Flush(context.Background()) // in the wire's own goroutine, which has nothing else to do
	}
	_ = err // the connection is lost again: the next one is told
}

// standing says where the module stands: with next, that it has the message after done in hand or waits for it, else that
// it has nothing and wants nothing.
func (s *Session) standing(next bool) (method string, p nextParams) {
	if next {
		return methodNext, nextParams{Ack: s.done}
	}
	return methodLater, nextParams{Ack: s.done}
}

// tell tells the host where the module stands. It is called with mu held, so that the host hears it in order; flush,
// without, has it leave. Where there is no connection, greet and settled tell the next one.
func (s *Session) tell(next bool) {
	method, p := s.standing(next)
	s.wire.queue(method, p)
}

// sessionHandler is what the host calls on a module.
type sessionHandler struct{ s *Session }

func (h sessionHandler) Request(_ context.Context, method string, _ json.RawMessage) (any, error) {
	return nil, unknownMethod(method)
}

func (h sessionHandler) Notify(method string, raw json.RawMessage) {
	switch method {
	case methodMessage:
		var w wireMessage
		err := w.parse(raw)
		var m api.Message
		if err == nil {
			m, err = w.message()
		}
		if err != nil {
			h.s.end(fmt.Errorf("message from host: %w", err))
			return
		}
		h.s.push(m)
	case methodSeatEnded:
		p, err := params[jsonrpc.Error](raw)
		if err != nil {
			p = jsonrpc.Error{Code: api.Code(api.ErrClosed), Message: "session ended: " + err.Error()}
		}
		h.s.end(api.Error(p.Code, p.Message))
	}
}

func (s *Session) end(err error) {
	s.mu.Lock()
	if s.closed == nil {
		s.closed = err
	}
	s.mu.Unlock()
	s.wake()
}

func (s *Session) wake() {
	select {
	case s.arrived <- struct{}{}:
	default:
	}
}

// Identity returns who is seated.
func (s *Session) Identity() api.Identity { return s.id }

// Send implements api.Session. The message gets its ID here, so that the host can tell a repetition after a lost
// connection from a second message.
func (s *Session) Send(ctx context.Context, m api.Message) error {
	if len(m.Text) > api.MaxMessageBytes {
		return fmt.Errorf("send to %s: message of %d bytes: %w: at most %d", m.To, len(m.Text), api.ErrTooLarge, api.MaxMessageBytes)
	}
	if m.ID == "" {
		m.ID = api.NewID()
	}
	select {
	case s.sending <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("send to %s: %w", m.To, ctx.Err())
	}
	defer func() { <-s.sending }()
	return s.wire.call(ctx, methodSend, &sendParams{wireMessage: toWire(m)}, nil)
}

// Publish implements api.Session.
func (s *Session) Publish(ctx context.Context, p api.Publication) error {
	return s.wire.call(ctx, methodPublish, p, nil)
}

// Subscribe implements api.Session.
func (s *Session) Subscribe(ctx context.Context, topics string) error {
	s.mu.Lock()
	already := s.topics[topics]
	s.topics[topics] = true // before the host knows, lest it is forgotten when the host is restarted right after
	s.mu.Unlock()
	err := s.wire.call(ctx, methodSubscribe, pattern{topics}, nil)
	if err != nil && !already {
		s.mu.Lock()
		delete(s.topics, topics)
		s.mu.Unlock()
	}
	return err
}

// Unsubscribe implements api.Session.
func (s *Session) Unsubscribe(ctx context.Context, topics string) error {
	s.mu.Lock()
	delete(s.topics, topics)
	s.mu.Unlock()
	return s.wire.call(ctx, methodUnsubscribe, pattern{topics}, nil)
}

// Log implements api.Session.
func (s *Session) Log(ctx context.Context, entry api.LogEntry) error {
	return s.wire.notify(ctx, methodLog, entry)
}

// Print implements api.Session.
func (s *Session) Print(ctx context.Context, text string) error {
	return s.wire.notify(ctx, methodPrint, textParams{text})
}

// Input implements api.Session.
func (s *Session) Input(ctx context.Context, prompt string) (string, error) {
	var answer textParams
	err := s.wire.call(ctx, methodInput, textParams{prompt}, &answer)
	return answer.Text, err
}

// Keep implements api.Session.
func (s *Session) Keep(ctx context.Context, key string, value []byte) error {
	if !utf8.ValidString(key) { // which JSON would change
		return fmt.Errorf("keep %q: %w: a key is UTF-8 text", key, api.ErrInvalid)
	}
	return s.wire.call(ctx, methodKeep, kept{Key: key, Value: value, Found: value != nil}, nil)
}

// Kept implements api.Session.
func (s *Session) Kept(ctx context.Context, key string) ([]byte, bool, error) {
	var answer kept
	err := s.wire.call(ctx, methodKept, kept{Key: key}, &answer)
	if answer.Found && answer.Value == nil {
		answer.Value = []byte{} // JSON has left it out
	}
	return answer.Value, answer.Found, err
}

// Memory implements api.Session.
func (s *Session) Memory() api.Memory { return remoteMemory{wire: s.wire} }

// Close implements api.Session. It waits for a host that is away for a short while only: the host learns of the
// module's end from whoever runs it, too.
func (s *Session) Close(outcome api.Outcome) error {
	s.mu.Lock()
	p := closeParams{Outcome: outcome, Done: s.done, Hand: s.hand}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.wire.call(ctx, methodClose, p, nil)
	s.wire.close()
	s.end(api.ErrClosed)
	if errors.Is(err, api.ErrReplaced) {
		return nil // the newer generation has the seat, as it should
	}
	return err
}

// Leave ends the connection, and with Continue leaves the seat to whoever continues: the message in hand stays in hand. When
// it returns nil, the host has heard all that was said.
func (s *Session) Leave(ctx context.Context) error {
	_, err := s.Pending(ctx)
	s.wire.close()
	s.end(api.ErrClosed)
	return err
}
