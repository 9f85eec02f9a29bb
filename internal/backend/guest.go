package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// guest speaks as a module and leaves its seat alone: a program that the module has started, like a command in a script.
// It implements link.Seat.
type guest struct {
	*seat // without a mailbox's reader, and not among the agent's seats
	close func() error
}

// guest opens a session beside the seat of a module that runs or has run.
func (b *Backend) guest(id api.Identity) (*guest, error) {
	a, err := b.use(id.Agent, nil)
	if err != nil {
		return nil, err
	}
	box, err := a.box(id.Module)
	if err != nil {
		return nil, errors.Join(err, a.done())
	}
	s := &seat{agent: a, id: id, name: id.Agent + "/" + id.Module, box: box}
	return &guest{seat: s, close: sync.OnceValue(a.done)}, nil
}

var errGuest = fmt.Errorf("%w: a guest has no mailbox to receive from", api.ErrInvalid)

// Receive implements api.Session.
func (g *guest) Receive(context.Context) (api.Message, error) { return api.Message{}, errGuest }

// TryReceive implements api.Session.
func (g *guest) TryReceive(context.Context) (api.Message, bool, error) {
	return api.Message{}, false, errGuest
}

// Feed implements link.Seat.
func (g *guest) Feed() link.Feed { return nothing{} }

// nothing is the feed of who does not receive.
type nothing struct{}

func (nothing) Asked()                              {}
func (nothing) OnReadable(func())                   {}
func (nothing) Settle(context.Context) error        { return errGuest }
func (nothing) TryNext() (api.Message, bool, error) { return api.Message{}, false, nil }
func (nothing) Begin(uint64)                        {}
func (nothing) Ack(uint64)                          {}

// Pending implements api.Session.
func (g *guest) Pending(context.Context) (int, error) {
	n := g.box.Pending() + g.box.InHand()
	g.agent.mu.Lock()
	defer g.agent.mu.Unlock()
	if s := g.agent.seats[g.id.Module]; s != nil && s.reader.InHand() != 0 {
		n--
	}
	return n, nil
}

// Subscribe implements api.Session. The module hears what the guest has subscribed to: the subscription is that of the
// generation's seat, which is made if the generation has not received yet.
func (g *guest) Subscribe(ctx context.Context, pattern string) error {
	s := g.agent.seat(g.id)
	if s == nil {
		made, err := g.agent.backend.seat(link.Claim{Identity: g.id, Mode: link.Continue}, make(chan struct{}))
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", pattern, err)
		}
		defer g.agent.backend.Unseat(made)
		s = made
	}
	return s.Subscribe(ctx, pattern)
}

// Close implements api.Session. A guest has nothing that it could leave undone.
func (g *guest) Close(api.Outcome) error { return g.close() }
