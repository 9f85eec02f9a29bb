package backend

import (
	"slices"
	"strings"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// couriers are the embedded broker's couriers. As a hook of the broker they learn who subscribes to a module's message
// topic by name, and what those clients acknowledge.
//
// A client that takes a module's messages must not get those that are mirrored on the topic, which are the same. So its
// subscription stands in the broker under another name, courierTopics and the topic, on which nothing is published.
type couriers struct {
	mqtt.HookBase
	server *mqtt.Server

	mu       sync.RWMutex
	byTopic  map[string]*courier
	byClient map[*mqtt.Client][]*courier
	known    map[string]bool // "agent/module" of those whose own client has been there
}

// mailboxMQTT is api.ModuleState.Mailbox of a module that takes its messages as an MQTT client.
const mailboxMQTT = "mqtt"

// courierTopics begins the names under which subscriptions of couriers' clients stand.
const courierTopics = "$coma/mailbox/"

// handTopic is where a module's client says, by the message's ID, which message its code has begun with. It hears the ID
// as the user property of MQTT 5.
const handTopic = "$coma/hand"

func newCouriers(server *mqtt.Server) *couriers {
	return &couriers{
		server: server, byTopic: map[string]*courier{}, byClient: map[*mqtt.Client][]*courier{}, known: map[string]bool{},
	}
}

// carry sees to it that a module's messages go to its MQTT client, until drop.
func (s *couriers) carry(a *agent, module string) *courier {
	topic := api.MessageTopic(a.name, module)
	s.mu.Lock()
	if c := s.byTopic[topic]; c != nil {
		s.mu.Unlock()
		return c
	}
	name := a.name + "/" + module
	c := newCourier(name, topic, a.boxes.Box(module), s.known[name], a.backend.log)
	c.open()
	s.byTopic[topic] = c
	s.mu.Unlock()
	for _, cl := range s.server.Clients.GetAll() { // those who were there before
		s.look(cl)
	}
	return c
}

// drop ends a courier. Its clients are listeners like others from here on.
func (s *couriers) drop(c *courier) {
	s.mu.Lock()
	delete(s.byTopic, c.topic)
	s.mu.Unlock()
	c.close()
	for _, cu := range c.all() {
		s.release(c, cu.client)
	}
}

// release makes a client a listener.
func (s *couriers) release(c *courier, cl *mqtt.Client) {
	s.forget(c, cl)
	c.leave(cl, false)
	s.rename(cl, courierTopics+c.topic, c.topic)
}

func (s *couriers) forget(c *courier, cl *mqtt.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(s.byClient[cl]), func(other *courier) bool { return other == c })
	if s.byClient[cl] = left; len(left) == 0 {
		delete(s.byClient, cl)
	}
}

// rename lets a client's subscription, if it has it, stand under another name.
func (s *couriers) rename(cl *mqtt.Client, from, to string) {
	sub, ok := cl.State.Subscriptions.Get(from)
	if !ok {
		return
	}
	s.server.Topics.Unsubscribe(from, cl.ID)
	cl.State.Subscriptions.Delete(from)
	sub.Filter = to
	s.server.Topics.Subscribe(cl.ID, sub)
	cl.State.Subscriptions.Add(to, sub)
}

func (s *couriers) of(topic string) *courier {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byTopic[topic]
}

func (s *couriers) serving(cl *mqtt.Client) []*courier {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byClient[cl]
}

// look has every subscription of a client stand under the right name, and tells the couriers of it.
func (s *couriers) look(cl *mqtt.Client) {
	for filter, sub := range cl.State.Subscriptions.GetAll() {
		topic, carried := strings.CutPrefix(filter, courierTopics)
		c := s.of(topic)
		switch {
		case c != nil && c.takes(cl):
			if !carried {
				s.rename(cl, topic, courierTopics+topic)
			}
			if !cl.Closed() {
				s.join(c, cl, sub.Qos)
				if s.of(topic) != c { // it has ended meanwhile
					s.release(c, cl)
				}
			}
		case carried: // its courier has ended, or has found the module
			s.rename(cl, filter, topic)
		}
	}
}

func (s *couriers) join(c *courier, cl *mqtt.Client, qos byte) {
	s.mu.Lock()
	if !slices.Contains(s.byClient[cl], c) {
		s.byClient[cl] = append(slices.Clone(s.byClient[cl]), c)
	}
	if cl.ID == c.name {
		s.known[c.name] = true
	}
	s.mu.Unlock()
	for _, listener := range c.join(cl, qos) {
		s.release(c, listener)
	}
}

// sender names who published a packet: the module, if its client did.
func (s *couriers) sender(pk packets.Packet) string {
	if agent, module, ok := strings.Cut(pk.Origin, "/"); ok {
		if c := s.of(api.MessageTopic(agent, module)); c != nil && c.is(pk.Origin) {
			return pk.Origin
		}
	}
	return publisher(pk)
}

// What the broker calls.

// ID implements mqtt.Hook.
func (s *couriers) ID() string { return "couriers" }

// Provides implements mqtt.Hook.
func (s *couriers) Provides(method byte) bool {
	switch method {
	case mqtt.OnSubscribe, mqtt.OnSubscribed, mqtt.OnUnsubscribe, mqtt.OnUnsubscribed, mqtt.OnPacketRead,
		mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect:
		return true
	}
	return false
}

// OnSubscribe renames the subscriptions of those who are to take a module's messages.
func (s *couriers) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	for i, sub := range pk.Filters {
		if c := s.of(sub.Filter); c != nil && c.takes(cl) {
			pk.Filters[i].Filter = courierTopics + sub.Filter
		}
	}
	return pk
}

// OnSubscribed tells the couriers. One may have come or gone since OnSubscribe.
func (s *couriers) OnSubscribed(cl *mqtt.Client, _ packets.Packet, _ []byte) { s.look(cl) }

// OnUnsubscribe finds a subscription by the name under which it stands.
func (s *couriers) OnUnsubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	for i, sub := range pk.Filters {
		if _, ok := cl.State.Subscriptions.Get(courierTopics + sub.Filter); ok {
			pk.Filters[i].Filter = courierTopics + sub.Filter
		}
	}
	return pk
}

// OnUnsubscribed tells the courier.
func (s *couriers) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	for _, sub := range pk.Filters {
		if topic, ok := strings.CutPrefix(sub.Filter, courierTopics); ok {
			if c := s.of(topic); c != nil {
				s.forget(c, cl)
				c.leave(cl, false)
			}
		}
	}
}

// OnSessionEstablish takes back what an older connection of the client was given, before the new one gets its session.
func (s *couriers) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	if old, ok := s.server.Clients.Get(cl.ID); ok && old != cl {
		s.gone(old, !old.Properties.Clean)
	}
}

// OnSessionEstablished finds the subscriptions that a client has from its last connection.
func (s *couriers) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) { s.look(cl) }

// OnDisconnect takes back what the client was given.
func (s *couriers) OnDisconnect(cl *mqtt.Client, _ error, expire bool) { s.gone(cl, !expire) }

func (s *couriers) gone(cl *mqtt.Client, kept bool) {
	for _, c := range s.serving(cl) {
		s.forget(c, cl)
		c.leave(cl, kept)
	}
}

// OnPacketRead hears acknowledgements. (The broker's own account of them, OnQosComplete, misses those of packets whose ID
// the client has used for a publication of its own meanwhile, which it may.)
func (s *couriers) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	switch pk.FixedHeader.Type {
	case packets.Puback, packets.Pubcomp:
	case packets.Pubrec: // an acknowledgement if it refuses the message: nothing follows (MQTT 5, section 4.3.3)
		if pk.ReasonCode < packets.ErrUnspecifiedError.Code {
			return pk, nil
		}
	case packets.Publish:
		if pk.TopicName == handTopic {
			for _, c := range s.serving(cl) {
				c.holds(cl, string(pk.Payload))
			}
		}
		return pk, nil
	default:
		return pk, nil
	}
	for _, c := range s.serving(cl) {
		c.acknowledged(cl, pk.PacketID)
	}
	return pk, nil
}

// What agents call.

// carry says that a module takes its messages as an MQTT client, and whether it runs. It returns false where the broker
// is elsewhere: that one does not keep them.
func (a *agent) carry(module string, running bool) bool {
	k, ok := a.backend.broker.(*embedded)
	if ok {
		k.couriers.carry(a, module).report(running)
	}
	return ok
}

// uncarry says that a module takes its messages by the host's API, or has gone.
func (a *agent) uncarry(module string) {
	if k, ok := a.backend.broker.(*embedded); ok {
		if c := k.couriers.of(api.MessageTopic(a.name, module)); c != nil {
			k.couriers.drop(c)
		}
	}
}

// absent reports whether a module takes its messages as an MQTT client, and nobody runs the agent just now, or it does so
// at a broker elsewhere, which brings them. Should such a client be there nonetheless, started by hand, it gets its
// messages from the broker, as from any other broker.
func (a *agent) absent(module string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return (a.host == nil || a.backend.broker.host() != "") && slices.Contains(a.opened.MQTT, module)
}

// uncarryAll says that nobody runs the agent any more.
func (a *agent) uncarryAll() {
	for _, module := range a.boxes.Names() {
		a.uncarry(module)
	}
}

// uncarried says that a module's process has ended. The clients that may have been it are listeners until they subscribe
// anew.
func (a *agent) uncarried(module string, outcome api.Outcome) {
	k, ok := a.backend.broker.(*embedded)
	if !ok {
		return
	}
	c := k.couriers.of(api.MessageTopic(a.name, module))
	if c == nil {
		return
	}
	c.report(false)
	if outcome == api.Died {
		c.died()
	}
	for _, cu := range c.all() {
		if cu.client.ID != c.name {
			k.couriers.release(c, cu.client)
		}
	}
}
