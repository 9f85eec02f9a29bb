package link

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// closeTimeout bounds how long a module that ends waits for a host that is away.
const closeTimeout = 2 * time.Second

// Session is a module's seat at a host in another process. It implements api.Session.
//
// The host pushes messages ahead, up to a window; Receive hands out what has arrived. Each Receive tells the host, in
// one notification without an answer, what is finished with: that frees the window, and lets the host know which
// message is in the module's hands should the module die. When the connection is lost, what was pushed ahead is
// forgotten here and pushed again by the host; the message in hand stays in hand.
type Session struct {
	id   api.Identity
	wire *wire

	receiving chan struct{} // a token: one Receive at a time
	arrived   chan struct{} // capacity 1: the queue may have something, or the session has ended

	mu     sync.Mutex
	queue  []api.Message   // pushed, not handed out
	hand   uint64          // seq of the message in the module's hand, 0 for none
	done   uint64          // all up to here are finished with
	waits  bool            // a Receive waits for a push
	topics map[string]bool // subscribed to: a host that was restarted is told again
	closed error
}

// Open seats a module at the host at address ("unix:///path" or "http://host:port").
func Open(ctx context.Context, address, token string, id api.Identity) (*Session, error) {
	s := &Session{id: id, topics: map[string]bool{}, receiving: make(chan struct{}, 1), arrived: make(chan struct{}, 1)}
	s.wire = &wire{address: address, token: token, handler: sessionHandler{s}, greet: s.greet, settled: s.settled}
	if err := s.wire.connect(ctx); err != nil {
		return nil, fmt.Errorf("open session of %s/%s: %w", id.Agent, id.Module, err)
	}
	return s, nil
}

func (s *Session) greet(ctx context.Context, peer *jsonrpc.Peer, again bool) error {
	s.mu.Lock()
	s.queue = nil
	p := openParams{Identity: s.id, Resume: again, Hand: s.hand, Done: s.done}
	s.mu.Unlock()
	var welcome openResult
	if err := peer.Call(ctx, methodOpen, p, &welcome); err != nil {
		return err
	}
	if !again {
		return nil
	}
	s.mu.Lock()
	topics := slices.Collect(maps.Keys(s.topics))
	s.mu.Unlock()
	for _, t := range topics {
		if err := peer.Call(ctx, methodSubscribe, pattern{t}, nil); err != nil {
			return err
		}
	}
	return nil
}

// settled tells a new connection what a Receive that waits has told the lost one.
func (s *Session) settled() {
	s.mu.Lock()
	waits, done := s.waits, s.done
	s.mu.Unlock()
	if waits {
		s.wire.tell(methodNext, nextParams{Ack: done}) // fails only with the connection, and then comes again
	}
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
		err := json.Unmarshal(raw, &w)
		var m api.Message
		if err == nil {
			m, err = w.message()
		}
		if err != nil {
			h.s.end(fmt.Errorf("message from host: %w", err))
			return
		}
		h.s.push(m)
	case methodReplaced:
		h.s.end(api.ErrReplaced)
	}
}

func (s *Session) push(m api.Message) {
	s.mu.Lock()
	last := max(s.done, s.hand)
	if n := len(s.queue); n > 0 {
		last = s.queue[n-1].Seq
	}
	if m.Seq > last {
		s.queue = append(s.queue, m)
	}
	s.mu.Unlock()
	s.wake()
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

// take finishes with the message in hand and takes the next one of the queue. It returns what the host must be told.
func (s *Session) take(wait bool) (m api.Message, ok bool, tell nextParams, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = false
	if s.closed != nil {
		return m, false, tell, s.closed
	}
	if s.hand != 0 {
		s.done, s.hand = s.hand, 0
	}
	if len(s.queue) > 0 {
		m, ok = s.queue[0], true
		s.queue[0] = api.Message{}
		s.queue = s.queue[1:]
		s.hand = m.Seq
	} else {
		s.waits = wait
	}
	return m, ok, nextParams{Ack: s.done}, nil
}

// Identity returns who is seated.
func (s *Session) Identity() api.Identity { return s.id }

// Receive implements api.Session.
func (s *Session) Receive(ctx context.Context) (api.Message, error) {
	if err := s.alone(ctx); err != nil {
		return api.Message{}, err
	}
	defer func() { <-s.receiving }()
	m, ok, tell, err := s.take(true)
	if err != nil {
		return m, err
	}
	if err := s.wire.tell(methodNext, tell); err != nil {
		return api.Message{}, err
	}
	for !ok {
		select {
		case <-s.arrived:
		case <-s.wire.ended:
			return m, s.wire.err
		case <-ctx.Done():
			s.mu.Lock()
			s.waits = false
			s.mu.Unlock()
			if err := s.wire.tell(methodLater, nil); err != nil {
				return m, err
			}
			return m, ctx.Err()
		}
		if m, ok, _, err = s.take(true); err != nil {
			return m, err
		}
	}
	return m, nil
}

// alone waits until no other Receive is under way.
func (s *Session) alone(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.receiving <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TryReceive implements api.Session.
func (s *Session) TryReceive(ctx context.Context) (api.Message, bool, error) {
	if err := s.alone(ctx); err != nil {
		return api.Message{}, false, err
	}
	defer func() { <-s.receiving }()
	m, ok, tell, err := s.take(false)
	if err != nil {
		return m, false, err
	}
	if ok {
		return m, true, s.wire.tell(methodNext, tell)
	}
	// What the host has for us arrives before its answer does.
	if err := s.wire.call(ctx, methodPoll, tell, nil); err != nil {
		return m, false, err
	}
	m, ok, tell, err = s.take(false)
	if err != nil || !ok {
		return m, false, err
	}
	return m, true, s.wire.tell(methodNext, tell)
}

// Pending implements api.Session.
func (s *Session) Pending(ctx context.Context) (int, error) {
	var answer count
	err := s.wire.call(ctx, methodPending, nil, &answer)
	return answer.Count, err
}

// Send implements api.Session. The message gets its ID here, so that the host can tell a repetition after a lost
// connection from a second message.
func (s *Session) Send(ctx context.Context, m api.Message) error {
	if len(m.Text) > api.MaxMessageBytes {
		return fmt.Errorf("send to %s: message of %d bytes: %w: at most %d", m.To, len(m.Text), api.ErrTooLarge, api.MaxMessageBytes)
	}
	if m.ID == "" {
		m.ID = api.NewID()
	}
	return s.wire.call(ctx, methodSend, &sendParams{wireMessage: toWire(m)}, nil)
}

// Publish implements api.Session.
func (s *Session) Publish(ctx context.Context, p api.Publication) error {
	return s.wire.call(ctx, methodPublish, p, nil)
}

// Subscribe implements api.Session.
func (s *Session) Subscribe(ctx context.Context, topics string) error {
	err := s.wire.call(ctx, methodSubscribe, pattern{topics}, nil)
	if err == nil {
		s.mu.Lock()
		s.topics[topics] = true
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
	return s.wire.call(ctx, methodKeep, kept{Key: key, Value: value, Found: value != nil}, nil)
}

// Kept implements api.Session.
func (s *Session) Kept(ctx context.Context, key string) ([]byte, bool, error) {
	var answer kept
	err := s.wire.call(ctx, methodKept, kept{Key: key}, &answer)
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
	return err
}
