package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// devices brings what devices publish at the external broker, on message topics of modules that live here, into their
// mailboxes. The broker is told that a message has arrived once it is in one, or in the store beside it: how many it
// leaves unacknowledged, for all modules together, is a small number (Mosquitto 20, RabbitMQ 10), so what a full mailbox
// does not take waits in a store of this host, journaled, ordered and bounded. Only when that is full as well do messages
// stay at the broker, and then those for other modules may wait with them.
type devices struct {
	broker  *external
	session *uplink.Client
	store   *mailbox.Store // by "agent/module"

	life context.Context // ends at close
	stop context.CancelFunc
	work sync.WaitGroup
	full rarely // tells of QoS 0 that is dropped

	mu     sync.Mutex
	homes  map[string]*home // modules that live here, by "agent/module"
	inlets map[string]*inlet
	closed bool
}

// home is a module that lives here.
type home struct {
	mqtt   bool   // it takes its messages at the broker itself, as an MQTT client
	cancel func() // nil until the broker has been asked
}

// inlet is what has arrived for one module and is in no mailbox yet.
type inlet struct {
	name      string // "agent/module"
	queue     []uplink.Message
	emptying  bool // a goroutine empties the queue
	unloading bool // a goroutine brings what the store has into the mailbox
}

// Bounds of what waits for a module.
const (
	inletQueue = 1000                   // messages of QoS 0 in memory; beyond it they are dropped
	stored     = 100_000                // messages in the store
	prompt     = 100 * time.Millisecond // how long a mailbox may take for a message before that goes to the store
	another    = 200 * time.Millisecond // after which a mailbox that was full, or could not be opened, is tried again
)

func openDevices(k *external, opt uplink.Options) (_ *devices, err error) {
	d := &devices{broker: k, homes: map[string]*home{}, inlets: map[string]*inlet{}, full: rarely{every: 10 * time.Second}}
	d.life, d.stop = context.WithCancel(context.Background())
	store, recovery, err := mailbox.Open(filepath.Join(k.dir, "devices"), mailbox.Options{Durable: true, Limit: stored, Log: k.backend.log})
	if err != nil {
		return nil, fmt.Errorf("open devices' messages: %w", err)
	}
	d.store = store
	if recovery.Cut > 0 {
		k.backend.log.Warn("the file of devices' messages had a damaged end, which was cut off and kept", slog.String("kept", recovery.Kept))
	}
	opt.ClientID = "coma-" + k.name
	opt.Unasked = d.unasked
	opt.Changed = func(s uplink.State) {
		k.changed(1, s)
		k.weak(s.QoS)
	}
	d.mu.Lock() // what the session brings at once waits
	defer d.mu.Unlock()
	if d.session, err = uplink.Open(context.Background(), opt); err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	for _, name := range d.store.Names() {
		d.inlet(name)
	}
	return d, nil
}

func (d *devices) close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.work.Wait()
	return errors.Join(d.session.Close(), d.store.Close())
}

// house says that a module lives here, and whether it is an MQTT client: then it takes its messages itself.
func (d *devices) house(agent, module string, mqtt bool) {
	name := agent + "/" + module
	d.mu.Lock()
	if h := d.homes[name]; h != nil && h.mqtt == mqtt {
		d.mu.Unlock()
		return
	}
	old := d.homes[name]
	h := &home{mqtt: mqtt}
	d.homes[name] = h
	d.mu.Unlock()
	if old != nil && old.cancel != nil {
		old.cancel()
	}
	topic := api.MessageTopic(agent, module)
	if mqtt {
		d.session.Drop(topic) // should an earlier run have subscribed to it
		return
	}
	cancel, err := d.session.Subscribe(topic, 2, func(m uplink.Message) { d.take(name, m) })
	if err != nil {
		d.broker.backend.log.Error("devices cannot reach a module: the broker refuses the subscription", slog.String("topic", topic), slog.Any("error", err))
		return
	}
	d.mu.Lock()
	if d.homes[name] == h {
		h.cancel = cancel
		cancel = nil
	}
	d.mu.Unlock()
	if cancel != nil { // it has gone meanwhile
		cancel()
	}
	d.broker.weak(d.session.State().QoS)
}

// leave says that a module does not live here any more.
func (d *devices) leave(agent, module string) {
	name := agent + "/" + module
	d.mu.Lock()
	h := d.homes[name]
	delete(d.homes, name)
	d.mu.Unlock()
	if h != nil && h.cancel != nil {
		h.cancel()
	} else {
		d.session.Drop(api.MessageTopic(agent, module))
	}
}

func (d *devices) here(agent, module string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.homes[agent+"/"+module] != nil
}

// serves reports whether a module that lives here is an MQTT client.
func (d *devices) serves(agent, module string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.homes[agent+"/"+module]
	return h != nil && h.mqtt
}

// unasked takes what the session brings for modules that have lived here and that nobody runs just now.
func (d *devices) unasked(m uplink.Message) bool {
	agent, module, ok := addressee(m.Topic)
	if !ok {
		return false
	}
	d.take(agent+"/"+module, m)
	return true
}

// take is called for each message, in order. It waits for nothing.
func (d *devices) take(name string, m uplink.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return // it comes again
	}
	in := d.inlet(name)
	if m.QoS == 0 && len(in.queue) >= inletQueue {
		if n := d.full.add(1); n > 0 {
			d.broker.backend.log.Warn("messages over MQTT of QoS 0 are dropped: the module does not keep up", slog.String("module", name), slog.Int("dropped", n))
		}
		return
	}
	in.queue = append(in.queue, m)
	if !in.emptying {
		in.emptying = true
		d.work.Go(func() { d.empty(in) })
	}
}

// inlet returns that of a module. It is called with mu held.
func (d *devices) inlet(name string) *inlet {
	in := d.inlets[name]
	if in == nil {
		in = &inlet{name: name}
		d.inlets[name] = in
		d.behind(in)
	}
	return in
}

// behind sees to it that what the store has for a module gets into its mailbox. It is called with mu held.
func (d *devices) behind(in *inlet) {
	if box, ok := d.store.Lookup(in.name); ok && !in.unloading && !d.closed && box.Pending() > 0 {
		in.unloading = true
		d.work.Go(func() { d.unload(in, box) })
	}
}

// empty puts away what is in an inlet's queue, until there is nothing.
func (d *devices) empty(in *inlet) {
	for {
		d.mu.Lock()
		if len(in.queue) == 0 || d.closed {
			in.emptying = false
			d.forget(in)
			d.mu.Unlock()
			return
		}
		m, direct := in.queue[0], !in.unloading
		in.queue = in.queue[1:]
		d.mu.Unlock()
		err := d.accept(in, m, direct)
		if err != nil && d.life.Err() == nil {
			d.broker.backend.log.Error("message over MQTT was not accepted", slog.String("topic", m.Topic), slog.Any("error", err))
		}
		if err == nil || errors.Is(err, api.ErrTooLarge) { // any other comes again, with the next connection
			m.Done()
		}
	}
}

// forget is called with mu held.
func (d *devices) forget(in *inlet) {
	if !in.emptying && !in.unloading {
		delete(d.inlets, in.name)
	}
}

// accept puts a message into the mailbox or, behind those that wait there, into the store.
func (d *devices) accept(in *inlet, arrived uplink.Message, direct bool) error {
	m := api.Message{ID: api.NewID(), From: "mqtt", To: in.name, Time: time.Now(), Text: string(arrived.Payload)}
	if direct {
		ctx, cancel := context.WithTimeout(d.life, prompt)
		err := d.put(ctx, m)
		cancel()
		switch {
		case errors.Is(err, api.ErrUnknown):
			d.stranger(in.name)
			return nil
		case errors.Is(err, api.ErrInUse): // another backend of this user has the agent now
			d.session.Drop(arrived.Topic)
		case err == nil || d.life.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		}
	}
	if _, err := d.store.Box(in.name).Put(d.life, m); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind(in)
	return nil
}

// put puts a message into the mailbox of a module that lives here, or has.
func (d *devices) put(ctx context.Context, m api.Message) error {
	agent, module, _ := strings.Cut(m.To, "/")
	a, err := d.broker.backend.use(agent, nil)
	if err != nil {
		return err
	}
	box, err := a.box(module)
	if err == nil {
		_, err = box.PutResent(ctx, m) // it may have been put before this process was killed
	}
	return errors.Join(err, a.done())
}

// stranger tells of a message for a module that is not here: of an earlier life, whose subscription the session has kept.
func (d *devices) stranger(name string) {
	agent, module, _ := strings.Cut(name, "/")
	d.broker.backend.log.Warn("message over MQTT for a module that is not there any more", slog.String("module", name))
	d.session.Drop(api.MessageTopic(agent, module))
}

// unload brings what the store has for a module into its mailbox, until there is nothing.
func (d *devices) unload(in *inlet, box *mailbox.Box) {
	reader := box.Open()
	defer reader.Close(api.Stopped)
	for {
		d.mu.Lock()
		if d.life.Err() != nil || box.Pending() == 0 {
			in.unloading = false
			d.forget(in)
			d.mu.Unlock()
			return
		}
		d.mu.Unlock()
		m, err := reader.Next(d.life)
		if err != nil && d.life.Err() == nil {
			d.broker.backend.log.Error("messages over MQTT wait", slog.String("to", in.name), slog.Any("error", err))
			d.mu.Lock()
			in.unloading = false // the next message for the module, or the next start, tries again
			d.forget(in)
			d.mu.Unlock()
			return
		}
		if err != nil {
			continue // it is closed
		}
		if d.persist(m) {
			reader.Ack(m.Seq)
		}
	}
}

// persist puts a message of the store into its mailbox; it returns false if this host is closed before. Between its tries
// it has no hold on the agent: somebody may be about to run it with other settings.
func (d *devices) persist(m api.Message) bool {
	for told := false; ; {
		ctx, cancel := context.WithTimeout(d.life, prompt)
		err := d.put(ctx, m)
		cancel()
		switch {
		case err == nil:
			return true
		case d.life.Err() != nil:
			return false
		case errors.Is(err, api.ErrUnknown):
			d.stranger(m.To)
			return true
		case !errors.Is(err, context.DeadlineExceeded) && !told:
			told = true
			d.broker.backend.log.Error("message over MQTT waits", slog.String("to", m.To), slog.Any("error", err))
		}
		select {
		case <-time.After(another):
		case <-d.life.Done():
		}
	}
}
