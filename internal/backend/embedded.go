package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// embedded is the broker inside the backend, by mochi-mqtt. hook.go has what that calls.
type embedded struct {
	backend *Backend
	server  *mqtt.Server
	address string
	ids     atomic.Int64 // inline subscriptions made
	inline  atomic.Int64 // inline subscriptions that are there
	// mirrorer is the client that mirrored messages come from, so that they are not taken for messages to be delivered.
	mirrorer *mqtt.Client
	doors    *doors
	gate     *gate
	couriers *couriers
	lost     *rarely // tells of what slow clients miss
}

func openEmbedded(b *Backend) error {
	listener, err := listenTCP(b.opt.Host, b.opt.MQTTPort, 1883, b.opt.StrictPorts)
	if err != nil {
		return fmt.Errorf("open MQTT port: %w", err)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumClientWritesPending = 16 << 10 // 8 bytes each, of every client and every session that is kept
	capabilities.MaximumInflight = 65535
	// How many messages of QoS 1 and 2 a client may have under way. Beyond it the broker cuts the connection, even of
	// clients of MQTT 3.1.1, which cannot know of it: so it is as many as MQTT can number.
	capabilities.ReceiveMaximum = 65535
	capabilities.MaximumPacketSize = uint32(maxPacket(b.limits))
	capabilities.MaximumSessionExpiryInterval = uint32(min(b.limits.SessionAge/time.Second, math.MaxUint32))
	// Not a day, after which even what is retained would go: what is kept, and how much of it, is the gate's to bound.
	capabilities.MaximumMessageExpiryInterval = 0
	capabilities.Compatibilities.NoInheritedPropertiesOnAck = true // they would stay in memory with the acknowledgement
	k := &embedded{backend: b, address: listener.Addr().String(), lost: &rarely{every: 10 * time.Second}}
	b.broker = k
	k.server = mqtt.New(&mqtt.Options{
		Capabilities: capabilities,
		InlineClient: true,
		// The broker logs the address of each client that goes away without a word as an error; what matters here is
		// told by the hooks below.
		Logger:                 slog.New(slog.DiscardHandler),
		SysTopicResendInterval: 60,
	})
	k.mirrorer = k.server.NewClient(nil, "local", mirrorID, true)
	k.gate, k.couriers = newGate(k, b.limits), newCouriers(k.server)
	k.doors = newDoors(b.secured(listener, "MQTT"), b)
	for _, called := range []mqtt.Hook{k.gate, k.couriers, &hook{broker: k, waiting: map[string]waiting{}, latest: map[string]*mqtt.Client{}}} {
		if err == nil {
			err = k.server.AddHook(called, nil)
		}
	}
	if err == nil {
		err = k.server.AddListener(k.doors)
	}
	if err == nil {
		err = k.server.Serve()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start MQTT broker: %w", err), listener.Close())
	}
	return nil
}

func (k *embedded) close() error { return k.server.Close() }

// url is as broker says. Modules of this machine need no TLS.
func (k *embedded) url() string {
	u := url.URL{Scheme: "mqtt", Host: reachable(k.address)}
	if b := k.backend; b.guarded() {
		u.User = url.UserPassword(b.owner(), b.opt.Token)
	}
	return u.String()
}

// reachable is an address that this machine can connect to, of one that is listened on.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !net.ParseIP(host).IsUnspecified() {
		return address
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func (k *embedded) describe(s *api.Status) {
	s.Broker = "mqtt://" + k.address
	if k.backend.certificate != nil {
		s.Broker = "mqtts://" + k.address
	}
	s.Clients = int(atomic.LoadInt64(&k.server.Info.ClientsConnected))
}

func (k *embedded) host() string { return "" }

// Which modules there are it sees from their mailboxes.
func (k *embedded) house(string, string, bool) {}
func (k *embedded) leave(string, string)       {}

// serves is as broker says. A client that listens to everything does not stand for a module.
func (k *embedded) serves(topic string) bool {
	if atomic.LoadInt64(&k.server.Info.Subscriptions) == 0 {
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

func (k *embedded) audience() int64 {
	return atomic.LoadInt64(&k.server.Info.Subscriptions) + k.inline.Load()
}

func (k *embedded) mirror(agent, module string, m api.Message) {
	if k.audience() == 0 {
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

func (k *embedded) send(agent, module string, m api.Message) error {
	if m.ID == "" {
		m.ID = api.NewID()
	}
	k.mirror(agent, module, m)
	return nil
}

func (k *embedded) publish(_ context.Context, from string, p api.Publication) error {
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

func (k *embedded) subscribe(pattern string, handle func(api.Heard)) (cancel func(), err error) {
	id := int(k.ids.Add(1))
	err = k.server.Subscribe(pattern, id, func(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) { handle(heardFrom(pk)) })
	if err != nil {
		return nil, err
	}
	k.inline.Add(1)
	return func() {
		if k.server.Unsubscribe(pattern, id) == nil { // fails only for patterns that could not be subscribed to
			k.inline.Add(-1)
		}
	}, nil
}

func (k *embedded) retained(pattern string, handle func(api.Heard)) {
	for _, pk := range k.server.Topics.Messages(pattern) {
		handle(heardFrom(pk))
	}
}

func heardFrom(pk packets.Packet) api.Heard {
	return api.Heard{Topic: pk.TopicName, Payload: pk.Payload, From: publisher(pk), Time: time.Now(), Retain: pk.FixedHeader.Retain}
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
