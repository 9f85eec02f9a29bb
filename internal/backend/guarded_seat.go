package backend

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// guardedSeat is the seat of a module that a user speaks as: it reaches its own agent, and what else the user may. As the
// seat outlives the question whether the user may have it, each call asks again; only what ends it is always permitted.
type guardedSeat struct {
	link.Seat
	g *guarded
}

// may checks that the user may still speak as the module.
func (s *guardedSeat) may() error { return s.g.agent(s.Identity().Agent) }

// to checks where a message goes.
func (s *guardedSeat) to(ctx context.Context, address string) error {
	name, _, crossing := strings.Cut(address, "/")
	if !crossing {
		name = s.Identity().Agent
	}
	if err := s.g.agent(name); err != nil {
		return err
	}
	return s.g.rate.Wait(ctx)
}

// Send implements api.Session.
func (s *guardedSeat) Send(ctx context.Context, m api.Message) error {
	if err := s.to(ctx, m.To); err != nil {
		return err
	}
	return s.Seat.Send(ctx, m)
}

// Resend implements link.Seat.
func (s *guardedSeat) Resend(ctx context.Context, m api.Message) error {
	if err := s.to(ctx, m.To); err != nil {
		return err
	}
	return s.Seat.Resend(ctx, m)
}

// TrySend implements link.Seat: what is to be checked goes by Send.
func (s *guardedSeat) TrySend(api.Message) bool { return false }

// Publish implements api.Session.
func (s *guardedSeat) Publish(ctx context.Context, p api.Publication) error {
	if !s.g.id.Publish(p.Topic) {
		return fmt.Errorf("publish to %s: %w", p.Topic, errForbidden)
	}
	if err := s.g.rate.Wait(ctx); err != nil {
		return err
	}
	return s.Seat.Publish(ctx, p)
}

// Subscribe implements api.Session. What is published goes into the module's mailbox, and stays there for whoever receives
// for it: so the pattern itself must not reach over what the user may hear.
func (s *guardedSeat) Subscribe(ctx context.Context, pattern string) error {
	if !s.g.id.Within(pattern) {
		return fmt.Errorf("subscribe to %s: %w", pattern, errForbidden)
	}
	return s.Seat.Subscribe(ctx, pattern)
}

// Unsubscribe implements api.Session.
func (s *guardedSeat) Unsubscribe(ctx context.Context, pattern string) error {
	if err := s.may(); err != nil {
		return err
	}
	return s.Seat.Unsubscribe(ctx, pattern)
}

// Receive implements api.Session.
func (s *guardedSeat) Receive(ctx context.Context) (api.Message, error) {
	if err := s.may(); err != nil {
		return api.Message{}, err
	}
	return s.Seat.Receive(ctx)
}

// TryReceive implements api.Session.
func (s *guardedSeat) TryReceive(ctx context.Context) (api.Message, bool, error) {
	if err := s.may(); err != nil {
		return api.Message{}, false, err
	}
	return s.Seat.TryReceive(ctx)
}

// Pending implements api.Session.
func (s *guardedSeat) Pending(ctx context.Context) (int, error) {
	if err := s.may(); err != nil {
		return 0, err
	}
	return s.Seat.Pending(ctx)
}

// Log implements api.Session.
func (s *guardedSeat) Log(ctx context.Context, entry api.LogEntry) error {
	if err := s.may(); err != nil {
		return err
	}
	return s.Seat.Log(ctx, entry)
}

// Print implements api.Session.
func (s *guardedSeat) Print(ctx context.Context, text string) error {
	if err := s.may(); err != nil {
		return err
	}
	return s.Seat.Print(ctx, text)
}

// Input implements api.Session.
func (s *guardedSeat) Input(ctx context.Context, prompt string) (string, error) {
	if err := s.may(); err != nil {
		return "", err
	}
	return s.Seat.Input(ctx, prompt)
}

// Keep implements api.Session.
func (s *guardedSeat) Keep(ctx context.Context, key string, value []byte) error {
	if err := s.may(); err != nil {
		return err
	}
	return s.Seat.Keep(ctx, key, value)
}

// Kept implements api.Session.
func (s *guardedSeat) Kept(ctx context.Context, key string) ([]byte, bool, error) {
	if err := s.may(); err != nil {
		return nil, false, err
	}
	return s.Seat.Kept(ctx, key)
}

// Memory implements api.Session.
func (s *guardedSeat) Memory() api.Memory {
	return &guardedMemory{unclosed{s.Seat.Memory()}, s.g, s.Identity().Agent}
}

// Feed implements link.Seat.
func (s *guardedSeat) Feed() link.Feed { return guardedFeed{s.Seat.Feed(), s} }

// guardedFeed ends when the user may no longer speak to the agent.
type guardedFeed struct {
	link.Feed
	seat *guardedSeat
}

// TryNext implements link.Feed.
func (f guardedFeed) TryNext() (api.Message, bool, error) {
	if err := f.seat.may(); err != nil {
		return api.Message{}, false, err
	}
	return f.Feed.TryNext()
}

// guardedHost is an agent that an admin runs, for as long as the admin is one. Its modules come in with what the admin has
// shown: whose backend it is keeps the token.
type guardedHost struct {
	api.Host
	g *guarded
}

// Endpoint implements api.Host. Whoever runs the agent adds the password that goes with the name: see link.
func (h *guardedHost) Endpoint() api.Endpoint {
	e := h.Host.Endpoint()
	e.Token = ""
	if _, own := h.g.b.broker.(*embedded); !own {
		return e
	}
	broker, err := url.Parse(e.Broker)
	if err != nil {
		e.Broker = ""
		return e
	}
	broker.User = url.User(h.g.id.User())
	e.Broker = broker.String()
	return e
}

// Report implements api.Host.
func (h *guardedHost) Report(ctx context.Context, state api.ModuleState) error {
	if err := h.g.admin("run agent"); err != nil {
		return err
	}
	return h.Host.Report(ctx, state)
}

// Remove implements api.Host.
func (h *guardedHost) Remove(ctx context.Context, module string) error {
	if err := h.g.admin("run agent"); err != nil {
		return err
	}
	return h.Host.Remove(ctx, module)
}

// unclosed is a memory that is open for as long as its seat is.
type unclosed struct{ api.Memory }

// Close implements api.OpenedMemory.
func (unclosed) Close() error { return nil }

// guardedMemory is an agent's memory for as long as the user may use it.
type guardedMemory struct {
	opened api.OpenedMemory
	g      *guarded
	agent  string
}

// Close implements api.OpenedMemory.
func (m *guardedMemory) Close() error { return m.opened.Close() }

// Add implements api.Memory.
func (m *guardedMemory) Add(ctx context.Context, records []api.Record) ([]string, error) {
	if err := m.g.agent(m.agent); err != nil {
		return nil, err
	}
	return m.opened.Add(ctx, records)
}

// Get implements api.Memory.
func (m *guardedMemory) Get(ctx context.Context, sel api.Selection) ([]api.Record, error) {
	if err := m.g.agent(m.agent); err != nil {
		return nil, err
	}
	return m.opened.Get(ctx, sel)
}

// Query implements api.Memory.
func (m *guardedMemory) Query(ctx context.Context, q api.Query) ([]api.Match, error) {
	if err := m.g.agent(m.agent); err != nil {
		return nil, err
	}
	return m.opened.Query(ctx, q)
}

// Retrieve implements api.Memory.
func (m *guardedMemory) Retrieve(ctx context.Context, r api.Retrieval) ([]api.Match, error) {
	if err := m.g.agent(m.agent); err != nil {
		return nil, err
	}
	return m.opened.Retrieve(ctx, r)
}

// Update implements api.Memory.
func (m *guardedMemory) Update(ctx context.Context, records []api.Record) error {
	if err := m.g.agent(m.agent); err != nil {
		return err
	}
	return m.opened.Update(ctx, records)
}

// Delete implements api.Memory.
func (m *guardedMemory) Delete(ctx context.Context, ids []string, filter *api.Filter) (int, error) {
	if err := m.g.agent(m.agent); err != nil {
		return 0, err
	}
	return m.opened.Delete(ctx, ids, filter)
}

// Count implements api.Memory.
func (m *guardedMemory) Count(ctx context.Context, filter *api.Filter) (int, error) {
	if err := m.g.agent(m.agent); err != nil {
		return 0, err
	}
	return m.opened.Count(ctx, filter)
}

// Clear implements api.Memory.
func (m *guardedMemory) Clear(ctx context.Context) (int, error) {
	if err := m.g.agent(m.agent); err != nil {
		return 0, err
	}
	return m.opened.Clear(ctx)
}
