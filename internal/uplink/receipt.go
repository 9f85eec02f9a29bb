package uplink

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Message is what a subscription brings.
type Message struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool // the broker had it before the subscription was made
	Dup      bool // the broker has tried to deliver it before, perhaps to an earlier process
	// Done says that the message is finished with: it is then acknowledged to the broker, which sends it again otherwise when
	// the connection is renewed. To be called once, from any goroutine. While many are not done with, the broker sends no
	// more: how many is its setting (Mosquitto 20, RabbitMQ 10, NATS 1024).
	Done func()
}

// A receipt is a message of QoS 1 or 2 that has arrived in the session and is not acknowledged.
//
// When the connection is lost, its acknowledgement can no longer be sent, and the broker sends the message again, marked
// as a duplicate. (The NATS server does so on the same connection too, after 30 s.) It is recognised:
//   - by its content, if nobody was done with it before the connection was lost: it is certain to come again.
//     (Brokers may give it another number.)
//   - by its number and content, if it was acknowledged: the acknowledgement may have been lost. A message of other content
//     is another one that has the number now. (RabbitMQ numbers anew: there it arrives twice, as QoS 1 allows.)
type receipt struct {
	link    *link
	paho    mqtt.Message
	key     uint64
	message Message
	waits   atomic.Int32 // handlers that are not done with it
}

type receipts struct {
	seed  maphash.Seed
	held  map[*receipt]struct{}
	acked map[uint16]uint64 // key by number: what was acknowledged last under it
	owed  map[uint64]int    // by key: done with when the connection was lost already
}

func newReceipts() receipts {
	return receipts{seed: maphash.MakeSeed(), held: map[*receipt]struct{}{}, acked: map[uint16]uint64{}, owed: map[uint64]int{}}
}

// forget is called when the broker has kept nothing: it sends nothing again.
func (r *receipts) forget() {
	clear(r.acked)
	clear(r.owed)
	clear(r.held)
}

func (r *receipts) key(m mqtt.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(m.Topic())
	h.WriteByte(0)
	h.Write(m.Payload())
	return h.Sum64()
}

// take notes that a message has arrived. It returns nil if it has been there before, and whether it is to be acknowledged
// then.
func (r *receipts) take(l *link, m mqtt.Message) (it *receipt, finished bool) {
	it = &receipt{link: l, paho: m, key: r.key(m)}
	if m.Duplicate() {
		var same *receipt
		for old := range r.held {
			number := old.paho.MessageID() == m.MessageID()
			if old.key == it.key && (number || old.link != l && same == nil) {
				same = old
			}
		}
		if same != nil {
			same.link, same.paho = l, m
			return nil, false
		}
		if r.owed[it.key] > 0 {
			if r.owed[it.key]--; r.owed[it.key] == 0 {
				delete(r.owed, it.key)
			}
			r.acked[m.MessageID()] = it.key
			return nil, true
		}
		if key, ok := r.acked[m.MessageID()]; ok && key == it.key {
			return nil, true
		}
	}
	delete(r.acked, m.MessageID())
	r.held[it] = struct{}{}
	return it, false
}

// done returns what is to be acknowledged now that a message is finished with: as it has come by the last connection, or
// nil where that is lost.
func (r *receipts) done(it *receipt) mqtt.Message {
	if _, ok := r.held[it]; !ok {
		return nil // the broker has forgotten it
	}
	delete(r.held, it)
	select {
	case <-it.link.lost:
		r.owed[it.key]++
		return nil
	default:
		r.acked[it.paho.MessageID()] = it.key
		return it.paho
	}
}

// arrive is called by Paho, one message after the other.
func (c *Client) arrive(l *link, m mqtt.Message) {
	message := Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retained: m.Retained(), Dup: m.Duplicate(), Done: func() {}}
	c.order.Lock()
	defer c.order.Unlock()
	c.mu.Lock()
	if m.Qos() == 0 || c.opt.Clean {
		if name, ok := strings.CutPrefix(m.Topic(), c.probing); ok && c.probing != "" {
			select {
			case c.probed <- name:
			default: // it has room for our own copies: these are somebody else's
			}
			c.mu.Unlock()
			return
		}
		var heard []*subscription
		if !c.copies.again(message, c.subs.patterns(m.Topic()), time.Now()) {
			heard = c.subs.matching(message)
		}
		c.mu.Unlock()
		m.Ack()
		for _, s := range heard {
			s.handle(message)
		}
		return
	}
	it, finished := c.receipts.take(l, m)
	if it == nil {
		c.mu.Unlock()
		if finished {
			m.Ack()
		}
		return
	}
	it.message = message
	c.hand(it, c.subs.matching(message))
}

// hand gives a message to those who have subscribed to it. It is called with c.mu held, and gives it up.
func (c *Client) hand(it *receipt, heard []*subscription) {
	it.message.Done = func() {
		if it.waits.Add(-1) == 0 {
			c.mu.Lock()
			m := c.receipts.done(it)
			c.mu.Unlock()
			if m != nil {
				m.Ack()
			}
		}
	}
	if len(heard) == 0 && c.subs.covers(it.message.Topic) { // a retained one that they all have had
		it.waits.Store(1)
		c.mu.Unlock()
		it.message.Done()
		return
	}
	if len(heard) > 0 {
		it.waits.Store(int32(len(heard)))
		c.mu.Unlock()
		for _, s := range heard {
			s.handle(it.message)
		}
		return
	}
	it.waits.Store(1)
	c.mu.Unlock()
	if c.opt.Unasked != nil && c.opt.Unasked(it.message) {
		return
	}
	c.mu.Lock()
	c.orphans = append(c.orphans, it)
	c.mu.Unlock()
}
