package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/project"
)

// place is where an agent is while anybody uses it. Reading a long journal takes seconds: who wants this agent waits for it,
// who wants another one does not.
type place struct {
	opening sync.Mutex // held while the agent is opened or closed
	agent   *agent     // nil while it is not open; written with opening and backend.mu held, read with either
	uses    int        // under backend.mu
}

// use returns the agent of that name for a while; whoever uses it calls done. Without create, an agent that nobody runs or
// has run is api.ErrUnknown.
func (b *Backend) use(name string, create *api.Attachment) (*agent, error) {
	if err := project.CheckName(name); err != nil {
		return nil, fmt.Errorf("agent: %w: %w", api.ErrInvalid, err)
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, errBackendClosed
	}
	p := b.places[name]
	if p == nil {
		p = &place{}
		b.places[name] = p
	}
	p.uses++
	b.mu.Unlock()
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.agent == nil {
		if err := b.open(p, name, create); err != nil {
			b.mu.Lock()
			p.uses--
			b.vacate(p, name)
			b.mu.Unlock()
			return nil, err
		}
	}
	return p.agent, nil
}

var errBackendClosed = fmt.Errorf("backend: %w", api.ErrClosed)

// vacate forgets a place that nobody uses any more. It is called with mu held.
func (b *Backend) vacate(p *place, name string) {
	if p.uses == 0 {
		delete(b.places, name)
	}
}

// open opens the agent in its place. It is called with place.opening held, for which Close waits.
func (b *Backend) open(p *place, name string, create *api.Attachment) error {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return errBackendClosed
	}
	dir := b.stateDir(name)
	if create == nil {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return b.unknownAgent(name)
		}
		create = &api.Attachment{}
	}
	if create.Agent == "" {
		var err error
		if create, err = readAttachment(dir); err != nil {
			return err
		}
	}
	a, err := b.openAgent(name, dir, create)
	if err != nil {
		return err
	}
	a.place = p
	b.mu.Lock()
	p.agent = a
	b.mu.Unlock()
	return nil
}

// done ends a use. The last one closes the agent.
func (a *agent) done() error {
	a.place.opening.Lock()
	defer a.place.opening.Unlock()
	return a.endUse()
}

// forget is done for who uses the agent to remove all that is kept of it. Where others use it, too, it is api.ErrInUse; who
// comes meanwhile waits, and finds it gone.
func (a *agent) forget() error {
	b, p := a.backend, a.place
	p.opening.Lock()
	defer p.opening.Unlock()
	b.mu.Lock()
	closed, alone := p.agent != a, p.uses == 1
	b.mu.Unlock()
	switch {
	case closed:
		return errors.Join(errBackendClosed, a.endUse())
	case !alone:
		return errors.Join(fmt.Errorf("forget agent %s: %w: stop it, or what speaks to it, first", a.name, api.ErrInUse), a.endUse())
	}
	for _, module := range a.boxes.Names() {
		b.broker.leave(a.name, module)
	}
	a.forgotten = true
	b.mu.Lock()
	p.uses--
	b.mu.Unlock()
	return a.shut()
}

// endUse is called with place.opening held.
func (a *agent) endUse() error {
	b, p := a.backend, a.place
	b.mu.Lock()
	p.uses--
	last := p.uses == 0 && p.agent == a // else the backend has closed it
	b.mu.Unlock()
	if !last {
		return nil
	}
	return a.shut()
}

// shut closes the agent; who waits for its place opens it again. It is called with place.opening held.
func (a *agent) shut() error {
	b, p := a.backend, a.place
	err := a.close()
	b.mu.Lock()
	p.agent = nil
	b.vacate(p, a.name)
	b.mu.Unlock()
	return err
}

// clear takes the agent out of its place, once it is open; nil: it is not.
func (b *Backend) clear(p *place) *agent {
	p.opening.Lock()
	defer p.opening.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	a := p.agent
	p.agent = nil
	return a
}

// openedAgent returns the agent of that name if anybody uses it; else, or while it is still being opened, nil.
func (b *Backend) openedAgent(name string) *agent {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.places[name]; p != nil {
		return p.agent
	}
	return nil
}

// openedAgents returns the agents that anybody uses, without those that are still being opened.
func (b *Backend) openedAgents() []*agent {
	b.mu.Lock()
	defer b.mu.Unlock()
	var opened []*agent
	for _, p := range b.places {
		if p.agent != nil {
			opened = append(opened, p.agent)
		}
	}
	return opened
}
