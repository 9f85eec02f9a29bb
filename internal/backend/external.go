package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/exchange"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// external is a broker that runs elsewhere, and two connections to it.
//
// One, with a session that outlives this process, is for what devices send to modules (devices.go): the broker keeps it
// while this host is away. The other is for all that is published and subscribed to, and for the other hosts: what is
// published while it is cut is missed, as agent.Subscribe says, and a backlog that nobody waits for does not build up.
type external struct {
	backend  *Backend
	opt      Uplink
	name     string // of this host
	instance string // of this process; see exchange.Will
	dir      string // what this host keeps for itself; locked
	unlock   func() error

	topics  *uplink.Client
	devices *devices
	states  *states

	life    context.Context
	stop    context.CancelFunc
	work    sync.WaitGroup
	mirrors chan uplink.Message // that are to be shown at the broker
	missed  rarely              // mirrors and publications that it does not get

	mu        sync.Mutex
	up        [2]bool // whether the connections are there: of topics, of devices
	since     time.Time
	why       error
	listeners map[*listener]struct{}
	connected []func() // called when the connection of topics is there, each time
	weakness  sync.Once
}

// mirrorBuffer is how many mirrored messages wait for the broker; beyond it they are left out.
const mirrorBuffer = 4096

func openExternal(b *Backend) (err error) {
	k := &external{
		backend: b, opt: b.opt.Uplink, instance: api.NewID(), since: time.Now(), listeners: map[*listener]struct{}{},
		mirrors: make(chan uplink.Message, mirrorBuffer), missed: rarely{every: 10 * time.Second},
	}
	b.broker = k
	k.life, k.stop = context.WithCancel(context.Background())
	if k.name, k.dir, k.unlock, err = hostName(b.opt.Folders.State, k.opt.HostName); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	options := uplink.Options{
		URL: k.opt.URL, User: k.opt.User, Password: k.opt.Password, CA: k.opt.CA, Cert: k.opt.Cert, Key: k.opt.Key, Log: b.log,
	}
	if k.states, err = openStates(k); err != nil {
		return err
	}
	topics := options
	topics.ClientID, topics.Clean = "coma-"+k.name+"-topics", true
	topics.WillTopic, topics.Will = exchange.Will(k.name, k.instance)
	topics.Changed = func(s uplink.State) { k.changed(0, s) }
	if k.topics, err = uplink.Open(context.Background(), topics); err != nil {
		return err
	}
	if k.devices, err = openDevices(k, options); err != nil {
		return err
	}
	k.work.Go(k.states.run)
	k.work.Go(k.showMirrors)
	return nil
}

func (k *external) close() error {
	var errs []error
	if k.states != nil && k.topics != nil {
		k.states.last()
	}
	k.stop()
	k.work.Wait()
	if k.devices != nil {
		errs = append(errs, k.devices.close())
	}
	if k.topics != nil {
		errs = append(errs, k.topics.Close())
	}
	return errors.Join(append(errs, k.unlock())...)
}

// changed is called with the state of one of the connections.
func (k *external) changed(which int, s uplink.State) {
	k.mu.Lock()
	was := k.up[0] && k.up[1]
	first := k.why == nil && !was
	k.up[which] = s.Connected
	is := k.up[0] && k.up[1]
	if is != was {
		k.since = time.Now()
	}
	if !s.Connected {
		k.why = s.Err
	}
	connected := slices.Clone(k.connected)
	k.mu.Unlock()
	switch {
	case k.life.Err() != nil: // it is this host that leaves
	case was && !is:
		k.backend.log.Warn("the broker is away: messages between this host's modules go on, all else waits for it",
			slog.String("broker", k.shown()), slog.Any("why", s.Err))
	case !was && !is && first && !s.Connected:
		k.backend.log.Warn("the broker is not there yet: messages between this host's modules go on, all else waits for it",
			slog.String("broker", k.shown()), slog.Any("why", s.Err))
	case is && !was && !first:
		k.backend.log.Warn("the broker is there again", slog.String("broker", k.shown()))
	}
	if which == 0 && s.Connected {
		k.states.again()
		for _, f := range connected {
			f()
		}
	}
}

// whenConnected has f called each time that the connection is made, and now if it is there. f must not block.
func (k *external) whenConnected(f func()) {
	k.mu.Lock()
	k.connected = append(k.connected, f)
	up := k.up[0]
	k.mu.Unlock()
	if up {
		f()
	}
}

func (k *external) shown() string { return uplink.Redact(k.opt.URL) }

func (k *external) url() string {
	u, err := url.Parse(k.opt.URL)
	if err != nil || k.opt.User == "" {
		return k.opt.URL
	}
	u.User = url.UserPassword(k.opt.User, k.opt.Password)
	return u.String()
}

func (k *external) describe(s *api.Status) {
	s.Broker, s.External, s.Host = k.shown(), true, k.name
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.up[0] || !k.up[1] {
		s.Away = fmt.Sprintf("since %s: %v", k.since.Format(time.TimeOnly), k.why)
	}
}

func (k *external) host() string { return k.name }

func (k *external) house(agent, module string, mqtt bool) { k.devices.house(agent, module, mqtt) }

func (k *external) leave(agent, module string) { k.devices.leave(agent, module) }

// serves is as broker says. What subscribes elsewhere cannot be known; what this host runs can.
func (k *external) serves(topic string) bool {
	name, module, ok := addressee(topic)
	return ok && k.devices.serves(name, module)
}

func (k *external) send(agent, module string, m api.Message) error {
	if err := k.topics.Publish(k.life, api.MessageTopic(agent, module), []byte(m.Text), 2, false); err != nil {
		return fmt.Errorf("send to %s/%s: %w", agent, module, err)
	}
	return nil
}

// mirror shows a message to this host's own listeners at once, and at the broker on a topic of its own: on the module's
// message topic it would be taken for another message.
func (k *external) mirror(agent, module string, m api.Message) {
	topic := api.MessageTopic(agent, module)
	k.mu.Lock()
	var heard []*listener
	for l := range k.listeners {
		if uplink.Match(l.pattern, topic) {
			heard = append(heard, l)
		}
	}
	k.mu.Unlock()
	for _, l := range heard {
		l.handle(api.Heard{Topic: topic, Payload: []byte(m.Text), From: m.From, Time: time.Now()})
	}
	if k.opt.NoMirror {
		return
	}
	select {
	case k.mirrors <- uplink.Message{Topic: topic + mirrored + mirrorName(m.From), Payload: []byte(m.Text)}:
	default:
		k.miss("mirrored messages are left out: the broker takes them too slowly", topic)
	}
}

// mirrored stands between a module's message topic and the sender in the topic of a mirrored message.
const mirrored = "/from/"

// mirrorName is what stands for a sender in a topic.
func mirrorName(from string) string {
	if from == "" {
		return "coma"
	}
	return strings.Map(func(r rune) rune {
		if r == '+' || r == '#' || r == 0 {
			return '_'
		}
		return r
	}, from)
}

func (k *external) showMirrors() {
	for {
		select {
		case m := <-k.mirrors:
			if _, err := k.topics.Post(k.life, m.Topic, m.Payload, 0, false); err != nil && k.life.Err() == nil {
				k.miss("mirrored messages are left out: the broker is away", m.Topic)
			}
		case <-k.life.Done():
			return
		}
	}
}

func (k *external) miss(what, topic string) {
	if n := k.missed.add(1); n > 0 {
		k.backend.log.Warn(what, slog.String("topic", topic), slog.Int("missed", n))
	}
}

// publish is as broker says. At QoS 0, which promises nothing, what is published while the broker is away is dropped, and
// told; at 1 and 2 it waits for the broker.
func (k *external) publish(ctx context.Context, _ string, p api.Publication) error {
	if p.Retain && strings.HasPrefix(p.Topic, stateTopics) {
		return k.states.set(p.Topic, p.Payload)
	}
	err := k.topics.Publish(ctx, p.Topic, p.Payload, p.QoS, p.Retain)
	if errors.Is(err, uplink.ErrAway) {
		k.miss("publications of QoS 0 are dropped: the broker is away", p.Topic)
		return nil
	}
	return err
}

// listener is one who hears mirrored messages without the broker.
type listener struct {
	pattern string
	handle  func(api.Heard)
}

// subscribe is as broker says, but for the time that the broker takes to answer.
func (k *external) subscribe(pattern string, handle func(api.Heard)) (cancel func(), err error) {
	l := &listener{pattern, handle}
	k.mu.Lock()
	k.listeners[l] = struct{}{}
	k.mu.Unlock()
	deaf := func() {
		k.mu.Lock()
		delete(k.listeners, l)
		k.mu.Unlock()
	}
	end, err := k.topics.Subscribe(pattern, 1, func(m uplink.Message) { k.hear(m, handle) })
	if err != nil {
		deaf()
		return nil, err
	}
	return func() {
		end()
		deaf()
	}, nil
}

// hear passes on what the broker brings, but for this host's own mirrored messages, which have been heard.
func (k *external) hear(m uplink.Message, handle func(api.Heard)) {
	h := api.Heard{Topic: m.Topic, Payload: m.Payload, Time: time.Now(), Retain: m.Retained}
	if to, from, ok := strings.Cut(m.Topic, mirrored); ok {
		if name, module, ok := addressee(to); ok {
			if k.devices.here(name, module) {
				return
			}
			h.Topic, h.From = to, from
		}
	}
	handle(h)
}

// retainedPatience is how long the broker has for sending what it keeps.
const retainedPatience = 10 * time.Second

// retained asks the broker again, which is the only way to be told.
func (k *external) retained(pattern string, handle func(api.Heard)) {
	k.work.Go(func() {
		cancel, err := k.topics.Subscribe(pattern, 1, func(m uplink.Message) {
			if m.Retained {
				k.hear(m, handle)
			}
		})
		if err != nil {
			return // who subscribes to it has been told, or will be by the log
		}
		defer cancel()
		select {
		case <-time.After(retainedPatience):
		case <-k.life.Done():
		}
	})
}

// weak says, once, what the broker does not grant.
func (k *external) weak(qos byte) {
	if qos < 2 {
		k.weakness.Do(func() {
			k.backend.log.Warn(fmt.Sprintf("the broker grants QoS %d at most: what a device sends may arrive twice when a connection is lost; messages between coma's hosts do not depend on it", qos),
				slog.String("broker", k.shown()))
		})
	}
}
