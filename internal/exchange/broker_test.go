package exchange

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// unreliable is a broker that does to what is published whatever its faults say. It gives each host a connection.
type unreliable struct {
	mu       sync.Mutex
	rand     *rand.Rand
	drop     float64       // the share of publications that is lost
	double   float64       // that arrives twice
	late     time.Duration // at most: which reorders
	retained map[string][]byte
	clients  map[*connection]bool
}

func newUnreliable(seed uint64) *unreliable {
	return &unreliable{rand: rand.New(rand.NewPCG(seed, 1)), retained: map[string][]byte{}, clients: map[*connection]bool{}}
}

func (u *unreliable) faults(drop, double float64, late time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop, u.double, u.late = drop, double, late
}

// connection is a host's connection to an unreliable broker. It implements Broker.
type connection struct {
	broker *unreliable
	will   string // topic
	last   []byte // payload of the will

	up            bool
	subscriptions []*subscribed
}

type subscribed struct {
	pattern string
	handle  func(topic string, payload []byte)
}

func (u *unreliable) client(host, instance string) *connection {
	c := &connection{broker: u}
	c.will, c.last = Will(host, instance)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clients[c] = true
	return c
}

// connect brings the connection up and gives its subscriptions what is retained.
func (c *connection) connect() {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	c.up = true
	for _, s := range c.subscriptions {
		c.broker.welcome(c, s)
	}
}

// cut loses the connection; the broker then publishes the will.
func (c *connection) cut() {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if c.up {
		c.up = false
		c.broker.publish(c.will, c.last, true)
	}
}

func (c *connection) connected() bool {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	return c.up
}

// kill restarts the broker, which forgets everything.
func (u *unreliable) kill() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.retained = map[string][]byte{}
	for c := range u.clients {
		c.up = false
	}
}

func (u *unreliable) welcome(c *connection, s *subscribed) {
	for topic, payload := range u.retained {
		if matches(s.pattern, topic) {
			u.pass(c, s, topic, payload)
		}
	}
}

// pass hands a publication to a subscriber, later, if it is still connected then.
func (u *unreliable) pass(c *connection, s *subscribed, topic string, payload []byte) {
	if u.rand.Float64() < u.drop {
		return
	}
	times := 1
	if u.rand.Float64() < u.double {
		times = 2
	}
	for range times {
		var pause time.Duration
		if u.late > 0 {
			pause = time.Duration(u.rand.Int64N(int64(u.late)))
		}
		time.AfterFunc(pause, func() {
			u.mu.Lock()
			up := c.up
			u.mu.Unlock()
			if up {
				s.handle(topic, payload)
			}
		})
	}
}

func (u *unreliable) publish(topic string, payload []byte, retain bool) {
	if retain {
		u.retained[topic] = payload
	}
	for c := range u.clients {
		for _, s := range c.subscriptions {
			if c.up && matches(s.pattern, topic) {
				u.pass(c, s, topic, payload)
			}
		}
	}
}

var errDown = errors.New("no connection")

func (c *connection) Publish(_ context.Context, topic string, payload []byte, _ byte, retain bool) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if !c.up {
		return errDown
	}
	c.broker.publish(topic, payload, retain)
	return nil
}

func (c *connection) Subscribe(pattern string, _ byte, handle func(topic string, payload []byte)) (func(), error) {
	s := &subscribed{pattern, handle}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	c.subscriptions = append(c.subscriptions, s)
	if c.up {
		c.broker.welcome(c, s)
	}
	return func() {
		c.broker.mu.Lock()
		defer c.broker.mu.Unlock()
		for i, other := range c.subscriptions {
			if other == s {
				c.subscriptions = append(c.subscriptions[:i:i], c.subscriptions[i+1:]...)
				return
			}
		}
	}, nil
}

// matches reports whether a topic matches a pattern in which + stands for one level.
func matches(pattern, topic string) bool {
	p, t := strings.Split(pattern, "/"), strings.Split(topic, "/")
	if len(p) != len(t) {
		return false
	}
	for i := range p {
		if p[i] != "+" && p[i] != t[i] {
			return false
		}
	}
	return true
}
