package uplink

import (
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// refused is what a SUBACK says instead of a QoS (MQTT 3.1.1, section 3.9.3).
const refused = 0x80

// subscription is one of those who hear what is published on a pattern.
type subscription struct {
	pattern string
	qos     byte
	handle  func(Message)
	// had has the retained messages that it was given, by topic: each SUBSCRIBE of the same pattern brings them again.
	had map[string]uint64
}

// subscriptions are all of them, by pattern.
type subscriptions struct {
	seed  maphash.Seed
	exact map[string][]*subscription // without wildcards: the topics themselves
	wild  map[string][]*subscription
}

func newSubscriptions() subscriptions {
	return subscriptions{seed: maphash.MakeSeed(), exact: map[string][]*subscription{}, wild: map[string][]*subscription{}}
}

func (s *subscriptions) of(pattern string) map[string][]*subscription {
	if strings.ContainsAny(pattern, "+#") {
		return s.wild
	}
	return s.exact
}

// qos is the highest that anybody asks for.
func (s *subscriptions) qos(pattern string) (qos byte) {
	for _, it := range s.of(pattern)[pattern] {
		qos = max(qos, it.qos)
	}
	return qos
}

func (s *subscriptions) add(it *subscription) {
	of := s.of(it.pattern)
	of[it.pattern] = append(of[it.pattern], it)
}

// remove reports whether it was the last of its pattern.
func (s *subscriptions) remove(it *subscription) (last bool) {
	of := s.of(it.pattern)
	var rest []*subscription
	for _, other := range of[it.pattern] {
		if other != it {
			rest = append(rest, other)
		}
	}
	if len(rest) > 0 {
		of[it.pattern] = rest
		return false
	}
	last = len(of[it.pattern]) > 0
	delete(of, it.pattern)
	return last
}

// matching returns who is to hear a message.
func (s *subscriptions) matching(m Message) (heard []*subscription) {
	hear := func(all []*subscription) {
		for _, it := range all {
			if m.Retained {
				sum := maphash.Bytes(s.seed, m.Payload)
				if had, ok := it.had[m.Topic]; ok && had == sum {
					continue
				}
				it.had[m.Topic] = sum
			}
			heard = append(heard, it)
		}
	}
	hear(s.exact[m.Topic])
	for pattern, all := range s.wild {
		if Match(pattern, m.Topic) {
			hear(all)
		}
	}
	return heard
}

// patterns counts those that match a topic.
func (s *subscriptions) patterns(topic string) (n int) {
	if len(s.exact[topic]) > 0 {
		n++
	}
	for pattern := range s.wild {
		if Match(pattern, topic) {
			n++
		}
	}
	return n
}

// covers reports whether anybody subscribes to a topic.
func (s *subscriptions) covers(topic string) bool { return s.patterns(topic) > 0 }

// Match reports whether a topic matches a pattern (MQTT 3.1.1, section 4.7).
func Match(pattern, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(pattern, "+") || strings.HasPrefix(pattern, "#")) {
		return false
	}
	for {
		level, below, more := strings.Cut(pattern, "/")
		if level == "#" {
			return true
		}
		name, rest, deeper := strings.Cut(topic, "/")
		if level != "+" && level != name {
			return false
		}
		if !more || !deeper {
			return more == deeper || more && below == "#" // a/# matches a
		}
		pattern, topic = below, rest
	}
}

// task is a SUBSCRIBE or an UNSUBSCRIBE that is to be sent.
type task struct {
	pattern string
	cancel  bool
	done    chan error // has room for the one answer
}

// Subscribe calls handle for what is published on topics that match pattern, one message after the other; handle must not
// block. The subscription is renewed whenever the connection is. Subscribe returns when the broker has it, or at once
// while the broker is away. cancel waits for no call of handle that is under way.
//
// A handler calls Done of each message, of any QoS.
func (c *Client) Subscribe(pattern string, qos byte, handle func(Message)) (cancel func(), err error) {
	it := &subscription{pattern: pattern, qos: qos, handle: handle, had: map[string]uint64{}}
	c.order.Lock()
	c.mu.Lock()
	c.subs.add(it)
	l := c.link
	do := &task{pattern: pattern, done: make(chan error, 1)}
	if l != nil {
		c.tasks = append(c.tasks, do)
	}
	var found []*receipt
	for i := 0; i < len(c.orphans); {
		if o := c.orphans[i]; Match(pattern, o.message.Topic) {
			found = append(found, o)
			c.orphans = append(c.orphans[:i:i], c.orphans[i+1:]...)
		} else {
			i++
		}
	}
	c.mu.Unlock()
	for _, o := range found {
		handle(o.message)
	}
	c.order.Unlock()
	if l != nil {
		if err := c.ask(l, do); err != nil {
			c.cancel(it)
			return nil, err
		}
	}
	return func() { c.cancel(it) }, nil
}

// ask lets the connection's goroutine do it and waits for the answer.
func (c *Client) ask(l *link, do *task) error {
	c.nudge()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err := <-do.done:
		return err
	case <-l.lost: // the next connection does it
		return nil
	case <-late.C:
		return fmt.Errorf("subscribe to %s: the broker does not answer", do.pattern)
	case <-c.ended:
		return fmt.Errorf("subscribe to %s: %w", do.pattern, api.ErrClosed)
	}
}

func (c *Client) nudge() {
	select {
	case c.wake <- struct{}{}:
	default: // it is about to look
	}
}

func (c *Client) cancel(it *subscription) {
	c.mu.Lock()
	if c.subs.remove(it) && c.link != nil {
		c.tasks = append(c.tasks, &task{pattern: it.pattern, cancel: true, done: make(chan error, 1)})
	}
	c.mu.Unlock()
	c.nudge()
}

// Drop ends a subscription that an earlier process has made in this session, if there is one of exactly that topic.
func (c *Client) Drop(topic string) {
	c.mu.Lock()
	if c.link != nil && !c.subs.covers(topic) {
		c.tasks = append(c.tasks, &task{pattern: topic, cancel: true, done: make(chan error, 1)})
	}
	c.mu.Unlock()
	c.nudge()
}

// perform sends what is to be sent.
func (c *Client) perform(l *link) {
	c.mu.Lock()
	tasks := c.tasks
	c.tasks = nil
	c.mu.Unlock()
	for _, do := range tasks {
		c.mu.Lock()
		qos, wanted := c.subs.qos(do.pattern), len(c.subs.of(do.pattern)[do.pattern]) > 0
		c.mu.Unlock()
		switch {
		case do.cancel && !wanted:
			l.paho.Unsubscribe(do.pattern)
			do.done <- nil
		case !do.cancel && wanted:
			token := l.paho.Subscribe(do.pattern, qos, nil)
			c.asking.Go(func() { do.done <- c.granted(l, token, map[string]byte{do.pattern: qos}) })
		default:
			do.done <- nil
		}
	}
}

// batch is how many subscriptions are renewed by one packet.
const batch = 100

// renew makes all subscriptions anew.
func (c *Client) renew(l *link) error {
	c.mu.Lock()
	c.tasks = nil
	all := map[string]byte{}
	for _, of := range []map[string][]*subscription{c.subs.exact, c.subs.wild} {
		for pattern := range of {
			all[pattern] = c.subs.qos(pattern)
		}
	}
	c.mu.Unlock()
	some := map[string]byte{}
	flush := func() error {
		if len(some) == 0 {
			return nil
		}
		asked := some
		some = map[string]byte{}
		err := c.granted(l, l.paho.SubscribeMultiple(asked, nil), asked)
		if errors.Is(err, errNotGranted) { // somebody has been told nothing of it: the connection serves the others
			c.opt.Log.Error("the broker refuses a subscription that it had granted before", slog.Any("error", err))
			return nil
		}
		return err
	}
	for pattern, qos := range all {
		if some[pattern] = qos; len(some) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

var errNotGranted = errors.New("the broker refuses it: its rules on who may read what say so")

// granted waits for the broker's answer to subscriptions.
func (c *Client) granted(l *link, token mqtt.Token, asked map[string]byte) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-token.Done():
	case <-l.lost:
		return l.err
	case <-late.C:
		return errors.New("subscribe: the broker does not answer")
	}
	if err := token.Error(); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for pattern, qos := range token.(*mqtt.SubscribeToken).Result() {
		if qos == refused {
			return fmt.Errorf("subscribe to %s: %w", pattern, errNotGranted)
		}
		if qos < asked[pattern] {
			c.mu.Lock()
			c.state.QoS = min(c.state.QoS, qos)
			c.mu.Unlock()
		}
	}
	return nil
}
