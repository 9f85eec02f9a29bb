package backend

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/concurrent-modular-agent/coma/internal/access"
)

// gate is the broker's hook that decides who comes in, what they may publish and hear, and how much the broker keeps for
// them. It is the first of the hooks and the only one that is asked for permission: for the broker, one that permits is
// enough.
type gate struct {
	mqtt.HookBase
	broker *embedded
	quota  *quota

	mu   sync.Mutex
	away map[string]absentee // persistent sessions of clients that are away, by client ID

	// What is told of those who were turned away or went where they may not, of messages that were not left at their topics,
	// and of those that were kept for nobody.
	turned, strayed, kept, late *rarely
}

// absentee is a client that has gone and left its session.
type absentee struct {
	client *mqtt.Client
	since  time.Time
}

func newGate(k *embedded, limits access.Limits) *gate {
	return &gate{
		broker: k, quota: newQuota(limits), away: map[string]absentee{},
		turned: &rarely{every: time.Second}, strayed: &rarely{every: 10 * time.Second}, kept: &rarely{every: 10 * time.Second}, late: &rarely{every: 10 * time.Second},
	}
}

func (g *gate) ID() string { return "gate" }

func (g *gate) Provides(method byte) bool {
	return slices.Contains([]byte{
		mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnClientExpired, mqtt.OnACLCheck,
		mqtt.OnSubscribe, mqtt.OnPublish, mqtt.OnWill, mqtt.OnRetainMessage, mqtt.OnRetainedExpired,
		mqtt.OnQosPublish, mqtt.OnQosComplete, mqtt.OnQosDropped,
	}, method)
}

// through is the door that a client has come in by; nil for the backend's own clients.
func through(cl *mqtt.Client) *door {
	d, _ := cl.Net.Conn.(*door)
	return d
}

// OnConnectAuthenticate lets in who is known; on a backend that asks for no password, everybody who gives none.
func (g *gate) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	d := through(cl)
	if d == nil {
		return false
	}
	b := g.broker.backend
	user, password := string(pk.Connect.Username), string(pk.Connect.Password)
	if !b.guarded() && (user == "" && password == "" || b.users.Count() == 0) {
		d.id = access.Owner()
	} else {
		id, err := b.enter(b.life, d.address, user, password)
		if err != nil {
			g.refused(cl, d, err.Error())
			return false
		}
		d.id = id
	}
	if why := g.misfit(cl, d, pk); why != "" {
		g.refused(cl, d, why)
		return false
	}
	return true
}

func (g *gate) refused(cl *mqtt.Client, d *door, why string) {
	if n := g.turned.add(1); n > 0 {
		g.broker.backend.log.Warn("MQTT client refused", slog.String("client", cl.ID), slog.String("user", string(cl.Properties.Username)),
			slog.String("address", d.address), slog.String("reason", why), slog.Int("refused", n))
	}
}

// misfit tells why a client whose password was right cannot come in all the same; "" where it can. A last will has no check
// of its own in the broker, and a client ID brings the session that was left under it.
func (g *gate) misfit(cl *mqtt.Client, d *door, pk packets.Packet) string {
	if cl.ID == mirrorID || cl.ID == mqtt.InlineClientId || len(cl.ID) > 1024 {
		return "the client ID is one of the backend's own, or too long"
	}
	if agent, _, ok := strings.Cut(cl.ID, "/"); ok && !d.id.Admin() && !d.id.Agent(agent) {
		return "the client ID is a module's of an agent that the user may not speak as"
	}
	if old, ok := g.broker.server.Clients.Get(cl.ID); ok {
		// The session of a user who is gone has been ended: see revoke.
		if was := through(old); was == nil || !was.id.Same(d.id) {
			return "the client ID is another user's"
		}
	}
	if pk.Connect.WillFlag {
		topic := pk.Connect.WillTopic
		if topic == "" || strings.ContainsAny(topic, "+#\x00") || strings.HasPrefix(topic, "$") || !g.mayPublish(d, topic) {
			return "the last will's topic is not one that the user may publish on"
		}
	}
	return ""
}

func (g *gate) mayPublish(d *door, topic string) bool {
	switch {
	case access.Oversized(topic), strings.HasPrefix(topic, stateTopics), strings.HasPrefix(topic, courierTopics):
		return false // coma itself writes there
	case topic == handTopic:
		return d.id.Valid()
	}
	return d.id.Publish(topic)
}

// OnACLCheck is asked before a client publishes on a topic, before it subscribes to a pattern, and before each publication
// that is to reach it.
func (g *gate) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	d := through(cl)
	if d == nil {
		return cl.Net.Inline
	}
	if write {
		if topic == "" || g.mayPublish(d, topic) { // "": by its alias (MQTT 5), which OnPublish looks at
			return true
		}
		g.stray(cl, d, "publish", topic)
		return false
	}
	topic = strings.TrimPrefix(topic, courierTopics) // see couriers
	if !d.id.Subscribe(topic) || access.Oversized(topic) {
		return false
	}
	if g.quota.full(&d.held) {
		if n := g.late.add(1); n > 0 {
			g.broker.backend.log.Warn("an MQTT client neither takes nor acknowledges what waits for it, and misses publications",
				slog.String("client", cl.ID), slog.String("topic", topic), slog.Int("missed", n))
		}
		return false
	}
	return true
}

// stray tells of a client that may not publish or subscribe where it wanted to: MQTT 3.1.1 has no word for why.
func (g *gate) stray(cl *mqtt.Client, d *door, what, topic string) {
	if n := g.strayed.add(1); n > 0 {
		g.broker.backend.log.Warn("an MQTT client wants what its user may not do: coma backend passwd changes that", slog.String("client", cl.ID),
			slog.String("user", d.id.User()), slog.String("wants", what), slog.String("topic", topic), slog.Int("refused", n))
	}
}

// OnSubscribe refuses subscriptions beyond the bound: an empty pattern is not valid, and the broker says so.
func (g *gate) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	d := through(cl)
	if d == nil {
		return pk
	}
	there := cl.State.Subscriptions.GetAll()
	n := len(there)
	for i := range pk.Filters {
		if topic := strings.TrimPrefix(pk.Filters[i].Filter, courierTopics); !d.id.Subscribe(topic) {
			g.stray(cl, d, "subscribe", topic) // OnACLCheck refuses it
		}
		if _, again := there[pk.Filters[i].Filter]; again {
			continue
		}
		if n++; n > g.broker.backend.limits.Subscriptions {
			pk.Filters[i].Filter = ""
		}
	}
	return pk
}

// OnPublish slows down who publishes too fast, and keeps from being retained what there is no room for.
func (g *gate) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	d := through(cl)
	if d == nil {
		return pk, nil
	}
	if pk.TopicName == "" || pk.Properties.TopicAliasFlag && !g.mayPublish(d, pk.TopicName) {
		return pk, packets.ErrRejectPacket
	}
	if err := d.rate.Wait(g.broker.backend.life); err != nil {
		return pk, packets.ErrRejectPacket // the backend ends; the client sends it again
	}
	if pk.FixedHeader.Retain && !g.mayLeave(cl, pk.TopicName, len(pk.Payload)) {
		pk.FixedHeader.Retain = false
	}
	return pk, nil
}

// OnWill does the same for a last will.
func (g *gate) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if will.Retain && !g.mayLeave(cl, will.TopicName, len(will.Payload)) {
		will.Retain = false
	}
	return will, nil
}

func (g *gate) mayLeave(cl *mqtt.Client, topic string, bytes int) bool {
	if g.quota.room(topic, bytes) {
		return true
	}
	if n := g.kept.add(1); n > 0 {
		g.broker.backend.log.Warn("no room for more retained MQTT messages: it is passed on and not kept",
			slog.String("client", cl.ID), slog.String("topic", topic), slog.Int("not_kept", n))
	}
	return false
}

// OnRetainMessage counts what clients leave at topics.
func (g *gate) OnRetainMessage(cl *mqtt.Client, pk packets.Packet, _ int64) {
	if through(cl) != nil {
		g.quota.left(pk.TopicName, len(pk.Payload))
	}
}

// OnRetainedExpired counts it no more.
func (g *gate) OnRetainedExpired(topic string) { g.quota.left(topic, 0) }

// OnQosPublish counts what a client has not acknowledged yet.
func (g *gate) OnQosPublish(cl *mqtt.Client, pk packets.Packet, _ int64, _ int) {
	if d := through(cl); d != nil && pk.FixedHeader.Type == packets.Publish {
		g.quota.hold(&d.held, pk.PacketID, len(pk.Payload)+len(pk.TopicName))
	}
}

// OnQosComplete counts it no more.
func (g *gate) OnQosComplete(cl *mqtt.Client, pk packets.Packet) {
	if d := through(cl); d != nil {
		g.quota.drop(&d.held, pk.PacketID)
	}
}

// OnQosDropped counts it no more.
func (g *gate) OnQosDropped(cl *mqtt.Client, pk packets.Packet) { g.OnQosComplete(cl, pk) }

// OnSessionEstablished notes that a client is back: its session is no longer that of one that is away.
func (g *gate) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	g.mu.Lock()
	old, ok := g.away[cl.ID]
	delete(g.away, cl.ID)
	g.mu.Unlock()
	if ok {
		g.forget(old.client)
	}
}

// OnDisconnect notes that a client is away, and ends the session that has been so for longest where there are too many.
func (g *gate) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	if current, _ := g.broker.server.Clients.Get(cl.ID); expire || current != cl {
		g.forget(cl)
		return
	}
	g.mu.Lock()
	g.away[cl.ID] = absentee{cl, time.Now()}
	var oldest absentee
	if len(g.away) > g.broker.backend.limits.Sessions {
		for _, a := range g.away {
			if oldest.client == nil || a.since.Before(oldest.since) {
				oldest = a
			}
		}
	}
	g.mu.Unlock()
	if oldest.client != nil {
		g.end(oldest.client)
	}
}

// forget counts nothing of what a client holds any more.
func (g *gate) forget(cl *mqtt.Client) {
	if d := through(cl); d != nil {
		g.quota.dropAll(&d.held)
	}
}

// OnClientExpired ends the session of a client that has been away for too long.
func (g *gate) OnClientExpired(cl *mqtt.Client) { g.end(cl) }

// end ends the session of a client, connected or not.
func (g *gate) end(cl *mqtt.Client) {
	server := g.broker.server
	cl.Stop(packets.ErrNotAuthorized)
	cl.ClearInflights()
	server.UnsubscribeClient(cl)
	if current, ok := server.Clients.Get(cl.ID); ok && current == cl {
		server.Clients.Delete(cl.ID)
	}
	g.mu.Lock()
	if g.away[cl.ID].client == cl {
		delete(g.away, cl.ID)
	}
	g.mu.Unlock()
	g.forget(cl)
}

// revoke ends the sessions of users who are gone, or have another password now. (What those who stay may publish and hear
// is looked up each time.)
func (g *gate) revoke() {
	for _, cl := range g.broker.server.Clients.GetAll() {
		if d := through(cl); d != nil && !d.id.Valid() {
			g.broker.backend.log.Info("MQTT client cut off: its user is gone or has another password",
				slog.String("client", cl.ID), slog.String("user", d.id.User()))
			g.end(cl)
		}
	}
}
