// Package exchange carries messages between modules of agents that run on several hosts at one MQTT broker.
//
// The promises are the hosts' own and do not depend on the broker: it may lose, double, reorder or forget whatever it
// likes, and be killed at any time. What Send has accepted arrives in the module's mailbox once, in the order in which
// Send took it, as soon as the two hosts hear each other.
//
// How to read it: this file is what a caller opens; hosts.go knows who is there and which modules live where, announce.go
// tells the others of this host; outgoing.go is the sender's side of a stream and outbox.go where its messages wait;
// incoming.go is the receiver's side and received.go the table that it keeps; envelope.go is what crosses.
//
// # Protocol
//
// A stream is all that one host's outbox sends to one module. Its messages have growing numbers (with gaps: after a crash
// of the sender numbering goes on further up), which belong to an epoch, a random name that the outbox gets when it is
// made: a host whose outbox was lost begins new streams. All topics are below coma/hosts, <h> being a host's name:
//
//	coma/hosts/<h>          retained: {"state":"up","instance":…}; the last will, and a host that leaves, say "away"
//	coma/hosts/<h>/modules  retained: the modules whose mailboxes are at h, and which of them run
//	coma/hosts/<h>/mail     to h: messages
//	coma/hosts/<h>/acks     to h: what its receivers have
//
// Send puts a message into the outbox, a journaled mailbox, and has then accepted it. (In a durable agent it is on disk
// by then; else a host that is killed may lose what it took in the last 50 ms.) The sender takes messages from the
// outbox, up to a window, and publishes mails: consecutive messages of the stream, or a part of one that is too large
// for one packet. Each mail names the message before its first one, unless that is acknowledged. The receiver takes a
// mail where it has that message, passes over what it has had, and puts the rest into the module's mailbox, which may
// have to wait for room. When that is on disk it notes the number in its table, then acknowledges: "all up to n has
// arrived, for good". Only then does the outbox forget them. A mail that does not join on to what has arrived is
// answered with "gap", upon which the sender begins again behind what was acknowledged. So it does, one mail at a time
// and ever more seldom, where no answer comes, and at once where the connection, or the other host, is there again.
//
// A receiver that is killed between putting and noting is sent those messages again; the mailbox knows them by their IDs.
// (If a module had finished with them already, they may come again, as a local message may after a kill.) A receiver
// that has lost its table, with all its state, takes the stream where the sender's outbox begins.
//
// Mails and acknowledgements go with QoS 0, all else with QoS 1. The promises of QoS 1 and 2 end at the broker, and are
// its own to keep or to weaken; those here go from disk to disk. They would promise nothing more, keep the broker busy
// with copies of what the outboxes hold anyway, and triple the time of a round trip (NATS, RabbitMQ).
//
// Who has a module is told by each host in its list of modules. It is told again, without being asked, to a host that
// comes up: not every broker keeps retained messages, or gives them to those who subscribe with a pattern.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Broker is how the exchange reaches the broker.
type Broker interface {
	// Publish returns when the broker has acknowledged (with QoS 0: when it has left), or ctx ends; while there is no
	// connection it may wait or fail.
	Publish(ctx context.Context, topic string, payload []byte, qos byte, retain bool) error
	// Subscribe lasts over reconnections. handle is called in order and does not block.
	Subscribe(pattern string, qos byte, handle func(topic string, payload []byte)) (cancel func(), err error)
}

// Local is the host that the exchange serves.
type Local interface {
	// Deliver puts messages, in their order, into the mailbox of a module of this host, to ("agent/module"). It waits for
	// room until ctx ends. n is how many were put, an error or not, and written (nil for none) waits until those are on
	// disk; its error means that they may not be delivered. It is called once, except after Close. again: some may have
	// been delivered before and must not be twice. A module that is not here is api.ErrUnknown.
	Deliver(ctx context.Context, to string, messages []api.Message, again bool) (n int, written func() error, err error)
	// Modules tells which modules' mailboxes are here, by "agent/module", and whether they run.
	Modules() map[string]bool
}

// Options of an exchange.
type Options struct {
	Host     string // this host's name, of one level of a topic; two hosts at a broker must not have the same
	Instance string // of this process, random: see Will. "": none
	Dir      string // of outboxes and the table; no other process may use it
	Broker   Broker
	Local    Local
	Log      *slog.Logger // nil: discarded
	// Refused is called when another host of this name was there first: this one has stopped sending and receiving.
	Refused func(error)
}

// Exchange is one host's side. It is safe for concurrent use.
type Exchange struct {
	opt Options
	log *slog.Logger

	life context.Context // ends at Close, or when another host has the name
	stop context.CancelFunc
	work sync.WaitGroup // every goroutine

	hosts    *hosts
	outboxes [2]*outbox // not durable, durable
	received *received
	cancels  []func()

	mu        sync.Mutex
	outgoing  map[destination]*outgoing
	incoming  map[stream]*incoming
	ended     bool // no goroutine is started any more
	assembled int  // bytes of parts that wait for the rest; under mu
}

// destination names an outgoing stream.
type destination struct {
	to      string // agent/module
	durable bool
}

// Open opens the outboxes and begins to send what waits in them. The broker need not be there yet: the caller calls
// Connected each time that it is.
func Open(opt Options) (*Exchange, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if !isName(opt.Host) {
		return nil, fmt.Errorf("open exchange: host name %q: %w: it must be one level of an MQTT topic (no /, +, #)", opt.Host, api.ErrInvalid)
	}
	x := &Exchange{opt: opt, log: opt.Log, outgoing: map[destination]*outgoing{}, incoming: map[stream]*incoming{}}
	x.life, x.stop = context.WithCancel(context.Background())
	x.hosts = newHosts(x)
	if err := x.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open exchange: %w", err), x.Close())
	}
	return x, nil
}

func (x *Exchange) open() (err error) {
	if x.received, err = openReceived(filepath.Join(x.opt.Dir, "received"), time.Now); err != nil {
		return err
	}
	for i, name := range outboxNames {
		if x.outboxes[i], err = openOutbox(filepath.Join(x.opt.Dir, name), i == 1, x.log); err != nil {
			return err
		}
	}
	for i, o := range x.outboxes {
		for _, to := range o.store.Names() {
			x.outgoingTo(destination{to, i == 1})
		}
	}
	own := hostTopics + x.opt.Host
	for _, s := range []struct {
		pattern string
		qos     byte
		handle  func(topic string, payload []byte)
	}{
		{own + "/mail", 0, x.takeMail},
		{own + "/acks", 0, x.takeAck},
		{hostTopics + "+/modules", 1, x.hosts.takeModules},
		{hostTopics + "+", 1, x.hosts.takeStatus},
		{own, 1, x.hosts.takeStatus}, // RabbitMQ gives what is retained to nobody who subscribes with a pattern
	} {
		cancel, err := x.opt.Broker.Subscribe(s.pattern, s.qos, s.handle)
		if err != nil {
			return err
		}
		x.cancels = append(x.cancels, cancel)
	}
	x.goes(x.hosts.announce)
	return nil
}

// goes starts a goroutine that Close waits for, unless Close has begun.
func (x *Exchange) goes(run func()) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return false
	}
	x.work.Go(run)
	return true
}

// Close leaves: the other hosts are told, what waits in the outboxes stays there.
func (x *Exchange) Close() error {
	x.mu.Lock()
	first := !x.ended
	x.ended = true
	x.mu.Unlock()
	if !first {
		return nil
	}
	leaving := x.life.Err() == nil
	x.stop()
	x.work.Wait()
	for _, cancel := range x.cancels {
		cancel()
	}
	var errs []error
	if leaving && x.cancels != nil {
		x.hosts.leave()
	}
	for _, o := range x.outboxes {
		if o != nil {
			errs = append(errs, o.store.Close())
		}
	}
	if x.received != nil {
		errs = append(errs, x.received.close())
	}
	return errors.Join(errs...)
}

// Connected says that the connection to the broker has been made, for the first time or again.
func (x *Exchange) Connected() {
	x.hosts.connected()
	x.repeat("")
}

// Changed says that Local.Modules has changed.
func (x *Exchange) Changed() { x.hosts.changed() }

// Send accepts a message for m.To ("agent/module"), a module of another host. It waits while too many wait for that
// module. With durable it returns once the message is on disk. resent: an earlier Send of it may have succeeded. A
// module that no host has, nor ever had as far as this one knows, is api.ErrUnknown.
func (x *Exchange) Send(ctx context.Context, m api.Message, durable, resent bool) error {
	err := x.hosts.refusal()
	if err != nil {
		return err
	}
	if !x.Knows(m.To) {
		return fmt.Errorf("%w: no host has %s", api.ErrUnknown, m.To)
	}
	s := x.outgoingTo(destination{m.To, durable})
	if s == nil {
		return fmt.Errorf("exchange: %w", api.ErrClosed)
	}
	if resent {
		_, err = s.box.PutResent(ctx, m)
	} else {
		_, err = s.box.Put(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("%w%s", err, x.whereabouts(m.To))
	}
	return nil
}

// whereabouts says, for an error, where a module is.
func (x *Exchange) whereabouts(to string) string {
	switch host, up := x.hosts.find(to, ""); {
	case host == "":
		return " (no host that is there has it)"
	case !up:
		return fmt.Sprintf(" (it is at host %s, which is away)", host)
	default:
		return fmt.Sprintf(" (it is at host %s)", host)
	}
}

// Knows reports whether another host has a module, or this one has sent to it before.
func (x *Exchange) Knows(to string) bool {
	if host, _ := x.hosts.find(to, ""); host != "" {
		return true
	}
	for _, o := range x.outboxes {
		if _, ok := o.store.Lookup(to); ok {
			return true
		}
	}
	return false
}

// Err returns why messages cannot be kept, for example a full disk, or why this host has stopped.
func (x *Exchange) Err() error {
	errs := []error{x.hosts.refusal()}
	for _, o := range x.outboxes {
		errs = append(errs, o.store.Err())
	}
	return errors.Join(errs...)
}

// outgoingTo returns the stream to a module, which is made if there is none; nil once the exchange is closed.
func (x *Exchange) outgoingTo(d destination) *outgoing {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.outgoing[d]
	if s == nil && !x.ended {
		o := x.outboxes[0]
		if d.durable {
			o = x.outboxes[1]
		}
		s = newOutgoing(x, d.to, o)
		x.outgoing[d] = s
		x.work.Go(s.run)
	}
	return s
}

// repeat has all streams to a host, or to all for "", begin again: what is on its way may be lost.
func (x *Exchange) repeat(host string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.outgoing {
		s.repeat(host)
	}
}

// look has all streams look again where their module is.
func (x *Exchange) look() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.outgoing {
		s.wake()
	}
}

// takeAck hands an acknowledgement to its stream.
func (x *Exchange) takeAck(_ string, payload []byte) {
	a, err := readAck(payload)
	if err != nil {
		x.log.Warn("acknowledgement from another host cannot be read", "error", err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, durable := range [...]bool{false, true} {
		if s := x.outgoing[destination{a.To, durable}]; s != nil && s.outbox.is(a.Epoch) {
			s.acknowledge(a)
		}
	}
}

// post publishes what is for one host, a mail or an acknowledgement.
func (x *Exchange) post(topic string, payload []byte) error {
	ctx, cancel := context.WithTimeout(x.life, patience)
	defer cancel()
	return x.opt.Broker.Publish(ctx, topic, payload, 0, false)
}

// tell publishes what is for all, and stays.
func (x *Exchange) tell(ctx context.Context, topic string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return x.opt.Broker.Publish(ctx, topic, payload, 1, true)
}

// patience is how long a broker may take to take it.
const patience = 10 * time.Second

// Where returns the host that has a module, "" for none, and how many messages for it wait here.
func (x *Exchange) Where(to string) (host string, waiting int) {
	host, _ = x.hosts.find(to, "")
	for _, o := range x.outboxes {
		if box, ok := o.store.Lookup(to); ok {
			waiting += box.Pending() + box.InHand()
		}
	}
	return host, waiting
}
