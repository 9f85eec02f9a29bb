package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

func (b *Backend) pid() int { return os.Getpid() }

// Status implements api.Backend.
func (b *Backend) Status(context.Context) (api.Status, error) {
	s := api.Status{
		PID: b.pid(), Version: b.opt.Version, Daemon: b.opt.Daemon, Started: b.started,
		Socket: b.socket, API: b.listen.address(),
	}
	b.broker.describe(&s)
	if err := b.abroad.err(); err != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("messages to other hosts: %v", err))
	}
	for _, a := range b.running() {
		s.Agents++
		if err := a.boxes.Err(); err != nil {
			s.Problems = append(s.Problems, fmt.Sprintf("agent %s: mailboxes: %v", a.name, err))
		}
	}
	return s, nil
}

// running returns the agents that somebody runs, by name.
func (b *Backend) running() []*agent {
	var running []*agent
	for _, a := range b.openedAgents() {
		a.mu.Lock()
		if a.host != nil {
			running = append(running, a)
		}
		a.mu.Unlock()
	}
	slices.SortFunc(running, func(x, y *agent) int { return strings.Compare(x.name, y.name) })
	return running
}

// Agents implements api.Backend.
func (b *Backend) Agents(context.Context) ([]api.AgentState, error) {
	agents := []api.AgentState{}
	for _, a := range b.running() {
		a.mu.Lock()
		if a.host == nil {
			a.mu.Unlock()
			continue // it has just ended
		}
		state := api.AgentState{Agent: a.name, Project: a.host.as.Project, PID: a.host.as.PID, Modules: []api.ModuleState{}}
		for _, m := range a.states {
			state.Modules = append(state.Modules, m)
		}
		a.mu.Unlock()
		for i := range state.Modules {
			m := &state.Modules[i]
			if box, ok := a.boxes.Lookup(m.Module); ok {
				m.Pending, m.Dead, m.Dropped = box.Pending()+box.InHand(), len(box.Dead()), box.Dropped()
			}
		}
		slices.SortFunc(state.Modules, func(x, y api.ModuleState) int { return strings.Compare(x.Module, y.Module) })
		state.Modules = append(state.Modules, b.abroad.modules(a.name)...)
		agents = append(agents, state)
	}
	return agents, nil
}

// Post implements api.Backend.
func (b *Backend) Post(ctx context.Context, from string, m api.Message) error {
	m.From = from
	return b.deliver(ctx, nil, m, false)
}

// Publish implements api.Backend.
func (b *Backend) Publish(ctx context.Context, from string, p api.Publication) error {
	if b.opt.Offline {
		return fmt.Errorf("publish to %s: %w", p.Topic, errOffline)
	}
	return b.publish(ctx, from, p, func(ctx context.Context, m api.Message) error { return b.Post(ctx, from, m) })
}

// Forget implements api.Backend.
func (b *Backend) Forget(ctx context.Context, name string) error {
	if err := b.listen.release(name); err != nil {
		return err
	}
	a, err := b.use(name, nil)
	if errors.Is(err, api.ErrUnknown) { // or only a memory by that name
		if noMemory := b.RemoveMemory(ctx, name); !errors.Is(noMemory, api.ErrNotFound) {
			return noMemory
		}
	}
	if err != nil {
		return err
	}
	return a.forget()
}

// Mailboxes implements api.Backend.
func (b *Backend) Mailboxes(_ context.Context, name string) ([]api.Mailbox, error) {
	a, err := b.use(name, nil)
	if err != nil {
		return nil, err
	}
	boxes := []api.Mailbox{}
	for _, module := range a.boxes.Names() {
		if box, ok := a.boxes.Lookup(module); ok {
			boxes = append(boxes, api.Mailbox{Module: module, Waiting: box.Pending() + box.InHand(), Dead: len(box.Dead()), Dropped: box.Dropped()})
		}
	}
	return boxes, a.done()
}

// withBox calls f with the mailbox of a module that runs or has run.
func (b *Backend) withBox(name, module string, f func(*mailbox.Box) error) error {
	a, err := b.use(name, nil)
	if err != nil {
		return b.abroad.where(name, module, err)
	}
	box, err := a.box(module)
	if err == nil {
		err = f(box)
	} else {
		err = b.abroad.where(name, module, err)
	}
	return errors.Join(err, a.done())
}

// Waiting implements api.Backend.
func (b *Backend) Waiting(_ context.Context, name, module string, dead bool) (messages []api.Message, err error) {
	err = b.withBox(name, module, func(box *mailbox.Box) error {
		if dead {
			messages = box.Dead()
		} else {
			messages = box.Waiting()
		}
		return nil
	})
	return messages, err
}

// Redeliver implements api.Backend.
func (b *Backend) Redeliver(_ context.Context, name, module string, ids []string) (n int, err error) {
	err = b.withBox(name, module, func(box *mailbox.Box) (err error) {
		n, err = box.Redeliver(ids...)
		return err
	})
	return n, err
}

// DropDead implements api.Backend.
func (b *Backend) DropDead(_ context.Context, name, module string, ids []string) (n int, err error) {
	err = b.withBox(name, module, func(box *mailbox.Box) (err error) {
		n, err = box.DropDead(ids...)
		return err
	})
	return n, err
}
