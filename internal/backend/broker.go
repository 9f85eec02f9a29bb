package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// broker is the embedded MQTT broker and what ties it to mailboxes. Messages between modules do not travel through it:
// they go into mailboxes, and are mirrored here for whoever subscribes. What devices publish on a module's message topic
// is put into its mailbox before the device is told that it has arrived.
type broker struct {
	backend *Backend
	server  *mqtt.Server
	address string
	ids     atomic.Int64 // inline subscriptions made
	inline  atomic.Int64 // inline subscriptions that are there
	// mirrorer is the client that mirrored messages come from, so that they are not taken for messages to be delivered.
	mirrorer *mqtt.Client
	lost     *rarely // tells of what slow clients miss
}

func openBroker(b *Backend) (*broker, error) {
	listener, err := listenTCP(b.opt.Host, b.opt.MQTTPort, 1883, b.opt.StrictPorts)
	if err != nil {
		return nil, fmt.Errorf("open MQTT port: %w", err)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClientWritesPending = 64 << 10
	capabilities.MaximumInflight = 65535
	// How many messages of QoS 1 and 2 a client may have under way. Beyond it the broker cuts the connection, even of
	// clients of MQTT 3.1.1, which cannot know of it: so it is as many as MQTT can number.
	capabilities.ReceiveMaximum = 65535
	capabilities.MaximumPacketSize = api.MaxMessageBytes + 64<<10
	k := &broker{backend: b, address: listener.Addr().String(), lost: &rarely{every: 10 * time.Second}}
	k.server = mqtt.New(&mqtt.Options{
		Capabilities: capabilities,
		InlineClient: true,
		// The broker logs the address of each client that goes away without a word as an error; what matters here is
		// told by the hooks below.
		Logger:                 slog.New(slog.DiscardHandler),
		SysTopicResendInterval: 60,
	})
	k.mirrorer = k.server.NewClient(nil, "local", mirrorID, true)
	err = k.server.AddHook(&hook{broker: k, waiting: map[string]waiting{}, latest: map[string]*mqtt.Client{}}, nil)
	if err == nil {
		err = k.server.AddListener(listeners.NewNet("tcp", listener))
	}
	if err == nil {
		err = k.server.Serve()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start MQTT broker: %w", err), listener.Close())
	}
	return k, nil
}

func (k *broker) close() error { return k.server.Close() }

func (k *broker) clients() int {
	if k == nil {
		return 0
	}
	return int(atomic.LoadInt64(&k.server.Info.ClientsConnected))
}

// serves reports whether an MQTT client stands for the module of that message topic: subscribes to it by name. One that
// listens to everything does not.
func (k *broker) serves(topic string) bool {
	if k == nil || atomic.LoadInt64(&k.server.Info.Subscriptions) == 0 {
		return false
	}
	subscribers := k.server.Topics.Subscribers(topic)
	for _, s := range subscribers.Subscriptions {
		if _, named := s.Identifiers[topic]; named || s.Filter == topic {
			return true
		}
	}
	for filter := range subscribers.Shared {
		if strings.HasSuffix(filter, "/"+topic) {
			return true
		}
	}
	return false
}

func (k *broker) audience() int64 {
	return atomic.LoadInt64(&k.server.Info.Subscriptions) + k.inline.Load()
}

// mirror shows a message that has gone into a mailbox to those who subscribe to its topic.
func (k *broker) mirror(agent, module string, m api.Message) {
	if k == nil || k.audience() == 0 {
		return
	}
	err := k.server.InjectPacket(k.mirrorer, packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2},
		TopicName:   api.MessageTopic(agent, module),
		PacketID:    1, // asked for by the broker's checks, and not used
		Payload:     []byte(m.Text),
		Properties: packets.Properties{User: []packets.UserProperty{
			{Key: propertyFrom, Val: m.From}, {Key: propertyID, Val: m.ID},
		}},
	})
	if err != nil {
		k.backend.log.Error("message was not shown to MQTT subscribers", slog.String("to", agent+"/"+module), slog.Any("error", err))
	}
}

// User properties (MQTT 5, section 3.3.2.3.7) of mirrored messages.
const (
	propertyFrom = "from"
	propertyID   = "id"
)

// send hands a message to a module that is an MQTT client of its own.
func (k *broker) send(agent, module string, m api.Message) error {
	if m.ID == "" {
		m.ID = api.NewID()
	}
	k.mirror(agent, module, m)
	return nil
}

// publish publishes for a module, "agent/module", or for the backend itself, "".
func (k *broker) publish(from string, p api.Publication) error {
	if k == nil {
		return nil // offline: nobody could hear it
	}
	err := k.server.InjectPacket(k.mirrorer, packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: p.QoS, Retain: p.Retain},
		TopicName:   p.Topic,
		PacketID:    uint16(p.QoS), // the broker's checks ask for one unless the QoS is 0
		Payload:     p.Payload,
		Properties:  packets.Properties{User: []packets.UserProperty{{Key: propertyFrom, Val: from}}},
	})
	if err != nil {
		return fmt.Errorf("publish to %s: %w", p.Topic, err)
	}
	return nil
}

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
	bad := pattern == "" || len(pattern) > maxTopicBytes || strings.HasPrefix(pattern, "$share") ||
		strings.Contains(pattern, "\x00") || !utf8.ValidString(pattern)
	levels := strings.Split(pattern, "/")
	for i, level := range levels {
		bad = bad || strings.Contains(level, "+") && level != "+" ||
			strings.Contains(level, "#") && (level != "#" || i < len(levels)-1)
	}
	if bad {
		return fmt.Errorf("subscribe to %q: %w: not an MQTT pattern (+ stands for one level, # for all below, at the end)", pattern, api.ErrInvalid)
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

// subscribe calls handle for what is published on topics that match pattern, in the publisher's goroutine.
func (k *broker) subscribe(pattern string, handle func(packets.Packet)) (id int, err error) {
	id = int(k.ids.Add(1))
	err = k.server.Subscribe(pattern, id, func(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) { handle(pk) })
	if err != nil {
		return 0, fmt.Errorf("subscribe to %s: %w", pattern, err)
	}
	k.inline.Add(1)
	return id, nil
}

func (k *broker) unsubscribe(pattern string, id int) {
	if k.server.Unsubscribe(pattern, id) == nil { // fails only for patterns that could not be subscribed to
		k.inline.Add(-1)
	}
}

// retained calls handle for what the broker keeps on topics that match pattern.
func (k *broker) retained(pattern string, handle func(packets.Packet)) {
	for _, pk := range k.server.Topics.Messages(pattern) {
		handle(pk)
	}
}

// listenBuffer is how many publications wait for a listener before it misses some.
const listenBuffer = 4096

func (k *broker) listen(ctx context.Context, pattern string, heard func(api.Heard)) error {
	if k == nil {
		return fmt.Errorf("listen: %w: no backend runs", api.ErrClosed)
	}
	if err := checkPattern(pattern); err != nil {
		return err
	}
	queue := make(chan api.Heard, listenBuffer)
	var missed atomic.Int64
	id, err := k.subscribe(pattern, func(pk packets.Packet) {
		h := api.Heard{
			Topic: strings.Clone(pk.TopicName), Payload: bytes.Clone(pk.Payload), From: publisher(pk), Time: time.Now(),
			Retain: pk.FixedHeader.Retain, Missed: int(missed.Swap(0)),
		}
		select {
		case queue <- h:
		default:
			missed.Add(int64(h.Missed) + 1)
		}
	})
	if err != nil {
		return err
	}
	defer k.unsubscribe(pattern, id)
	heard(api.Heard{Time: time.Now()}) // from here on nothing is missed
	for {
		select {
		case h := <-queue:
			heard(h)
		case <-ctx.Done():
			return ctx.Err()
		case <-k.backend.life.Done():
			return fmt.Errorf("listen: %w", api.ErrClosed)
		}
	}
}

// publisher names who published: for a mirrored message its sender, for an MQTT client "mqtt:" and its ID.
func publisher(pk packets.Packet) string {
	switch pk.Origin {
	case mirrorID:
		for _, p := range pk.Properties.User {
			if p.Key == propertyFrom {
				return p.Val
			}
		}
		return ""
	case mqtt.InlineClientId:
		return ""
	}
	return "mqtt:" + pk.Origin
}

const mirrorID = "coma-mirror"

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
