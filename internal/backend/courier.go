package backend

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

// courier brings the messages of a module that is an MQTT client from the module's mailbox to that client: to whoever
// subscribes to the module's message topic by name (couriers.go). A message leaves the mailbox when the client has
// acknowledged it. So what is sent while the module reloads waits, and what a dying module had not acknowledged comes
// again, in its order.
//
// The client whose ID is "agent/module" is the module. Once one has been there, others that subscribe are listeners, who
// hear each message when it is accepted, as listeners to patterns do. Before, every client that subscribes by name gets
// each message, while the module is said to run, and the message leaves the mailbox when all of them have acknowledged it.
type courier struct {
	log   *slog.Logger
	name  string // "agent/module", which the module's client has as its ID
	topic string // the module's message topic
	box   *mailbox.Box
	wake  chan struct{} // capacity 1: there may be something to do
	stop  context.CancelFunc
	ended chan struct{} // closed when run has returned

	mu        sync.Mutex
	reader    *mailbox.Reader
	customers []*customer // in the order of their subscriptions
	known     bool        // a client whose ID is name has been there
	running   bool        // the host says that the module runs
	flight    []*parcel   // taken from the mailbox and not acknowledged to it, in order
	bytes     int         // length of flight's texts
	hand      uint64      // the message that the module says it has in hand; 0: none
}

// customer is a client that takes the module's messages.
type customer struct {
	client *mqtt.Client
	qos    byte // of its subscription
}

// parcel is a message on its way.
type parcel struct {
	m      api.Message
	to     map[*mqtt.Client]uint16 // who was given it and has not acknowledged it, with the packet's ID
	served bool                    // somebody has acknowledged it
}

const (
	// courierWindow is how many messages a client holds at most that it has not acknowledged, and courierBytes how long
	// they are together (but for the first).
	courierWindow = 256
	courierBytes  = 16 << 20
	// leaving bounds the wait for a client that reads nothing, when its courier ends. Then its connection is cut.
	leaving = time.Second
)

func newCourier(name, topic string, box *mailbox.Box, known bool, log *slog.Logger) *courier {
	return &courier{
		log: log, name: name, topic: topic, box: box, known: known,
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

// open takes over the mailbox and brings messages, until close.
func (c *courier) open() {
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.read()
	go func() {
		defer close(c.ended)
		c.run(ctx)
	}()
}

// read begins to read the mailbox, from the first message that is not acknowledged.
func (c *courier) read() {
	c.reader = c.box.Open()
	c.flight, c.bytes, c.hand = nil, 0, 0
	c.reader.OnReadable(c.signal)
}

// close ends the courier. What is not acknowledged stays in the mailbox.
func (c *courier) close() {
	c.stop()
	late := time.NewTimer(leaving)
	defer late.Stop()
	select {
	case <-c.ended:
	case <-late.C:
		for _, cu := range c.all() {
			cu.client.Stop(packets.ErrServerShuttingDown)
		}
		<-c.ended
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reader.Close(api.Stopped)
}

func (c *courier) all() []*customer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.customers)
}

func (c *courier) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run brings messages until ctx ends, or another takes over the mailbox: a session of the module, which then takes its
// messages by the host's API.
func (c *courier) run(ctx context.Context) {
	for ctx.Err() == nil {
		p, to, err := c.next()
		if err != nil {
			return
		}
		if p != nil {
			c.give(p, to)
			continue
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// next returns the next message to be given to somebody, and to whom; nil if there is none, nobody, or no room.
func (c *courier) next() (*parcel, []*customer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to := c.entitled()
	if len(to) == 0 {
		return nil, nil, nil
	}
	for _, p := range c.flight {
		if len(p.to) == 0 && !p.served {
			return p, to, nil // whoever had it has gone
		}
	}
	room := courierWindow
	for _, cu := range to {
		if most := int(cu.client.Properties.Props.ReceiveMaximum); most > 0 { // MQTT 5, section 3.1.2.11.3
			room = min(room, most)
		}
	}
	if len(c.flight) >= room || c.bytes >= courierBytes {
		return nil, nil, nil
	}
	m, ok, err := c.reader.TryNext()
	if !ok || err != nil {
		return nil, nil, err
	}
	p := &parcel{m: m, to: map[*mqtt.Client]uint16{}}
	c.flight = append(c.flight, p)
	c.bytes += len(m.Text)
	return p, to, nil
}

// entitled returns who is to get messages now.
func (c *courier) entitled() []*customer {
	if !c.known && !c.running {
		return nil
	}
	var to []*customer
	for _, cu := range c.customers {
		if !c.known || cu.client.ID == c.name {
			to = append(to, cu)
		}
	}
	return to
}

// give gives a message to clients. It waits while they read nothing, and so it holds no lock then: their acknowledgements
// must get in.
func (c *courier) give(p *parcel, to []*customer) {
	type delivery struct {
		client *mqtt.Client
		pk     packets.Packet
	}
	var deliveries []delivery
	for _, cu := range to {
		pk := packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: cu.qos},
			TopicName:   c.topic,
			Payload:     []byte(p.m.Text),
			Created:     time.Now().Unix(),
			Origin:      mirrorID,
			Properties: packets.Properties{User: []packets.UserProperty{
				{Key: propertyFrom, Val: p.m.From}, {Key: propertyID, Val: p.m.ID},
			}},
		}
		if cu.qos > 0 {
			id, err := cu.client.NextPacketID()
			if err != nil { // 65535 other publications are on their way to it
				c.leave(cu.client, false)
				continue
			}
			pk.PacketID = uint16(id)
		}
		deliveries = append(deliveries, delivery{cu.client, pk})
	}

	c.mu.Lock()
	deliveries = slices.DeleteFunc(deliveries, func(d delivery) bool { return c.find(d.client) < 0 }) // gone meanwhile
	for _, d := range deliveries {
		if d.pk.PacketID != 0 {
			d.client.State.Inflight.Set(d.pk) // the broker sees to the rest of the exchange
			d.client.State.Inflight.DecreaseSendQuota()
			p.to[d.client] = d.pk.PacketID
		}
	}
	c.mu.Unlock()

	for _, d := range deliveries {
		err := d.client.WritePacket(d.pk)
		switch {
		case errors.Is(err, packets.ErrPacketTooLarge):
			c.log.Error("a module's MQTT client does not take messages of this length: the message is dropped",
				slog.String("module", c.name), slog.String("id", p.m.ID), slog.Int("bytes", len(p.m.Text)))
			c.acknowledge(d.client, d.pk.PacketID, p)
		case err != nil:
			c.leave(d.client, false)
		case d.pk.PacketID == 0: // QoS 0: there will be no acknowledgement
			c.acknowledge(d.client, 0, p)
		}
	}
}

func (c *courier) find(cl *mqtt.Client) int {
	return slices.IndexFunc(c.customers, func(cu *customer) bool { return cu.client == cl })
}

// acknowledged notes that a client has acknowledged the packet of that ID, which may not be one of the courier's.
func (c *courier) acknowledged(cl *mqtt.Client, id uint16) {
	c.mu.Lock()
	i := slices.IndexFunc(c.flight, func(p *parcel) bool {
		given, ok := p.to[cl]
		return ok && given == id
	})
	var p *parcel
	if i >= 0 {
		p = c.flight[i]
	}
	c.mu.Unlock()
	if p != nil {
		c.acknowledge(cl, id, p)
	}
}

func (c *courier) acknowledge(cl *mqtt.Client, id uint16, p *parcel) {
	c.mu.Lock()
	if p.to[cl] == id {
		delete(p.to, cl)
	}
	p.served = true
	c.settle()
	c.mu.Unlock()
	c.signal()
}

// settle lets the mailbox forget what is finished with. It is called with c.mu held.
func (c *courier) settle() {
	var last uint64
	for len(c.flight) > 0 && c.flight[0].served && len(c.flight[0].to) == 0 {
		last = c.flight[0].m.Seq
		c.bytes -= len(c.flight[0].m.Text)
		c.flight[0] = nil
		c.flight = c.flight[1:]
	}
	if last > 0 {
		c.reader.Ack(last)
	}
	if c.hand <= last {
		c.hand = 0
	}
}

// join takes a client that has subscribed, in place of an older connection of it. It returns those who are listeners from
// here on, because it is the module.
func (c *courier) join(cl *mqtt.Client, qos byte) (listeners []*mqtt.Client) {
	for _, cu := range c.all() {
		switch {
		case cu.client == cl:
		case cu.client.ID == cl.ID:
			c.leave(cu.client, false)
		case cl.ID == c.name:
			c.leave(cu.client, false)
			listeners = append(listeners, cu.client)
		}
	}
	c.mu.Lock()
	c.known = c.known || cl.ID == c.name
	if i := c.find(cl); i >= 0 {
		c.customers[i] = &customer{cl, qos}
	} else {
		c.customers = append(c.customers, &customer{cl, qos})
	}
	c.mu.Unlock()
	c.signal()
	return listeners
}

// leave notes that a client takes no more. What it has not acknowledged goes to whoever comes next, unless its session
// outlives the connection (kept) and it has said that it has received the message (MQTT 3.1.1, section 4.3.3).
func (c *courier) leave(cl *mqtt.Client, kept bool) {
	c.mu.Lock()
	if i := c.find(cl); i >= 0 {
		c.customers = slices.Delete(c.customers, i, i+1)
	}
	for _, p := range c.flight {
		id, ok := p.to[cl]
		if !ok {
			continue
		}
		delete(p.to, cl)
		if pk, ok := cl.State.Inflight.Get(id); ok && kept && pk.FixedHeader.Type == packets.Pubrel {
			p.served = true
			continue
		}
		cl.State.Inflight.Delete(id)
	}
	c.settle()
	c.mu.Unlock()
	c.signal()
}

// takes reports whether a client that subscribes by name is to take the module's messages.
func (c *courier) takes(cl *mqtt.Client) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.known || cl.ID == c.name
}

// is reports whether a client is known to be the module.
func (c *courier) is(clientID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return clientID == c.name && slices.ContainsFunc(c.customers, func(cu *customer) bool { return cu.client.ID == clientID })
}

// report notes whether the module runs.
func (c *courier) report(running bool) {
	c.mu.Lock()
	c.running = running
	c.mu.Unlock()
	c.signal()
}

// holds notes which message a client says it has in hand. Should the module die, that message has died with it.
func (c *courier) holds(cl *mqtt.Client, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.flight {
		if _, given := p.to[cl]; given && p.m.ID == id {
			c.hand = p.m.Seq
		}
	}
}

// died counts a death of the message in hand, if the module has said which it is.
func (c *courier) died() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hand == 0 {
		return
	}
	c.reader.Begin(c.hand)
	c.reader.Close(api.Died)
	c.read()
}
