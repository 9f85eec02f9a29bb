package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/exchange"
	"github.com/concurrent-modular-agent/coma/internal/nearest"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// abroad is what the backend has to do with the other hosts at its broker: an agent's modules may be spread over them. It
// implements exchange.Local. All methods but those are for a nil one, too: where there are no other hosts.
type abroad struct {
	backend *Backend
	broker  *external
	x       *exchange.Exchange
	deaf    func() // ends hearing of states

	mu     sync.Mutex
	known  map[string]bool            // agents that have been run here since the backend was started
	had    map[string]bool            // modules of known agents that nobody uses just now, "agent/module"
	states map[string]api.ModuleState // of modules at other hosts, by state topic
}

// exchangeDir is the exchange's folder in a host's.
const exchangeDir = "exchange"

// maxStates bounds the states of other hosts' modules that are kept for coma ps.
const maxStates = 10_000

func openAbroad(b *Backend, k *external) (*abroad, error) {
	r := &abroad{backend: b, broker: k, deaf: func() {}, known: map[string]bool{}, had: map[string]bool{}, states: map[string]api.ModuleState{}}
	var err error
	r.x, err = exchange.Open(exchange.Options{
		Host: k.name, Instance: k.instance, Dir: filepath.Join(k.dir, exchangeDir), Broker: topicsOf{k.topics}, Local: r, Log: b.log,
		Refused: func(error) { k.work.Go(k.quit) },
	})
	if err != nil {
		return nil, err
	}
	r.lookForLeft()
	k.whenConnected(r.x.Connected)
	r.deaf, err = k.topics.Subscribe(stateTopics+"+/modules/+", 1, r.hearState)
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// lookForLeft tells of messages that wait to leave under another name of this host, which nobody uses just now: that of a
// second backend, perhaps, which ran beside the first.
func (r *abroad) lookForLeft() {
	names, err := os.ReadDir(filepath.Dir(r.broker.dir))
	if err != nil {
		r.backend.log.Error("look for messages that wait to leave", slog.Any("error", err))
		return
	}
	for _, name := range names {
		dir := filepath.Join(filepath.Dir(r.broker.dir), name.Name())
		unlock, err := lockFile(filepath.Join(dir, "lock"))
		if errors.Is(err, api.ErrInUse) {
			continue // this one's, or another backend that runs
		}
		waiting := 0
		if err == nil {
			waiting, err = exchange.Waiting(filepath.Join(dir, exchangeDir))
			err = errors.Join(err, unlock())
		}
		if err != nil {
			r.backend.log.Error("look for messages that wait to leave", slog.Any("error", err))
		}
		if waiting > 0 {
			r.backend.log.Warn("messages wait to leave under another name of this host: they do when a backend runs with COMA_HOST set to it",
				slog.String("name", name.Name()), slog.Int("messages", waiting))
		}
	}
}

func (r *abroad) close() error {
	if r == nil {
		return nil
	}
	r.deaf()
	return r.x.Close()
}

func (r *abroad) err() error {
	if r == nil {
		return nil
	}
	return r.x.Err()
}

// quit leaves the broker to another host of this one's name, which was there first.
func (k *external) quit() {
	for _, c := range []*uplink.Client{k.topics, k.devices.session} {
		if err := c.Close(); err != nil {
			k.backend.log.Error("leave the broker", "error", err)
		}
	}
}

// topicsOf lets the exchange use an uplink. It acknowledges by itself what has arrived.
type topicsOf struct{ *uplink.Client }

// Subscribe implements exchange.Broker.
func (t topicsOf) Subscribe(pattern string, qos byte, handle func(topic string, payload []byte)) (func(), error) {
	return t.Client.Subscribe(pattern, qos, func(m uplink.Message) {
		handle(m.Topic, m.Payload)
		m.Done()
	})
}

// Deliver implements exchange.Local.
func (r *abroad) Deliver(ctx context.Context, to string, messages []api.Message, again bool) (n int, written func() error, err error) {
	b := r.backend
	name, module, _ := strings.Cut(to, "/")
	a, err := b.use(name, nil)
	if err != nil {
		return 0, nil, err
	}
	box, err := a.box(module)
	if err != nil {
		return 0, nil, errors.Join(err, a.done())
	}
	var waits []func() error
	direct := a.absent(module) && b.broker.serves(api.MessageTopic(name, module))
	for n < len(messages) && err == nil {
		if direct {
			err = b.broker.send(name, module, messages[n])
		} else {
			var wait func() error
			if wait, err = box.PutAhead(ctx, messages[n], again); err == nil {
				waits = append(waits, wait)
				b.broker.mirror(name, module, messages[n])
			}
		}
		if err == nil {
			n++
		}
	}
	if n == 0 {
		return 0, nil, errors.Join(err, a.done())
	}
	if !a.opened.Durable && len(waits) > 1 {
		waits = waits[len(waits)-1:] // each says of all before it that they are on disk
	}
	return n, func() error {
		var errs []error
		for _, wait := range waits {
			errs = append(errs, wait())
		}
		return errors.Join(append(errs, a.done())...)
	}, err
}

// Modules implements exchange.Local: it tells of the agents that are run here, or have been since the backend was
// started.
func (r *abroad) Modules() map[string]bool {
	here := map[string]bool{}
	opened := map[string]bool{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.backend.openedAgents() {
		opened[a.name] = true
		if !r.known[a.name] && !a.inUse() {
			continue // somebody looks at its mailboxes
		}
		r.known[a.name] = true
		for _, module := range a.boxes.Names() {
			here[a.name+"/"+module] = a.runs(module)
		}
	}
	for name := range r.had {
		agent, _, _ := strings.Cut(name, "/")
		if _, there := here[name]; !there && !opened[agent] {
			here[name] = false
		}
	}
	clear(r.had)
	for name := range here {
		r.had[name] = true
	}
	return here
}

// inUse reports whether anybody runs the agent or a module of it.
func (a *agent) inUse() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.host != nil || len(a.seats) > 0
}

// runs reports whether a module lives here just now: it belongs to a project that is run, or has a seat.
func (a *agent) runs(module string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seats[module] != nil {
		return true
	}
	_, reported := a.states[module]
	return a.host != nil && (reported || slices.Contains(a.host.as.Modules, module))
}

// claims reports whether a module belongs to the project that is run here, or was run here last.
func (a *agent) claims(module string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.opened.Modules, module)
}

// changed says that a module has come or gone.
func (r *abroad) changed() {
	if r != nil {
		r.x.Changed()
	}
}

// has reports whether messages for a module of an agent that is, or was, run here belong to another host: the module runs
// there, be that host away or not; or it runs nowhere, and what there may be of its mailbox here is from before it moved.
func (r *abroad) has(a *agent, module string) bool {
	if r == nil || a.runs(module) {
		return false
	}
	to := a.name + "/" + module
	if host, _ := r.x.Runs(to); host != "" {
		return true
	}
	return !a.claims(module) && r.x.Knows(to)
}

// settleWithin bounds how long a project's start waits for what the other hosts run.
const settleWithin = 3 * time.Second

// claim says whether the modules may run here: none of them may run at another host that is there.
func (r *abroad) claim(ctx context.Context, as api.Attachment) error {
	if r == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	r.x.Settled(ctx)
	for _, module := range as.Modules {
		if host, there := r.x.Runs(as.Agent + "/" + module); there {
			return fmt.Errorf("module %s of agent %s runs at host %s: %w: stop it there, or take it out of this project", module, as.Agent, host, api.ErrInUse)
		}
	}
	return nil
}

// send hands a message to the exchange. from is nil for those from outside.
func (r *abroad) send(ctx context.Context, from *agent, m api.Message, resent bool) error {
	stamp(&m)
	if err := r.x.Send(ctx, m, from != nil && from.opened.Durable, resent); err != nil {
		return fmt.Errorf("send to %s: %w", m.To, err)
	}
	return nil
}

// pass sends a message for a module that has no mailbox here: to its MQTT client, or to the host that has it. err says
// what is missing here.
func (b *Backend) pass(ctx context.Context, from *agent, m api.Message, resent bool, err error) error {
	name, module, _ := strings.Cut(m.To, "/")
	if b.broker.serves(api.MessageTopic(name, module)) {
		return b.broker.send(name, module, m)
	}
	r := b.abroad
	switch {
	case r == nil || !errors.Is(err, api.ErrUnknown):
		return fmt.Errorf("send to %s: %w", m.To, err)
	case r.x.Knows(m.To):
		return r.send(ctx, from, m, resent)
	}
	return fmt.Errorf("send to %s: %w: no host has it%s", m.To, api.ErrUnknown, nearest.Hint(m.To, r.names()))
}

// names returns all modules that are known, here and elsewhere.
func (r *abroad) names() []string {
	var names []string
	for name := range r.Modules() {
		names = append(names, name)
	}
	for _, host := range r.x.Hosts() {
		for name := range host.Modules {
			names = append(names, name)
		}
	}
	return names
}

// where says of a module whose mailbox is not here that another host has it; err is what is said otherwise.
func (r *abroad) where(name, module string, err error) error {
	if r == nil || !errors.Is(err, api.ErrUnknown) {
		return err
	}
	host, waiting := r.x.Where(name + "/" + module)
	if host == "" && waiting == 0 {
		return err
	}
	if host == "" {
		host = "none that is there"
	}
	return fmt.Errorf("%w: the mailbox of %s/%s is at host %s, %d messages for it wait here to leave", api.ErrUnknown, name, module, host, waiting)
}

// hearState takes what is retained of a module.
func (r *abroad) hearState(m uplink.Message) {
	defer m.Done()
	var state api.ModuleState
	r.mu.Lock()
	defer r.mu.Unlock()
	if json.Unmarshal(m.Payload, &state) != nil || state.Host == "" || state.Host == r.broker.name {
		delete(r.states, m.Topic)
		return
	}
	if _, known := r.states[m.Topic]; known || len(r.states) < maxStates {
		r.states[m.Topic] = state
	}
}

// modules returns the modules of an agent that run at other hosts, sorted by name.
func (r *abroad) modules(name string) []api.ModuleState {
	if r == nil {
		return nil
	}
	var modules []api.ModuleState
	for _, host := range r.x.Hosts() {
		for to, runs := range host.Modules {
			agent, module, _ := strings.Cut(to, "/")
			if agent != name || !runs {
				continue
			}
			r.mu.Lock()
			state, ok := r.states[api.StateTopic(agent, module)]
			r.mu.Unlock()
			if !ok || state.Host != host.Name {
				state = api.ModuleState{Agent: agent, Module: module, State: api.Running, Host: host.Name}
			}
			state.PID = 0 // means nothing here
			if !host.Up {
				state.LastError = "its host is away"
			}
			modules = append(modules, state)
		}
	}
	slices.SortFunc(modules, func(x, y api.ModuleState) int { return strings.Compare(x.Module, y.Module) })
	return modules
}
