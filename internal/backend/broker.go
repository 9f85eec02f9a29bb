package backend

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// broker carries what is published on topics, between modules and to MQTT clients. Messages between modules do not travel
// through it: they go into mailboxes, and are mirrored here for whoever subscribes. What devices publish on a module's
// message topic it puts into that module's mailbox before the device's own broker is told that it has arrived.
//
// embedded is the one inside the backend, external one that runs elsewhere, offline stands for none.
type broker interface {
	// url is what the agent's module processes connect to, with user and password where it needs them: not to be shown.
	url() string
	// describe fills in what a Status says of the broker.
	describe(*api.Status)

	// host is the name of this host among those at the broker; "" where there are no others.
	host() string
	// house says that a module's mailbox is here, and whether the module is an MQTT client of its own; leave, that it
	// has gone with its module.
	house(agent, module string, mqtt bool)
	leave(agent, module string)

	// serves reports whether an MQTT client stands for the module of that message topic: subscribes to it by name.
	serves(topic string) bool
	// send hands a message to a module that is an MQTT client of its own.
	send(agent, module string, m api.Message) error
	// mirror shows a message that has gone into a mailbox to those who subscribe to its topic. It waits for nothing.
	mirror(agent, module string, m api.Message)

	// publish publishes for a module, "agent/module", or for the backend itself, "".
	publish(ctx context.Context, from string, p api.Publication) error
	// subscribe calls handle for what is published on topics that match pattern, in the publisher's goroutine, until
	// cancel is called, which waits for no call under way. handle must not wait; what it is given is its own during the
	// call only.
	subscribe(pattern string, handle func(api.Heard)) (cancel func(), err error)
	// retained calls handle for what the broker keeps on topics that match pattern, now or a moment later.
	retained(pattern string, handle func(api.Heard))

	close() error
}

// openBroker opens the broker that the options ask for. What it brings from outside comes from other goroutines, which
// find it at b.broker: so it is set there by who opens it, before anything can come.
func (b *Backend) openBroker() error {
	open := openEmbedded
	if b.opt.Uplink.URL != "" {
		open = openExternal
	}
	if err := open(b); err != nil {
		b.broker = offline{}
		return err
	}
	return nil
}

// offline is the broker of a backend that has none: nobody could hear what is published.
type offline struct{}

func (offline) url() string                                            { return "" }
func (offline) describe(*api.Status)                                   {}
func (offline) host() string                                           { return "" }
func (offline) house(string, string, bool)                             {}
func (offline) leave(string, string)                                   {}
func (offline) serves(string) bool                                     { return false }
func (offline) send(string, string, api.Message) error                 { return errOffline }
func (offline) mirror(string, string, api.Message)                     {}
func (offline) publish(context.Context, string, api.Publication) error { return nil }
func (offline) subscribe(string, func(api.Heard)) (func(), error)      { return nil, errOffline }
func (offline) retained(string, func(api.Heard))                       {}
func (offline) close() error                                           { return nil }

var errOffline = fmt.Errorf("%w: no backend runs", api.ErrClosed)

// maxTopicBytes is MQTT's bound (3.1.1, section 1.5.3).
const maxTopicBytes = 65535

// checkPublication checks what a module wants to publish.
func checkPublication(p api.Publication) error {
	switch {
	case p.Topic == "" || len(p.Topic) > maxTopicBytes || strings.ContainsAny(p.Topic, "+#\x00") ||
		strings.HasPrefix(p.Topic, "$") || !utf8.ValidString(p.Topic):
		return fmt.Errorf("publish to %q: %w: not an MQTT topic (no +, no #, no $ in front)", p.Topic, api.ErrInvalid)
	case strings.HasPrefix(p.Topic, stateTopics):
		return fmt.Errorf("publish to %q: %w: coma itself tells the state of modules there", p.Topic, api.ErrInvalid)
	case p.QoS > 2:
		return fmt.Errorf("publish to %q: %w: QoS %d (want 0, 1 or 2)", p.Topic, api.ErrInvalid, p.QoS)
	}
	return nil
}

func checkPattern(pattern string) error {
	if err := access.CheckPattern(pattern); err != nil {
		return fmt.Errorf("subscribe: %w: %w", api.ErrInvalid, err)
	}
	return nil
}

// stateTopics begins the topics of modules' states.
const stateTopics = "coma/agents/"

// addressee tells whose message topic it is.
func addressee(topic string) (agent, module string, ok bool) {
	rest, ok := strings.CutPrefix(topic, "concurrent_modular_agent/message/")
	if !ok {
		return "", "", false
	}
	agent, module, ok = strings.Cut(rest, "/")
	return agent, module, ok && agent != "" && module != "" && !strings.Contains(module, "/")
}

// listenBuffer is how many publications wait for a listener before it misses some.
const listenBuffer = 4096

// Listen implements api.Backend.
func (b *Backend) Listen(ctx context.Context, pattern string, heard func(api.Heard)) error {
	if err := checkPattern(pattern); err != nil {
		return err
	}
	queue := make(chan api.Heard, listenBuffer)
	var missed atomic.Int64
	cancel, err := b.broker.subscribe(pattern, func(h api.Heard) {
		h.Topic, h.Payload, h.Missed = strings.Clone(h.Topic), bytes.Clone(h.Payload), int(missed.Swap(0))
		select {
		case queue <- h:
		default:
			missed.Add(int64(h.Missed) + 1)
		}
	})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer cancel()
	heard(api.Heard{Time: time.Now()}) // from here on nothing is missed
	for {
		select {
		case h := <-queue:
			heard(h)
		case <-ctx.Done():
			return ctx.Err()
		case <-b.life.Done():
			return fmt.Errorf("listen: %w", api.ErrClosed)
		}
	}
}

// rarely sums up what would be told too often.
type rarely struct {
	every time.Duration

	mu   sync.Mutex
	last time.Time
	sum  int
}

// add counts n more. It returns the sum when it is time to tell it, else 0.
func (r *rarely) add(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum += n
	if now := time.Now(); now.Sub(r.last) >= r.every {
		sum := r.sum
		r.last, r.sum = now, 0
		return sum
	}
	return 0
}

// listenTCP listens on a port; for port 0 on the usual one or, where that is taken and strict is not set, any.
func listenTCP(host string, port, usual int, strict bool) (net.Listener, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	wanted := port
	if wanted == 0 {
		wanted = usual
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(wanted)))
	if err != nil && port == 0 && !strict {
		listener, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: choose another port, or let coma choose one", err)
	}
	return listener, nil
}
