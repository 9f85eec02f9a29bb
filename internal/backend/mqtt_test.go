package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// device connects an MQTT client.
func device(t *testing.T, b *backend.Backend, id string, change ...func(*paho.ClientOptions)) paho.Client {
	t.Helper()
	status, err := b.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	opt := paho.NewClientOptions().AddBroker("tcp" + strings.TrimPrefix(status.Broker, "mqtt")).SetClientID(id).SetOrderMatters(true)
	for _, c := range change {
		c(opt)
	}
	c := paho.NewClient(opt)
	await(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

func await(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatalf("MQTT: %v", token.Error())
	}
}

// subscribe returns what c hears on topic, as "topic payload".
func subscribe(t *testing.T, c paho.Client, topic string) <-chan string {
	t.Helper()
	heard := make(chan string, 20000)
	await(t, c.Subscribe(topic, 2, func(_ paho.Client, m paho.Message) {
		heard <- m.Topic() + " " + string(m.Payload())
	}))
	return heard
}

func next(t *testing.T, heard <-chan string) string {
	t.Helper()
	select {
	case h := <-heard:
		return h
	case <-within(t).Done():
		t.Fatal("nothing was heard")
		return ""
	}
}

// console keeps what modules say.
type console struct{ logs chan string }

func newConsole() console { return console{make(chan string, 1000)} }

func (c console) Log(module string, e api.LogEntry)                   { c.logs <- module + ": " + e.String() }
func (console) Print(string, string)                                  {}
func (console) Input(context.Context, string, string) (string, error) { return "", api.ErrNoInput }

func attach(t *testing.T, b *backend.Backend, as api.Attachment, out api.Console) api.Host {
	t.Helper()
	if as.Agent == "" {
		as.Agent = "a"
	}
	h, err := b.Attach(within(t), as, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func sit(t *testing.T, h api.Host, agent, module string, generation int) api.Session {
	t.Helper()
	s, err := h.Open(within(t), api.Identity{Agent: agent, Module: module, Generation: generation})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(api.Stopped) })
	return s
}

func TestMessagesFromDevicesArriveInOrder(t *testing.T) {
	for qos := range byte(3) {
		t.Run(fmt.Sprint(qos), func(t *testing.T) {
			b := open(t)
			h := attach(t, b, api.Attachment{Limit: 50}, newConsole()) // full most of the time: the device is pushed back
			m := sit(t, h, "a", "m", 1)
			c := device(t, b, "soil")
			const n = 2000
			go func() {
				for i := range n {
					c.Publish(api.MessageTopic("a", "m"), qos, false, fmt.Sprint(i))
				}
			}()
			for i := range n {
				got, err := m.Receive(within(t))
				if err != nil {
					t.Fatal(err)
				}
				if got.Text != fmt.Sprint(i) || got.From != "mqtt:soil" || got.To != "a/m" || got.Topic != "" {
					t.Fatalf("message %d is %+v", i, got)
				}
			}
		})
	}
}

// TestReconnectingDeviceDeliversOnce: a device whose QoS 2 message waits for room loses its connection and sends it again.
func TestReconnectingDeviceDeliversOnce(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{Limit: 1}, newConsole())
	m := sit(t, h, "a", "m", 1)
	if err := m.Send(within(t), api.Message{To: "m", Text: "first"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // what one connection has sent is read by the next, as by a device that was switched off and on
	keep := func(o *paho.ClientOptions) { o.SetCleanSession(false).SetStore(paho.NewFileStore(dir)) }
	lost := device(t, b, "d", keep, func(o *paho.ClientOptions) { o.SetAutoReconnect(false) }) // nor fights for its place
	heard := subscribe(t, device(t, b, "probe"), "probe")
	lost.Publish("probe", 0, false, "")
	lost.Publish(api.MessageTopic("a", "m"), 2, false, "once")
	next(t, heard) // the broker reads what follows
	again := device(t, b, "d", keep)
	defer again.Disconnect(0)
	var got []string
	for range 2 {
		msg, err := m.Receive(within(t))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, msg.Text)
	}
	again.Publish(api.MessageTopic("a", "m"), 2, false, "last") // acknowledged when there is room: after the next Receive
	msg, err := m.Receive(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if got = append(got, msg.Text); strings.Join(got, " ") != "first once last" {
		t.Errorf("received %q", got)
	}
}

func TestMessagesAreMirrored(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{Modules: []string{"to"}}, newConsole())
	from := sit(t, h, "a", "from", 1)
	named, all := subscribe(t, device(t, b, "one"), api.MessageTopic("a", "to")), subscribe(t, device(t, b, "two"), "concurrent_modular_agent/#")
	const n = 500
	for i := range n {
		if err := from.Send(within(t), api.Message{To: "to", Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		want := api.MessageTopic("a", "to") + " " + fmt.Sprint(i)
		if got := next(t, named); got != want {
			t.Fatalf("subscriber heard %q, want %q", got, want)
		}
		if got := next(t, all); got != want {
			t.Fatalf("subscriber to all heard %q, want %q", got, want)
		}
	}
}

// TestModuleThatIsAnMQTTClient is the Python framework's way: whoever subscribes to a module's topic is the module. One
// that listens to everything is not.
func TestModuleThatIsAnMQTTClient(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{}, newConsole())
	from := sit(t, h, "a", "from", 1)
	all := subscribe(t, device(t, b, "explorer"), "#")
	for _, to := range []string{"python", "elsewhere/python"} {
		if err := from.Send(within(t), api.Message{To: to, Text: "x"}); !errors.Is(err, api.ErrUnknown) {
			t.Errorf("send to %s, which nobody is: %v", to, err)
		}
	}
	heard := subscribe(t, device(t, b, "python"), "concurrent_modular_agent/message/elsewhere/python")
	if err := from.Send(within(t), api.Message{To: "elsewhere/python", Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	want := "concurrent_modular_agent/message/elsewhere/python hello"
	if got := next(t, heard); got != want {
		t.Errorf("heard %q", got)
	}
	if got := next(t, all); got != want {
		t.Errorf("explorer heard %q", got)
	}
}

func TestStateTopics(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{}, newConsole())
	if err := h.Report(within(t), api.ModuleState{Module: "m", State: api.Running, Generation: 3}); err != nil {
		t.Fatal(err)
	}
	topic := api.StateTopic("a", "m")
	watcher := device(t, b, "watcher")
	heard := subscribe(t, watcher, "coma/agents/#")
	if got := next(t, heard); !strings.HasPrefix(got, topic+" {") || !strings.Contains(got, `"generation":3`) || !strings.Contains(got, `"agent":"a"`) {
		t.Errorf("retained state: %q", got)
	}
	// Clients may not write there, neither at once nor by a last will.
	watcher.Publish(topic, 0, true, "forged").Wait()
	forger := device(t, b, "forger", func(o *paho.ClientOptions) { o.SetAutoReconnect(false) })
	forger.Publish(topic, 1, true, "forged").WaitTimeout(time.Second)
	opt := paho.NewClientOptions().AddBroker(brokerOf(t, b)).SetClientID("will").SetWill(topic, "forged", 1, true).SetConnectRetry(false)
	if token := paho.NewClient(opt).Connect(); !token.WaitTimeout(20*time.Second) || token.Error() == nil {
		t.Errorf("a last will that forges a state was accepted")
	}
	m := sit(t, h, "a", "m", 1)
	if err := m.Publish(within(t), api.Publication{Topic: topic, Payload: []byte("forged")}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a module forges a state: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if got := next(t, heard); got != topic+" " {
		t.Errorf("after the agent has ended: %q", got)
	}
	select {
	case got := <-subscribe(t, device(t, b, "late"), "coma/agents/#"):
		t.Errorf("still retained: %q", got)
	case got := <-heard:
		t.Errorf("heard %q", got)
	default:
	}
}

func brokerOf(t *testing.T, b *backend.Backend) string {
	t.Helper()
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return "tcp" + strings.TrimPrefix(status.Broker, "mqtt")
}

// TestSubscriptionsOverAReload: they go on while a module reloads, and end with the new generation's first Receive where
// that one has not renewed them.
func TestSubscriptionsOverAReload(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{}, newConsole())
	ctx := within(t)
	c := device(t, b, "d")
	// The broker acknowledges before it passes on: only what somebody has received is not still on its way.
	witness := subscribe(t, device(t, b, "witness"), "+/+")
	publish := func(topic string, retain bool, text string) {
		t.Helper()
		await(t, c.Publish(topic, 1, retain, text))
		next(t, witness)
	}
	publish("kept/soil", true, "retained")
	one := sit(t, h, "a", "m", 1)
	for _, pattern := range []string{"kept/+", "dropped/#"} {
		if err := one.Subscribe(ctx, pattern); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(s api.Session, want string) {
		t.Helper()
		m, err := s.Receive(ctx)
		if err != nil || m.Topic+" "+m.Text != want {
			t.Errorf("received %s %q, %v, want %s", m.Topic, m.Text, err, want)
		}
	}
	receive(one, "kept/soil retained")
	if err := one.Close(api.Finished); err != nil {
		t.Fatal(err)
	}
	publish("kept/light", false, "between")
	publish("dropped/x", false, "between")
	two := sit(t, h, "a", "m", 2)
	if err := two.Subscribe(ctx, "kept/+"); err != nil {
		t.Fatal(err)
	}
	receive(two, "kept/light between")
	receive(two, "dropped/x between")
	receive(two, "kept/soil retained")
	publish("dropped/x", false, "gone")
	publish("kept/light", false, "there")
	receive(two, "kept/light there")
	if err := two.Unsubscribe(ctx, "kept/+"); err != nil {
		t.Fatal(err)
	}
	if err := two.Unsubscribe(ctx, "kept/+"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("unsubscribe again: %v", err)
	}
	publish("kept/light", false, "gone")
	if m, ok, err := two.TryReceive(ctx); ok || err != nil {
		t.Errorf("received %+v, %v", m, err)
	}
	for _, bad := range []string{"", "a+", "#/a", "a/#/b", "$share/x/a", "a\x00"} {
		if err := two.Subscribe(ctx, bad); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("subscribe to %q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "a/+", "#", "$SYS/x", "a\x00"} {
		if err := two.Publish(ctx, api.Publication{Topic: bad}); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("publish to %q: %v", bad, err)
		}
	}
	if err := two.Publish(ctx, api.Publication{Topic: "a", QoS: 3}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("publish with QoS 3: %v", err)
	}
}

func TestPublicationsThatAFullMailboxDropsAreTold(t *testing.T) {
	b := open(t)
	out := newConsole()
	h := attach(t, b, api.Attachment{Limit: 10}, out)
	m := sit(t, h, "a", "m", 1)
	ctx := within(t)
	if err := m.Subscribe(ctx, "#"); err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		if err := m.Publish(ctx, api.Publication{Topic: "t", Payload: []byte(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-out.logs; !strings.Contains(got, "m: the mailbox is full") {
		t.Errorf("the console heard %q", got)
	}
	if got, err := m.Receive(ctx); err != nil || got.Text != "15" || got.Topic != "t" {
		t.Errorf("the oldest is %+v, %v", got, err)
	}
	boxes, err := b.Mailboxes(ctx, "a")
	if err != nil || len(boxes) != 1 || boxes[0].Dropped != 15 {
		t.Errorf("mailboxes: %+v, %v", boxes, err)
	}
}

// TestPublishToAModule: it is a message like any other, from the one that publishes.
func TestPublishToAModule(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{Limit: 1}, newConsole())
	from, to := sit(t, h, "a", "from", 1), sit(t, h, "a", "to", 1)
	p := api.Publication{Topic: api.MessageTopic("a", "to"), Payload: []byte("x")}
	if err := from.Publish(within(t), p); err != nil {
		t.Fatal(err)
	}
	full, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := from.Publish(full, p); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publish to a full mailbox: %v", err)
	}
	if m, err := to.Receive(within(t)); err != nil || m.From != "a/from" {
		t.Errorf("received %+v, %v", m, err)
	}
}

func TestListenCountsWhatIsMissed(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{}, newConsole())
	m := sit(t, h, "a", "m", 1)
	ctx, cancel := context.WithCancel(within(t))
	began, release := make(chan struct{}), make(chan struct{})
	heard, missed, ended := 0, 0, make(chan error, 1)
	var once sync.Once
	go func() {
		ended <- b.Listen(ctx, "t/#", func(h api.Heard) {
			once.Do(func() {
				close(began)
				<-release
			})
			heard++
			missed += h.Missed
			if string(h.Payload) == "end" {
				cancel()
			}
		})
	}()
	publish := func(text string) {
		if err := m.Publish(ctx, api.Publication{Topic: "t/x", Payload: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	for listening := false; !listening; { // until the subscription is there
		publish("first")
		select {
		case <-began:
			listening = true
		default:
		}
	}
	const n = 10000
	for range n {
		publish("x")
	}
	close(release)
	for ctx.Err() == nil {
		publish("end")
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if missed == 0 || heard+missed < n {
		t.Errorf("%d heard, %d missed of more than %d", heard, missed, n)
	}
}
