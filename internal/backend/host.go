package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// host is the seat of who runs an agent. It implements api.Host.
type host struct {
	agent   *agent
	as      api.Attachment
	console api.Console

	stop    context.CancelFunc // ends looking
	looking sync.WaitGroup     // at the embedder
}

// Attach implements api.Backend.
func (b *Backend) Attach(ctx context.Context, as api.Attachment, out api.Console) (api.Host, error) {
	if _, err := embed.Parse(as.Memory.Embedder); err != nil {
		return nil, fmt.Errorf("agent %s: %w", as.Agent, err)
	}
	if err := b.listen.release(as.Agent); err != nil { // a Chroma client's, opened with other settings
		return nil, err
	}
	if err := b.abroad.claim(ctx, as); err != nil {
		return nil, err
	}
	a, err := b.useAs(ctx, as)
	if err != nil {
		return nil, err
	}
	a.regain(as.PID)
	h := &host{agent: a, as: as, console: out}
	a.mu.Lock()
	if other := a.host; other != nil {
		a.mu.Unlock()
		err := fmt.Errorf("agent %s is run already, by process %d (%s): %w", as.Agent, other.as.PID, other.as.Project, api.ErrInUse)
		return nil, errors.Join(err, a.done())
	}
	if a.opened.Durable != as.Durable || a.opened.Limit != as.Limit {
		who, cure := "a tool", "try again in a moment"
		if names := slices.Sorted(maps.Keys(a.seats)); len(names) > 0 {
			who, cure = "module "+strings.Join(names, ", "), "modules of an earlier run go in a moment, end a program outside that is connected as one"
		}
		a.mu.Unlock()
		err := fmt.Errorf("agent %s: %w with other settings (durable %t, limit %d), by %s: %s",
			as.Agent, api.ErrInUse, a.opened.Durable, a.opened.Limit, who, cure)
		return nil, errors.Join(err, a.done())
	}
	a.host, a.ranBy = h, as.PID
	a.opened.Memory, a.opened.MQTT, a.opened.Modules = as.Memory, as.MQTT, as.Modules
	life, stop := context.WithCancel(b.life)
	h.stop = stop
	close(a.attached)
	a.states = map[string]api.ModuleState{}
	a.mu.Unlock()
	err = errors.Join(writeAttachment(a.dir, as), a.adopt())
	for _, module := range as.Modules {
		a.boxes.Box(module)
		b.broker.house(a.name, module, slices.Contains(as.MQTT, module))
	}
	for _, module := range a.boxes.Names() {
		if !slices.Contains(as.Modules, module) {
			b.broker.leave(a.name, module) // it may live at another host now
		}
	}
	for _, module := range as.MQTT {
		if !a.carry(module, false) && !b.opt.Offline {
			a.warn(module, "it is an MQTT client of a broker that is not coma's own: what modules send to it while it is not there is lost")
		}
	}
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	b.abroad.changed()
	h.looking.Go(func() { h.lookAtEmbedder(life) })
	return h, nil
}

// yielding is how long Attach waits for those who use an agent with other settings for a moment: what an external broker
// brings is put into its mailboxes.
const yielding = time.Second

// useAs is use for who is to run the agent.
func (b *Backend) useAs(ctx context.Context, as api.Attachment) (*agent, error) {
	for late := time.Now().Add(yielding); ; {
		a, err := b.use(as.Agent, &as)
		if err != nil {
			return nil, err
		}
		a.mu.Lock()
		differs := a.host == nil && (a.opened.Durable != as.Durable || a.opened.Limit != as.Limit)
		a.mu.Unlock()
		if !differs || time.Now().After(late) {
			return a, nil
		}
		if err := a.done(); err != nil {
			return nil, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
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
	return h.agent.backend.seat(link.Claim{Identity: id}, nil)
}

// Report implements api.Host.
func (h *host) Report(ctx context.Context, state api.ModuleState) error {
	a := h.agent
	state.Agent, state.Host = a.name, a.backend.broker.host()
	a.boxes.Box(state.Module)
	a.backend.broker.house(a.name, state.Module, state.Mailbox == mailboxMQTT)
	a.mu.Lock()
	a.states[state.Module] = state
	s := a.seats[state.Module]
	if s != nil && s.stopping() {
		s.reader.Halt()
	}
	a.mu.Unlock()
	a.backend.abroad.changed()
	switch {
	case state.Mailbox == mailboxMQTT:
		a.carry(state.Module, state.State == api.Running)
	case state.State == api.Running:
		a.uncarry(state.Module)
	}
	text, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("report %s/%s: %w", a.name, state.Module, err)
	}
	return a.backend.broker.publish(ctx, "", api.Publication{Topic: api.StateTopic(a.name, state.Module), Payload: text, Retain: true})
}

// Ended implements api.Host.
func (h *host) Ended(ctx context.Context, id api.Identity, outcome api.Outcome) error {
	a := h.agent
	// What the process has said last may still be on its way: which message it has finished with, and which it died of.
	if err := a.backend.parted(ctx, id); err != nil {
		return err
	}
	a.uncarried(id.Module, outcome)
	s := a.seat(id)
	if s == nil {
		return nil
	}
	return s.Close(outcome)
}

// seat returns the seat of that generation, or nil.
func (a *agent) seat(id api.Identity) *seat {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.seats[id.Module]; s != nil && s.id.Generation == id.Generation {
		return s
	}
	return nil
}

// Remove implements api.Host.
func (h *host) Remove(ctx context.Context, module string) error {
	a := h.agent
	a.mu.Lock()
	s := a.seats[module]
	delete(a.states, module)
	a.backend.broker.leave(a.name, module)
	a.unsubscribeAll(module)
	a.mu.Unlock()
	a.uncarry(module)
	var errs []error
	if s != nil {
		errs = append(errs, s.Close(api.Stopped))
	}
	if err := a.boxes.Remove(module); !errors.Is(err, api.ErrNotFound) {
		errs = append(errs, err)
	}
	a.backend.abroad.changed()
	errs = append(errs, a.kept.remove(module),
		a.backend.broker.publish(ctx, "", api.Publication{Topic: api.StateTopic(a.name, module), Retain: true}))
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
	h.stop()
	a.host = nil
	a.attached = make(chan struct{})
	states := a.states
	a.states = map[string]api.ModuleState{}
	a.mu.Unlock()
	a.backend.abroad.changed()
	h.looking.Wait()
	a.uncarryAll()
	var errs []error
	for module := range states {
		errs = append(errs, a.backend.broker.publish(context.Background(), "", api.Publication{Topic: api.StateTopic(a.name, module), Retain: true}))
	}
	return errors.Join(append(errs, a.done())...)
}
