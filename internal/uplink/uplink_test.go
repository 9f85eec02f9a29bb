package uplink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/peers"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

func TestMain(m *testing.M) {
	peers.BeNATS()
	goleak.VerifyTestMain(m,
		// The NATS server's, which is linked in: its clock.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.init.5.func1"),
	)
}

var brokers = map[string]func(peers.Test, peers.BrokerOptions) *peers.Broker{
	"mosquitto": peers.Mosquitto, "nats": peers.NATS, "rabbitmq": peers.RabbitMQ,
}

// withBrokers runs a test beside each broker.
func withBrokers(t *testing.T, opt peers.BrokerOptions, test func(t *testing.T, b *peers.Broker)) {
	for kind, start := range brokers {
		t.Run(kind, func(t *testing.T) {
			if kind == "rabbitmq" && testing.Short() {
				t.Skip("RabbitMQ takes 8 s to start")
			}
			test(t, start(t, opt))
		})
	}
}

// client opens a client that is closed with the test; states has room for what the test does not read.
func client(t *testing.T, opt uplink.Options) (*uplink.Client, <-chan uplink.State) {
	t.Helper()
	states := make(chan uplink.State, 1000)
	opt.Changed = func(s uplink.State) { states <- s }
	c, err := uplink.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, states
}

func await(t *testing.T, states <-chan uplink.State, connected bool) uplink.State {
	t.Helper()
	for {
		select {
		case s := <-states:
			if s.Connected == connected {
				return s
			}
		case <-time.After(time.Minute):
			t.Fatalf("connected: %t has not come", connected)
		}
	}
}

// heard collects what a handler is given.
type heard struct {
	mu    sync.Mutex
	texts []string
	more  chan struct{}
}

func hear() *heard { return &heard{more: make(chan struct{}, 1)} }

func (h *heard) handle(m uplink.Message) {
	h.mu.Lock()
	h.texts = append(h.texts, string(m.Payload))
	h.mu.Unlock()
	m.Done()
	select {
	case h.more <- struct{}{}:
	default:
	}
}

func (h *heard) await(t *testing.T, enough func([]string) bool) []string {
	t.Helper()
	late := time.After(time.Minute)
	for {
		h.mu.Lock()
		texts := slices.Clone(h.texts)
		h.mu.Unlock()
		if enough(texts) {
			return texts
		}
		select {
		case <-h.more:
		case <-late:
			t.Fatalf("heard only %d: %.300q", len(texts), texts)
		}
	}
}

func (h *heard) has(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.texts) >= n
}

func (h *heard) atLeast(t *testing.T, n int) []string {
	t.Helper()
	return h.await(t, func(texts []string) bool { return len(texts) >= n })
}

func TestPublishSubscribe(t *testing.T) {
	withBrokers(t, peers.BrokerOptions{User: "u", Password: "p:w"}, func(t *testing.T, b *peers.Broker) {
		url := "mqtt://" + b.Addr()
		reader, _ := client(t, uplink.Options{URL: url, User: "u", Password: "p:w", ClientID: "reader"})
		writer, _ := client(t, uplink.Options{URL: b.URL(), ClientID: "writer", Clean: true})
		one, all := hear(), hear()
		if _, err := reader.Subscribe("a/b", 1, one.handle); err != nil {
			t.Fatal(err)
		}
		cancel, err := reader.Subscribe("c/#", 0, all.handle)
		if err != nil {
			t.Fatal(err)
		}
		for i, qos := range []byte{0, 1, 2, 1, 0} {
			for _, topic := range []string{"a/b", "c", "c/d/e"} {
				if err := writer.Publish(t.Context(), topic, fmt.Append(nil, i), qos, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := one.atLeast(t, 5); len(got) != 5 {
			t.Errorf("heard %q", got)
		}
		all.atLeast(t, 10)
		cancel()
		// A retained message is heard by whoever subscribes after it, once.
		if err := writer.Publish(t.Context(), "kept", []byte("state"), 1, true); err != nil {
			t.Fatal(err)
		}
		first, second := hear(), hear()
		for _, h := range []*heard{first, second} {
			for !h.has(1) { // NATS acknowledges what it is about to keep
				cancel, err := reader.Subscribe("kept", 1, h.handle)
				if err != nil {
					t.Fatal(err)
				}
				select {
				case <-h.more:
				case <-time.After(2 * time.Second):
					cancel()
				}
			}
			if got := h.atLeast(t, 1); got[0] != "state" {
				t.Errorf("retained: %q", got)
			}
		}
		if err := writer.Publish(t.Context(), "kept", nil, 1, true); err != nil {
			t.Fatal(err)
		}
		second.await(t, func(texts []string) bool { return slices.Contains(texts, "") })
		if got := first.await(t, func(texts []string) bool { return slices.Contains(texts, "") }); len(got) != 2 {
			t.Errorf("the first subscriber heard %q", got)
		}
	})
}

// What is published while the broker is killed and restarted arrives, as does what was published to a client that was away.
func TestBrokerKilled(t *testing.T) {
	withBrokers(t, peers.BrokerOptions{}, func(t *testing.T, b *peers.Broker) {
		reader, states := client(t, uplink.Options{URL: b.URL(), ClientID: "reader"})
		writer, _ := client(t, uplink.Options{URL: b.URL(), ClientID: "writer"})
		got := hear()
		if _, err := reader.Subscribe("a", 1, got.handle); err != nil {
			t.Fatal(err)
		}
		publish := func(from, to int) {
			for i := from; i < to; i++ {
				if err := writer.Publish(t.Context(), "a", fmt.Append(nil, i), 1, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		publish(0, 100)
		got.atLeast(t, 100)
		var writing sync.WaitGroup
		writing.Go(func() { publish(100, 200) })
		b.Kill()
		if s := await(t, states, false); s.Err == nil {
			t.Error("no reason is given")
		}
		if err := reader.Publish(t.Context(), "x", nil, 0, false); !errors.Is(err, uplink.ErrAway) {
			t.Errorf("publish at QoS 0 while the broker is away: %v", err)
		}
		short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		if err := reader.Publish(short, "x", nil, 1, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("publish at QoS 1 while the broker is away: %v", err)
		}
		b.Start()
		await(t, states, true)
		writing.Wait()
		// The reader's subscription is there again, whether or not the broker has kept it.
		late := hear()
		if _, err := reader.Subscribe("late", 1, late.handle); err != nil {
			t.Fatal(err)
		}
		if err := writer.Publish(t.Context(), "late", nil, 1, false); err != nil {
			t.Fatal(err)
		}
		late.atLeast(t, 1)
		publish(200, 300)
		texts := got.await(t, func(texts []string) bool { return slices.Contains(texts, "299") })
		for i := 200; i < 300; i++ {
			if !slices.Contains(texts, fmt.Sprint(i)) {
				t.Errorf("%d is missing", i)
			}
		}
	})
}

// A message that nobody was done with comes again, to the next process too; one that somebody was done with does not.
func TestSession(t *testing.T) {
	withBrokers(t, peers.BrokerOptions{}, func(t *testing.T, b *peers.Broker) {
		opt := uplink.Options{URL: b.URL(), ClientID: "reader"}
		reader, err := uplink.Open(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		writer, _ := client(t, uplink.Options{URL: b.URL(), ClientID: "writer", Clean: true})
		arrived := make(chan uplink.Message, 10)
		if _, err := reader.Subscribe("a", 2, func(m uplink.Message) { arrived <- m }); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"first", "second"} {
			if err := writer.Publish(t.Context(), "a", []byte(text), 2, false); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range []string{"first", "second"} {
			m := <-arrived
			if string(m.Payload) != text {
				t.Errorf("heard %q", m.Payload)
			}
			if text == "first" {
				m.Done()
			}
		}
		reader.Close()
		if err := writer.Publish(t.Context(), "a", []byte("third"), 2, false); err != nil {
			t.Fatal(err)
		}
		// The next process has not subscribed when the session's messages arrive.
		offered := make(chan string, 10)
		opt.Unasked = func(m uplink.Message) bool {
			offered <- string(m.Payload)
			return false
		}
		next, _ := client(t, opt)
		if text := <-offered; text != "second" && b.Kind != "nats" {
			t.Errorf("unasked: %q", text)
		}
		got := hear()
		if _, err := next.Subscribe("a", 2, got.handle); err != nil {
			t.Fatal(err)
		}
		texts := got.atLeast(t, 2)
		if b.Kind == "nats" { // which sends new messages before those that it sends again
			slices.Sort(texts)
		}
		if !slices.Equal(texts, []string{"second", "third"}) {
			t.Errorf("heard %q", texts)
		}
	})
}

// Messages that are in somebody's hands when the connection is lost are not heard twice.
func TestHeldWhileTheConnectionIsLost(t *testing.T) {
	withBrokers(t, peers.BrokerOptions{}, func(t *testing.T, b *peers.Broker) {
		reader, states := client(t, uplink.Options{URL: b.URL(), ClientID: "reader"})
		writer, _ := client(t, uplink.Options{URL: b.URL(), ClientID: "writer"})
		arrived := make(chan uplink.Message, 100)
		if _, err := reader.Subscribe("a", 1, func(m uplink.Message) { arrived <- m }); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if err := writer.Publish(t.Context(), "a", fmt.Append(nil, i), 1, false); err != nil {
				t.Fatal(err)
			}
		}
		var held []uplink.Message
		for range 4 {
			held = append(held, <-arrived)
		}
		b.Stop()
		await(t, states, false)
		held[0].Done()
		b.Start()
		await(t, states, true)
		held[1].Done()
		if err := writer.Publish(t.Context(), "a", []byte("end"), 1, false); err != nil {
			t.Fatal(err)
		}
		for m := range arrived {
			if string(m.Payload) == "end" {
				m.Done()
				break
			}
			t.Errorf("again: %q (dup %t)", m.Payload, m.Dup)
			m.Done()
		}
		held[2].Done()
		held[3].Done()
	})
}

func TestRefusals(t *testing.T) {
	b := peers.Mosquitto(t, peers.BrokerOptions{User: "u", Password: "secret"})
	for _, c := range []struct{ name, url, want string }{
		{"wrong password", "mqtt://u:wr0ng@" + b.Addr(), "refuses the user or the password"},
		{"no password", "mqtt://" + b.Addr(), "refuses the user or the password"},
		{"TLS where there is none", "mqtts://u:secret@" + b.Addr(), ""},
		{"no scheme", "localhost:1883", "want mqtt://"},
		{"another scheme", "http://u:secret@localhost", "want mqtt://"},
		{"not a port", "mqtt://u:secret@localhost:port", "want mqtt://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := uplink.Open(t.Context(), uplink.Options{URL: c.url, ClientID: "x"})
			if err == nil && c.want == "" {
				err = client.State().Err // away, as far as one can tell
				client.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error: %v", err)
			}
			if c.want != "" && !errors.Is(err, api.ErrInvalid) {
				t.Errorf("%v is not api.ErrInvalid", err)
			}
			for _, secret := range []string{"wr0ng", "secret"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows the password: %v", err)
				}
			}
		})
	}
}

// A broker that is away is waited for.
// Two clients of one name push each other off, for the broker lets the newest in; nobody else can say why.
func TestTwoOfOneName(t *testing.T) {
	b := peers.Mosquitto(t, peers.BrokerOptions{})
	_, states := client(t, uplink.Options{URL: b.URL(), ClientID: "twin"})
	client(t, uplink.Options{URL: b.URL(), ClientID: "twin"})
	for {
		if s := await(t, states, false); strings.Contains(s.Err.Error(), "another client there has this one's name, twin") {
			return
		}
	}
}

func TestAwayAtFirst(t *testing.T) {
	b := peers.Mosquitto(t, peers.BrokerOptions{})
	b.Stop()
	c, states := client(t, uplink.Options{URL: b.URL(), ClientID: "x"})
	s := await(t, states, false)
	if s.Err == nil || !strings.Contains(s.Err.Error(), "refused") {
		t.Errorf("why: %v", s.Err)
	}
	got := hear()
	if _, err := c.Subscribe("a", 1, got.handle); err != nil {
		t.Fatal(err)
	}
	done, err := make(chan error, 1), error(nil)
	go func() { done <- c.Publish(t.Context(), "a", []byte("early"), 1, false) }()
	b.Start()
	await(t, states, true)
	if err = <-done; err != nil {
		t.Fatal(err)
	}
	got.atLeast(t, 1)
}

func TestWill(t *testing.T) {
	b := peers.Mosquitto(t, peers.BrokerOptions{})
	watcher, _ := client(t, uplink.Options{URL: b.URL(), ClientID: "watcher", Clean: true})
	got := hear()
	if _, err := watcher.Subscribe("here/+", 1, got.handle); err != nil {
		t.Fatal(err)
	}
	first, _ := client(t, uplink.Options{URL: b.URL(), ClientID: "same", WillTopic: "here/same", Will: []byte("gone")})
	first.Close() // a farewell: no will
	cut := wire(t, b.Addr())
	client(t, uplink.Options{URL: "mqtt://" + cut.addr, ClientID: "other", WillTopic: "here/other", Will: []byte("gone too")})
	cut.cut()
	if texts := got.atLeast(t, 1); texts[0] != "gone too" {
		t.Errorf("heard %q", texts)
	}
}

// A wire passes on what it is given to and from a broker, until it is cut.
type aWire struct {
	addr string
	cut  func()
}

func wire(t *testing.T, to string) aWire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var ends []net.Conn
	var copying sync.WaitGroup
	copying.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			mu.Lock()
			ends = append(ends, near, far)
			mu.Unlock()
			copying.Go(func() { io.Copy(near, far) })
			copying.Go(func() { io.Copy(far, near) })
		}
	})
	cut := func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range ends {
			c.Close()
		}
		ends = nil
	}
	t.Cleanup(func() {
		listener.Close()
		cut()
		copying.Wait()
	})
	return aWire{listener.Addr().String(), cut}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a/b", "a/b", true}, {"a", "a/b", false}, {"a/b", "a", false},
		{"+", "a", true}, {"+", "a/b", false}, {"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/", true}, {"+/b", "a/b", true},
		{"#", "a/b/c", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false}, {"a/+/#", "a", false}, {"a/+/#", "a/b", true},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"+/+", "/a", true}, {"/+", "/a", true},
	} {
		if got := uplink.Match(c.pattern, c.topic); got != c.want {
			t.Errorf("Match(%q, %q) = %t", c.pattern, c.topic, got)
		}
	}
}

// Patterns that overlap bring a message to each of those who have subscribed, once.
func TestOverlappingSubscriptions(t *testing.T) {
	withBrokers(t, peers.BrokerOptions{}, func(t *testing.T, b *peers.Broker) {
		c, _ := client(t, uplink.Options{URL: b.URL(), ClientID: "x", Clean: true})
		patterns := []string{"#", "a/#", "a/b", "+/b"}
		var all []*heard
		for _, pattern := range patterns {
			h := hear()
			all = append(all, h)
			if _, err := c.Subscribe(pattern, 1, h.handle); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range []string{"same", "same", "same", "end"} {
			if err := c.Publish(t.Context(), "a/b", []byte(text), 1, false); err != nil {
				t.Fatal(err)
			}
		}
		for _, h := range all {
			h.atLeast(t, 4) // what goes with QoS 0 may overtake what goes with 1
		}
		if err := c.Publish(t.Context(), "a/c", []byte("another"), 0, false); err != nil {
			t.Fatal(err)
		}
		for i, h := range all {
			want := []string{"same", "same", "same", "end", "another"}
			if i >= 2 {
				want = want[:4]
			}
			if got := h.atLeast(t, len(want)); !slices.Equal(got, want) {
				t.Errorf("%s heard %q", patterns[i], got)
			}
		}
	})
}
