package backend

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// topics are a module's subscriptions, by pattern. They outlive the module's generations: see agent.Subscribe in
// package coma.
type topics map[string]*subscription

type subscription struct {
	cancel func() // nil until the broker has it
	owner  *seat  // the generation that made or renewed it
	lost   rarely
}

// Subscribe implements api.Session.
func (s *seat) Subscribe(_ context.Context, pattern string) error {
	if err := checkPattern(pattern); err != nil {
		return err
	}
	a := s.agent
	k := a.backend.broker
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.closed {
		return fmt.Errorf("subscribe to %s: %w", pattern, api.ErrClosed)
	}
	mine := a.topics[s.id.Module]
	if mine == nil {
		mine = topics{}
		a.topics[s.id.Module] = mine
	}
	if t := mine[pattern]; t != nil {
		if t.owner != s {
			t.owner = s
			k.retained(pattern, s.hear(t)) // as a new subscriber gets it
		}
		return nil
	}
	t := &subscription{owner: s, lost: rarely{every: 10 * time.Second}}
	mine[pattern] = t
	a.mu.Unlock() // a broker elsewhere takes its time
	cancel, err := k.subscribe(pattern, s.hear(t))
	a.mu.Lock()
	there := a.topics[s.id.Module][pattern] == t
	switch {
	case err != nil:
		if there {
			delete(a.topics[s.id.Module], pattern)
		}
		return fmt.Errorf("subscribe to %s: %w", pattern, err)
	case there:
		t.cancel = cancel
	default: // it has been ended meanwhile
		cancel()
	}
	return nil
}

// Unsubscribe implements api.Session.
func (s *seat) Unsubscribe(_ context.Context, pattern string) error {
	a := s.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.topics[s.id.Module][pattern] == nil {
		return fmt.Errorf("unsubscribe from %s: %w: the module does not subscribe to it", pattern, api.ErrNotFound)
	}
	a.unsubscribe(s.id.Module, pattern)
	return nil
}

// unsubscribe and unsubscribeAll are called with a.mu held.
func (a *agent) unsubscribe(module, pattern string) {
	if t := a.topics[module][pattern]; t != nil {
		if t.cancel != nil { // else Subscribe sees that it is not wanted any more
			t.cancel()
		}
		delete(a.topics[module], pattern)
	}
}

func (a *agent) unsubscribeAll(module string) {
	for pattern := range a.topics[module] {
		a.unsubscribe(module, pattern)
	}
	delete(a.topics, module)
}

// hear returns what puts publications into the module's mailbox. It is called in the publisher's goroutine and waits for
// nothing.
func (s *seat) hear(t *subscription) func(api.Heard) {
	box, module, a := s.box, s.id.Module, s.agent
	return func(h api.Heard) {
		dropped := box.PutOverwriting(api.Message{
			ID: api.NewID(), From: h.From, To: s.name, Topic: strings.Clone(h.Topic), Time: h.Time, Text: string(h.Payload),
		})
		if dropped == 0 {
			return
		}
		if n := t.lost.add(dropped); n > 0 {
			// Not in this goroutine: it may hold the agent.
			go a.warn(module, fmt.Sprintf("the mailbox is full: %d publications were dropped, the oldest first (newest from %s)", n, h.Topic))
		}
	}
}

// warn puts a line of the backend's own into a module's log.
func (a *agent) warn(module, text string) {
	if console := a.console(); console != nil {
		console.Log(module, api.LogEntry{Time: time.Now(), Level: slog.LevelWarn.String(), Text: text})
		return
	}
	a.backend.log.Warn(text, slog.String("module", a.name+"/"+module))
}
