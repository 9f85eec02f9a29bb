package uplink

import (
	"hash/maphash"
	"time"
)

// Where several subscriptions of one client match a topic, brokers differ: some send a message once (Mosquitto, RabbitMQ),
// some once for each of them (NATS, EMQX); MQTT 3.1.1 allows both (section 3.3.5). Which one a broker is, is found out
// when the connection is made. Of its copies the first one counts.

// copies tells the first of a message's copies from the others.
type copies struct {
	seed  maphash.Seed
	many  bool                // the broker sends a message once for each subscription
	among map[uint64]*arrived // by topic and payload
}

type arrived struct {
	n    int
	when time.Time
}

// together is how long the copies of a message may take to arrive, one after the other.
const together = 2 * time.Second

func newCopies() copies { return copies{seed: maphash.MakeSeed(), among: map[uint64]*arrived{}} }

// again reports whether a message that matches so many subscriptions at the broker is a copy of one that was heard.
func (c *copies) again(m Message, subscriptions int, now time.Time) bool {
	if !c.many || subscriptions < 2 || m.Retained { // what is retained is sent for each SUBSCRIBE, and recognised by had
		return false
	}
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteString(m.Topic)
	h.WriteByte(0)
	h.Write(m.Payload)
	key := h.Sum64()
	seen := c.among[key]
	if seen == nil || now.Sub(seen.when) > together {
		c.forget(now)
		seen = &arrived{when: now}
		c.among[key] = seen
	}
	seen.n++
	if seen.n == subscriptions {
		delete(c.among, key)
	}
	return seen.n > 1
}

// forget drops what waits for copies that have not come.
func (c *copies) forget(now time.Time) {
	if len(c.among) < 1000 {
		return
	}
	for key, seen := range c.among {
		if now.Sub(seen.when) > together {
			delete(c.among, key)
		}
	}
}

// probe finds out how often the broker sends a message to one who has subscribed twice. A broker that does not let it is
// taken for one that sends it once.
func (c *Client) probe(l *link) error {
	topic := "coma/probe/" + c.opt.ClientID
	heard := make(chan string, 10)
	c.mu.Lock()
	c.probing = topic + "/"
	c.probed = heard
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.probing, c.probed = "", nil
		c.mu.Unlock()
	}()
	asked := map[string]byte{topic + "/+": 0, topic + "/copies": 0}
	if err := c.granted(l, l.paho.SubscribeMultiple(asked, nil), asked); err != nil {
		return l.broken()
	}
	defer l.paho.Unsubscribe(topic+"/+", topic+"/copies")
	for _, last := range []string{"/copies", "/end"} {
		l.paho.Publish(topic+last, 0, false, "")
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	for n := 0; ; {
		select {
		case name := <-heard:
			if name == "copies" {
				n++
				continue
			}
			c.mu.Lock()
			c.copies.many = n > 1
			c.mu.Unlock()
			return nil
		case <-l.lost:
			return l.err
		case <-late.C:
			return nil
		}
	}
}

// broken returns why the connection is lost, or nil.
func (l *link) broken() error {
	select {
	case <-l.lost:
		return l.err
	default:
		return nil
	}
}
