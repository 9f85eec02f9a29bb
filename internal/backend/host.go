package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// host is the seat of who runs an agent. It implements api.Host.
type host struct {
	agent   *agent
	as      api.Attachment
	console api.Console
}

// Attach implements api.Backend.
func (b *Backend) Attach(_ context.Context, as api.Attachment, out api.Console) (api.Host, error) {
	a, err := b.use(as.Agent, &as)
	if err != nil {
		return nil, err
	}
	h := &host{agent: a, as: as, console: out}
	a.mu.Lock()
	if other := a.host; other != nil {
		a.mu.Unlock()
		err := fmt.Errorf("agent %s is run already, by process %d (%s): %w", as.Agent, other.as.PID, other.as.Project, api.ErrInUse)
		return nil, errors.Join(err, a.done())
	}
	a.host = h
	a.states = map[string]api.ModuleState{}
	a.mu.Unlock()
	err = writeAttachment(a.dir, as)
	for _, module := range as.Modules {
		a.boxes.Box(module)
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// console returns where the agent's modules speak to the outside, or nil.
func (a *agent) console() api.Console {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.host == nil {
		return nil
	}
	return a.host.console
}

// Endpoint implements api.Host.
func (h *host) Endpoint() api.Endpoint { return h.agent.backend.endpoint() }

// Open implements api.Host.
func (h *host) Open(_ context.Context, id api.Identity) (api.Session, error) {
	return h.agent.backend.seat(id, false, 0, 0)
}

// Report implements api.Host.
func (h *host) Report(_ context.Context, state api.ModuleState) error {
	a := h.agent
	state.Agent = a.name
	a.boxes.Box(state.Module)
	a.mu.Lock()
	a.states[state.Module] = state
	a.mu.Unlock()
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("report %s/%s: %w", a.name, state.Module, err)
	}
	return a.backend.broker.publish(api.Publication{Topic: api.StateTopic(a.name, state.Module), Payload: text, Retain: true})
}

// Ended implements api.Host.
func (h *host) Ended(_ context.Context, id api.Identity, outcome api.Outcome) error {
	a := h.agent
	a.mu.Lock()
	s := a.seats[id.Module]
	a.mu.Unlock()
	if s == nil || s.id.Generation != id.Generation {
		return nil
	}
	if outcome == api.Finished {
		// It has ended well but could not say so itself, nor what it had finished with: that comes again.
		outcome = api.Stopped
	}
	return s.Close(outcome)
}

// Remove implements api.Host.
func (h *host) Remove(_ context.Context, module string) error {
	a := h.agent
	a.mu.Lock()
	s := a.seats[module]
	delete(a.states, module)
	a.unsubscribeAll(module)
	a.mu.Unlock()
	var errs []error
	if s != nil {
		errs = append(errs, s.Close(api.Stopped))
	}
	errs = append(errs, a.boxes.Remove(module), a.kept.remove(module),
		a.backend.broker.publish(api.Publication{Topic: api.StateTopic(a.name, module), Retain: true}))
	return errors.Join(errs...)
}

// Close implements api.Host. The agent's retained states are cleared: nobody runs it.
func (h *host) Close() error {
	a := h.agent
	a.mu.Lock()
	if a.host != h {
		a.mu.Unlock()
		return nil
	}
	a.host = nil
	states := a.states
	a.states = map[string]api.ModuleState{}
	a.mu.Unlock()
	var errs []error
	for module := range states {
		errs = append(errs, a.backend.broker.publish(api.Publication{Topic: api.StateTopic(a.name, module), Retain: true}))
	}
	return errors.Join(append(errs, a.done())...)
}
