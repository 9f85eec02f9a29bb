package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
	"github.com/concurrent-modular-agent/coma/internal/project"
)

// absence is how long a module that nobody runs here may be away before its seat is given up. (For one that somebody
// runs, that host says when it has ended.)
const absence = 30 * time.Second

// seat is one generation of one module at the backend. It implements api.Session and link.Seat.
type seat struct {
	agent  *agent
	id     api.Identity
	name   string // "agent/module", as it stands in messages
	box    *mailbox.Box
	reader *mailbox.Reader

	receiving sync.Mutex    // one Receive at a time
	hand      uint64        // under receiving: the message in hand
	taken     uint64        // the message that was in hand when the seat was taken
	continues bool          // the module's programs come and go
	received  bool          // under agent.mu: subscriptions of earlier generations have been dropped
	resumed   bool          // the module was there before, at a backend that has gone or through a connection that was lost
	closed    bool          // under agent.mu
	gone      chan struct{} // closed when the connection to the module is lost; nil in the host's own process
	absent    *time.Timer   // under agent.mu: gives the seat up when the module does not come back
}

// goodbye bounds the wait for what a lost connection has brought last.
const goodbye = time.Second

// Seat implements link.Local.
func (b *Backend) Seat(ctx context.Context, claim link.Claim) (link.Seat, error) {
	if claim.Mode != link.Seated {
		if err := b.reunited(ctx, claim.Identity); err != nil {
			return nil, err
		}
	}
	if claim.Mode == link.Guest {
		return b.guest(claim.Identity)
	}
	if claim.Resume || claim.Mode == link.Continue {
		if err := b.parted(ctx, claim.Identity); err != nil {
			return nil, err
		}
	}
	return b.seat(claim, make(chan struct{}))
}

func (b *Backend) seat(claim link.Claim, gone chan struct{}) (*seat, error) {
	id := claim.Identity
	if err := project.CheckName(id.Module); err != nil {
		return nil, fmt.Errorf("module: %w: %w", api.ErrInvalid, err)
	}
	a, err := b.use(id.Agent, &api.Attachment{})
	if err != nil {
		return nil, err
	}
	s := &seat{agent: a, id: id, name: id.Agent + "/" + id.Module, box: a.boxes.Box(id.Module), gone: gone, resumed: claim.Resume, continues: claim.Mode == link.Continue}
	a.mu.Lock()
	old := a.seats[id.Module]
	if err := s.claim(old, claim); err != nil {
		a.mu.Unlock()
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.name, err), a.done())
	}
	a.seats[id.Module] = s
	if old != nil {
		old.end()
	}
	mqtt := slices.Contains(a.opened.MQTT, id.Module)
	a.mu.Unlock()
	b.broker.house(id.Agent, id.Module, mqtt)
	b.abroad.changed()
	if old != nil {
		err = a.done()
	}
	return s, err
}

// claim takes the mailbox, with what is known of the message in hand, from the seat before, if there is one. It is called
// with agent.mu held.
func (s *seat) claim(old *seat, c link.Claim) error {
	goesOn := c.Resume || c.Mode == link.Continue
	if goesOn && old != nil && old.id.Generation > s.id.Generation {
		return api.ErrReplaced
	}
	same := old != nil && old.id.Generation == s.id.Generation
	if c.Mode == link.Continue && same && !old.parted() {
		return fmt.Errorf("%w: another program receives for this module: one at a time", api.ErrInUse)
	}
	switch {
	case c.Resume && c.Hand != 0:
		s.reader, s.taken, s.received = s.box.Resume(c.Hand), c.Hand, true
	case c.Resume && c.Done != 0:
		s.reader, s.received = s.box.Resume(c.Done), true
		s.reader.Ack(c.Done)
	case c.Mode == link.Continue && same:
		s.taken, s.received = old.reader.InHand(), old.received
		s.reader = s.box.Resume(s.taken)
	default:
		s.reader = s.box.Open()
	}
	if s.stopping() {
		s.reader.Halt()
	}
	if old != nil && (c.Resume || c.Mode == link.Continue && same) {
		for _, t := range s.agent.topics[s.id.Module] {
			if t.owner == old {
				t.owner = s
			}
		}
	}
	return nil
}

// stopping reports whether the seat is that of a module's commands, and the module has been asked to stop: it may be that
// none of them ran just then. It is called with agent.mu held.
func (s *seat) stopping() bool {
	state := s.agent.states[s.id.Module]
	return s.continues && state.State == api.Stopping && state.Generation == s.id.Generation
}

// parted reports whether the seat waits for its module's next connection.
func (s *seat) parted() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// Hand implements link.Seat.
func (s *seat) Hand() uint64 { return s.taken }

// parted waits until all that a generation has said through the connection that it had before is dealt with: it sends
// again what was not answered, which must find what has arrived, and not be overtaken by it.
func (b *Backend) parted(ctx context.Context, id api.Identity) error {
	a := b.openedAgent(id.Agent)
	if a == nil {
		return nil
	}
	s := a.seat(id)
	if s == nil || s.gone == nil {
		return nil
	}
	late := time.NewTimer(goodbye)
	defer late.Stop()
	select {
	case <-s.gone:
	case <-late.C: // a network's connection, perhaps, that only one end knows to be lost
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Unseat implements link.Local.
func (b *Backend) Unseat(lost link.Seat) {
	s, ok := lost.(*seat)
	if !ok {
		if err := lost.Close(api.Stopped); err != nil {
			b.log.Error("close session of a guest that has gone", slog.Any("error", err))
		}
		return
	}
	s.agent.mu.Lock()
	defer s.agent.mu.Unlock()
	close(s.gone)
	if !s.closed {
		s.absent = time.AfterFunc(absence, s.giveUp)
	}
}

// giveUp closes the seat of a module that has not come back. While a host runs the agent, that one says what has become
// of it.
func (s *seat) giveUp() {
	a := s.agent
	a.mu.Lock()
	run := a.host != nil && !s.closed
	if run {
		s.absent.Reset(absence)
	}
	a.mu.Unlock()
	if run {
		return
	}
	if err := s.Close(api.Stopped); err != nil {
		a.backend.log.Error("close session of a module that has gone", slog.String("module", s.name), slog.Any("error", err))
	}
}

// end notes that the seat is given up or taken over. It is called with agent.mu held, once.
func (s *seat) end() {
	s.closed = true
	if s.absent != nil {
		s.absent.Stop()
	}
}

// Close implements api.Session.
func (s *seat) Close(outcome api.Outcome) error {
	a := s.agent
	a.mu.Lock()
	if s.closed {
		a.mu.Unlock()
		return nil
	}
	if a.seats[s.id.Module] == s {
		delete(a.seats, s.id.Module)
	}
	s.reader.Close(outcome)
	s.end()
	a.mu.Unlock()
	a.backend.abroad.changed()
	return a.done()
}
