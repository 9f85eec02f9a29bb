package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

// What a module does with its seat: api.Session, and what link.Seat has beside it.

func (s *seat) Identity() api.Identity { return s.id }

// Send implements api.Session.
func (s *seat) Send(ctx context.Context, m api.Message) error {
	m.From = s.name
	return s.agent.backend.deliver(ctx, s.agent, m, false)
}

// Resend implements link.Seat.
func (s *seat) Resend(ctx context.Context, m api.Message) error {
	m.From = s.name
	return s.agent.backend.deliver(ctx, s.agent, m, true)
}

// TrySend implements link.Seat. It is for the most usual case alone: a module of the same agent, whose mailbox has room.
func (s *seat) TrySend(m api.Message) bool {
	if len(m.Text) > api.MaxMessageBytes {
		return false
	}
	box, ok := s.agent.boxes.Lookup(m.To)
	if !ok || s.agent.backend.broker.host() != "" && s.agent.absent(m.To) || s.agent.backend.abroad.has(s.agent, m.To) {
		return false
	}
	module := m.To
	m.From, m.To = s.name, s.agent.name+"/"+module
	stamp(&m)
	if !box.TryPut(&m) {
		return false
	}
	s.agent.backend.broker.mirror(s.agent.name, module, m)
	return true
}

// deliver puts m, whose To may leave out the agent if from is not nil, where it belongs.
func (b *Backend) deliver(ctx context.Context, from *agent, m api.Message, resent bool) error {
	if len(m.Text) > api.MaxMessageBytes {
		return fmt.Errorf("send to %s: message of %d bytes: %w: at most %d", m.To, len(m.Text), api.ErrTooLarge, api.MaxMessageBytes)
	}
	name, module, crossing := strings.Cut(m.To, "/")
	to := from
	if !crossing {
		if from == nil {
			return fmt.Errorf("send to %q: %w: want agent/module", m.To, api.ErrInvalid)
		}
		name, module = from.name, m.To
		m.To = name + "/" + module
	}
	if from == nil || name != from.name {
		var err error
		if to, err = b.use(name, nil); err != nil {
			return b.pass(ctx, from, m, resent, err)
		}
		defer to.done()
	}
	if b.abroad.has(to, module) {
		return b.abroad.send(ctx, from, m, resent)
	}
	box, err := to.box(module)
	if err != nil {
		return b.pass(ctx, from, m, resent, err)
	}
	if to.absent(module) && b.broker.serves(api.MessageTopic(name, module)) {
		return b.broker.send(name, module, m)
	}
	stamp(&m)
	if resent {
		_, err = box.PutResent(ctx, m)
	} else {
		_, err = box.Put(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("send to %s: %w", m.To, err)
	}
	b.broker.mirror(name, module, m)
	return nil
}

// stamp sets what the host says of a message that it accepts.
func stamp(m *api.Message) {
	if m.ID == "" {
		m.ID = api.NewID()
	}
	m.Time = time.Now()
	m.Topic, m.Deaths = "", 0
}

// Receive implements api.Session.
func (s *seat) Receive(ctx context.Context) (api.Message, error) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	s.finish() // who asks for the next one is done with this one, also where there is no next one
	if err := ctx.Err(); err != nil {
		return api.Message{}, err
	}
	s.firstReceive()
	m, err := s.reader.Next(ctx)
	if err != nil {
		return m, err
	}
	s.begin(m.Seq)
	return m, nil
}

// settling bounds how long settle waits: should the disk be full, a message may stay out of reach for long.
const settling = time.Second

// settle waits until all that has been accepted can be taken. Only the first message of a mailbox, or one in a great
// many, is held up: until its number is on disk.
func (s *seat) settle(ctx context.Context) error {
	if s.box.Pending() == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	err := s.reader.Wait(bounded)
	if err != nil && bounded.Err() != nil {
		return ctx.Err()
	}
	return err
}

// TryReceive implements api.Session.
func (s *seat) TryReceive(ctx context.Context) (api.Message, bool, error) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	s.finish()
	if err := ctx.Err(); err != nil {
		return api.Message{}, false, err
	}
	s.firstReceive()
	m, ok, err := s.reader.TryNext()
	if !ok && err == nil {
		if err = s.settle(ctx); err == nil {
			m, ok, err = s.reader.TryNext()
		}
	}
	if ok {
		s.begin(m.Seq)
	}
	return m, ok, err
}

func (s *seat) finish() {
	if s.hand != 0 {
		s.reader.Ack(s.hand)
		s.hand = 0
	}
}

func (s *seat) begin(seq uint64) {
	s.hand = seq
	s.reader.Begin(seq)
}

// firstReceive drops the subscriptions of earlier generations that this one has not renewed.
func (s *seat) firstReceive() {
	if s.received { // only ever set by this goroutine, or before the seat was shared
		return
	}
	s.received = true
	a := s.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	for pattern, t := range a.topics[s.id.Module] {
		if t.owner != s {
			a.unsubscribe(s.id.Module, pattern)
		}
	}
}

// Feed implements link.Seat.
func (s *seat) Feed() link.Feed { return feed{s.reader, s} }

// feed is the seat's mailbox for a link, which takes messages ahead of the module.
type feed struct {
	*mailbox.Reader
	seat *seat
}

// Asked is called when the module receives.
func (f feed) Asked() {
	f.seat.receiving.Lock()
	f.seat.firstReceive()
	f.seat.receiving.Unlock()
}

// Settle is as link.Feed says.
func (f feed) Settle(ctx context.Context) error { return f.seat.settle(ctx) }

// Pending implements api.Session.
func (s *seat) Pending(context.Context) (int, error) { return s.box.Pending(), nil }

// Publish implements api.Session. What is published on a module's message topic is a message to it, with all that comes
// with one: the sender's name, and waiting while the mailbox is full.
func (s *seat) Publish(ctx context.Context, p api.Publication) error {
	return s.agent.backend.publish(ctx, s.name, p, s.Send)
}

// publish publishes for from, in whose name send sends messages.
func (b *Backend) publish(ctx context.Context, from string, p api.Publication, send func(context.Context, api.Message) error) error {
	if len(p.Payload) > api.MaxMessageBytes {
		return fmt.Errorf("publish to %s: %d bytes: %w: at most %d", p.Topic, len(p.Payload), api.ErrTooLarge, api.MaxMessageBytes)
	}
	if err := checkPublication(p); err != nil {
		return err
	}
	if name, module, ok := addressee(p.Topic); ok && !p.Retain {
		err := send(ctx, api.Message{To: name + "/" + module, Text: string(p.Payload)})
		if !errors.Is(err, api.ErrUnknown) && !errors.Is(err, api.ErrInvalid) {
			return err
		}
	}
	return b.broker.publish(ctx, from, p)
}

// Log implements api.Session.
func (s *seat) Log(_ context.Context, entry api.LogEntry) error {
	if console := s.agent.console(); console != nil {
		console.Log(s.id.Module, entry)
		return nil
	}
	s.agent.backend.log.Info(entry.String(), slog.String("module", s.name))
	return nil
}

// Print implements api.Session.
func (s *seat) Print(_ context.Context, text string) error {
	console := s.agent.console()
	if console == nil {
		return fmt.Errorf("print: %w", api.ErrNoInput)
	}
	console.Print(s.id.Module, text)
	return nil
}

// reunion is how long a module that came back after the backend was restarted waits for whoever runs it to come back too.
const reunion = 5 * time.Second

// Input implements api.Session.
func (s *seat) Input(ctx context.Context, prompt string) (string, error) {
	s.agent.mu.Lock()
	attached := s.agent.attached
	s.agent.mu.Unlock()
	if s.resumed {
		late := time.NewTimer(reunion)
		defer late.Stop()
		select {
		case <-attached:
		case <-late.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	console := s.agent.console()
	if console == nil {
		return "", api.ErrNoInput
	}
	return console.Input(ctx, s.id.Module, prompt)
}

// Keep implements api.Session.
func (s *seat) Keep(_ context.Context, key string, value []byte) error {
	switch {
	case len(value) > api.MaxKeepBytes:
		return fmt.Errorf("keep %q: %d bytes: %w: at most %d", key, len(value), api.ErrTooLarge, api.MaxKeepBytes)
	case key == "" || len(key) > 256 || !utf8.ValidString(key):
		return fmt.Errorf("keep %q: %w: a key is text of 1 to 256 bytes", key, api.ErrInvalid)
	}
	return s.agent.kept.set(s.id.Module, key, value)
}

// Kept implements api.Session.
func (s *seat) Kept(_ context.Context, key string) ([]byte, bool, error) {
	return s.agent.kept.get(s.id.Module, key)
}

// Memory implements api.Session.
func (s *seat) Memory() api.Memory {
	if r := s.agent.remoteMemory(); r != nil {
		return r.asMemory()
	}
	return lazyMemory{func(_ context.Context, do func(api.Memory) error) error {
		store, err := s.agent.memory()
		if err != nil {
			return err
		}
		return do(store)
	}}
}
