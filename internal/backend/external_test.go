package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

func TestMain(m *testing.M) {
	peers.BeNATS()
	m.Run()
}

// at lets a backend use an external broker.
func at(b *peers.Broker) func(*backend.Options) {
	return func(o *backend.Options) { o.Uplink.URL = b.URL() }
}

// lasting lets a backend use folders that outlive it.
func lasting(dir string) func(*backend.Options) {
	return func(o *backend.Options) { o.Folders = in(dir) }
}

// withBrokers runs a test beside each broker.
func withBrokers(t *testing.T, test func(t *testing.T, k *peers.Broker)) {
	for kind, start := range map[string]func(peers.Test, peers.BrokerOptions) *peers.Broker{
		"mosquitto": peers.Mosquitto, "nats": peers.NATS, "rabbitmq": peers.RabbitMQ,
	} {
		t.Run(kind, func(t *testing.T) {
			if kind == "rabbitmq" && testing.Short() {
				t.Skip("RabbitMQ takes 8 s to start")
			}
			test(t, start(t, peers.BrokerOptions{}))
		})
	}
}

// texts receives n messages.
func texts(t *testing.T, s api.Session, n int) (got []string) {
	t.Helper()
	for range n {
		m, err := s.Receive(within(t))
		if err != nil {
			t.Fatalf("after %d messages: %v", len(got), err)
		}
		got = append(got, m.Text)
	}
	return got
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// Devices reach modules through the broker, publications and states go through it, and what modules say to each other
// needs it for nothing.
func TestExternalBroker(t *testing.T) {
	withBrokers(t, func(t *testing.T, k *peers.Broker) {
		b := open(t, at(k))
		h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"from", "to"}}, newConsole())
		from, to := sit(t, h, "a", "from", 1), sit(t, h, "a", "to", 1)
		status, err := b.Status(t.Context())
		if err != nil || !status.External || status.Host == "" || status.Away != "" || status.Broker != k.URL() {
			t.Fatalf("status: %+v, %v", status, err)
		}

		sensor := device(t, b, "sensor")
		var want []string
		for i := range 50 {
			await(t, sensor.Publish(api.MessageTopic("a", "to"), byte(i%3), false, fmt.Sprint(i)))
			want = append(want, fmt.Sprint(i))
		}
		got := texts(t, to, 50)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("from the device: %q", got)
		}

		// A message from module to module is shown on a topic of its own, and arrives once.
		mirrors := subscribe(t, sensor, api.MessageTopic("a", "to")+"/#")
		if err := from.Send(t.Context(), api.Message{To: "to", Text: "hello"}); err != nil {
			t.Fatal(err)
		}
		if heard := next(t, mirrors); heard != api.MessageTopic("a", "to")+"/from/a/from hello" {
			t.Errorf("shown: %q", heard)
		}
		if got := texts(t, to, 1); got[0] != "hello" {
			t.Errorf("received %q", got)
		}
		if n, err := to.Pending(t.Context()); n != 0 || err != nil {
			t.Errorf("%d more messages, %v", n, err)
		}

		// Topics.
		if err := to.Subscribe(t.Context(), "sensors/+"); err != nil {
			t.Fatal(err)
		}
		for i, publish := range []func(){
			func() { await(t, sensor.Publish("sensors/x", 1, false, "device")) },
			func() {
				if err := from.Publish(t.Context(), api.Publication{Topic: "sensors/y", Payload: []byte("module"), QoS: 1}); err != nil {
					t.Fatal(err)
				}
			},
		} {
			publish()
			m, err := to.Receive(within(t))
			if err != nil || m.Text != []string{"device", "module"}[i] || m.Topic != []string{"sensors/x", "sensors/y"}[i] {
				t.Errorf("published: %+v, %v", m, err)
			}
		}
		actuator := subscribe(t, sensor, "lamp")
		if err := from.Publish(t.Context(), api.Publication{Topic: "lamp", Payload: []byte("on"), QoS: 2}); err != nil {
			t.Fatal(err)
		}
		if heard := next(t, actuator); heard != "lamp on" {
			t.Errorf("the actuator heard %q", heard)
		}

		// States.
		states := subscribe(t, sensor, api.StateTopic("a", "to"))
		if err := h.Report(t.Context(), api.ModuleState{Module: "to", State: api.Running, Generation: 1}); err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(next(t, states), " ")
		var state api.ModuleState
		if err := json.Unmarshal([]byte(text), &state); err != nil || state.Host != status.Host || state.State != api.Running {
			t.Errorf("state: %s, %v", text, err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if heard := next(t, states); heard != api.StateTopic("a", "to")+" " {
			t.Errorf("after the end: %q", heard)
		}

		if err := from.Send(t.Context(), api.Message{To: "nobody", Text: "x"}); !errors.Is(err, api.ErrUnknown) {
			t.Errorf("send to a module that is not there: %v", err)
		}
	})
}

// The broker is killed and comes back. Modules talk on meanwhile; what a device sends afterwards arrives, and what it had
// sent before arrives once, as far as the broker keeps its own promises.
func TestExternalBrokerKilled(t *testing.T) {
	withBrokers(t, func(t *testing.T, k *peers.Broker) {
		b := open(t, at(k))
		h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"to"}, Limit: 5}, newConsole())
		to := sit(t, h, "a", "to", 1)
		sensor := device(t, b, "sensor", func(o *paho.ClientOptions) { o.SetMaxReconnectInterval(time.Second) })
		topic := api.MessageTopic("a", "to")
		for _, text := range numbers(0, 30) { // the mailbox holds 5
			await(t, sensor.Publish(topic, 1, false, text))
		}
		k.Kill()
		awaitStatus(t, b, func(s api.Status) bool { return s.Away != "" })
		from := sit(t, h, "a", "from", 1)
		sent := make(chan error, 2)
		go func() { sent <- from.Send(t.Context(), api.Message{To: "to", Text: "without a broker"}) }()
		var got []string
		for !slices.Contains(got, "without a broker") {
			got = append(got, texts(t, to, 1)...)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if err := from.Publish(t.Context(), api.Publication{Topic: "x", Payload: []byte("dropped")}); err != nil {
			t.Errorf("publish at QoS 0 while the broker is away: %v", err)
		}
		go func() {
			sent <- from.Publish(t.Context(), api.Publication{Topic: "x", Payload: []byte("waits"), QoS: 1})
		}()
		k.Start()
		awaitStatus(t, b, func(s api.Status) bool { return s.Away == "" })
		if err := <-sent; err != nil {
			t.Errorf("publish at QoS 1: %v", err)
		}
		// By another device: the first may not be back yet, and Paho then takes what it sends again for acknowledged.
		late := device(t, b, "late")
		for _, text := range numbers(30, 60) {
			await(t, late.Publish(topic, 1, false, text))
		}
		for !slices.Contains(got, "59") || k.Kind != "mosquitto" && len(deduplicated(got)) < 61 {
			got = append(got, texts(t, to, 1)...)
		}
		got = slices.DeleteFunc(got, func(s string) bool { return s == "without a broker" })
		// Some may have arrived twice: RabbitMQ numbers anew what it sends again; Mosquitto and NATS go back to what they had
		// saved, and send from there.
		once := deduplicated(got)
		if k.Kind == "mosquitto" { // it may have lost what it had not saved
			if !slices.Equal(once[len(once)-30:], numbers(30, 60)) || !slices.IsSortedFunc(once, byNumber) {
				t.Errorf("received %q", got)
			}
		} else if slices.SortFunc(once, byNumber); !slices.Equal(once, numbers(0, 60)) {
			t.Errorf("received %q", got)
		}
	})
}

func byNumber(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x - y
}

func deduplicated(all []string) (once []string) {
	for _, s := range all {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

func awaitStatus(t *testing.T, b *backend.Backend, enough func(api.Status) bool) api.Status {
	t.Helper()
	ctx := within(t)
	for {
		s, err := b.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if enough(s) {
			return s
		}
		select {
		case <-ctx.Done():
			t.Fatalf("status stays %+v", s)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// What devices send while the host is away waits at the broker, and is there for a module even before anybody runs it.
func TestMessagesWhileTheHostIsAway(t *testing.T) {
	withBrokers(t, func(t *testing.T, k *peers.Broker) {
		dir := t.TempDir()
		first := open(t, at(k), lasting(dir))
		h := attach(t, first, api.Attachment{Agent: "a", Modules: []string{"to", "gone"}}, newConsole())
		sit(t, h, "a", "to", 1)
		sensor := device(t, first, "sensor")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		for _, text := range numbers(0, 10) {
			await(t, sensor.Publish(api.MessageTopic("a", "to"), 2, false, text))
			await(t, sensor.Publish(api.MessageTopic("a", "gone"), 2, false, text))
		}
		second := open(t, at(k), lasting(dir))
		ctx := within(t)
		for waiting := 0; waiting < 10; {
			messages, err := second.Waiting(ctx, "a", "to", false)
			if err != nil {
				t.Fatal(err)
			}
			waiting = len(messages)
		}
		h = attach(t, second, api.Attachment{Agent: "a", Modules: []string{"to"}}, newConsole())
		if got := texts(t, sit(t, h, "a", "to", 1), 10); !slices.Equal(got, numbers(0, 10)) {
			t.Errorf("received %q", got)
		}
	})
}

// A module that does not receive holds up no other.
func TestAFullMailboxHoldsUpNoOther(t *testing.T) {
	withBrokers(t, func(t *testing.T, k *peers.Broker) {
		dir := t.TempDir()
		b := open(t, at(k), lasting(dir))
		h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"slow", "quick"}, Limit: 10}, newConsole())
		slow, quick := sit(t, h, "a", "slow", 1), sit(t, h, "a", "quick", 1)
		sensor := device(t, b, "sensor")
		const n = 200
		for i := range n {
			await(t, sensor.Publish(api.MessageTopic("a", "slow"), 1, false, fmt.Sprint(i)))
		}
		await(t, sensor.Publish(api.MessageTopic("a", "quick"), 1, false, "here"))
		if got := texts(t, quick, 1); got[0] != "here" {
			t.Errorf("received %q", got)
		}
		if got := texts(t, slow, 100); !slices.Equal(got, numbers(0, 100)) {
			t.Errorf("received %q", got)
		}
		// The rest outlives the backend, and waits for an agent that is run with other settings.
		if err := slow.Close(api.Finished); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open(t, at(k), lasting(dir))
		h = attach(t, b, api.Attachment{Agent: "a", Modules: []string{"slow"}, Limit: 20}, newConsole())
		if got := texts(t, sit(t, h, "a", "slow", 1), n-100); !slices.Equal(got, numbers(100, n)) {
			t.Errorf("received %q", got)
		}
	})
}

// What this host's modules say is heard in the process, once, and so is what devices publish.
func TestListenAtAnExternalBroker(t *testing.T) {
	k := peers.Mosquitto(t, peers.BrokerOptions{})
	b := open(t, at(k))
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"from", "to"}}, newConsole())
	from := sit(t, h, "a", "from", 1)
	ctx, cancel := context.WithCancel(within(t))
	heard := make(chan api.Heard, 100)
	var listening sync.WaitGroup
	listening.Go(func() { b.Listen(ctx, api.MessageTopic("a", "#"), func(h api.Heard) { heard <- h }) })
	defer listening.Wait()
	defer cancel()
	<-heard
	if err := from.Send(ctx, api.Message{To: "to", Text: "one"}); err != nil {
		t.Fatal(err)
	}
	await(t, device(t, b, "sensor").Publish(api.MessageTopic("a", "to"), 1, false, "two"))
	for _, want := range []api.Heard{{Payload: []byte("one"), From: "a/from"}, {Payload: []byte("two")}} {
		if got := <-heard; got.Topic != api.MessageTopic("a", "to") || got.From != want.From || string(got.Payload) != string(want.Payload) {
			t.Errorf("heard %+v", got)
		}
	}
}

// A host that was killed has left states behind: the next one clears them.
func TestStatesOfAKilledHost(t *testing.T) {
	k := peers.Mosquitto(t, peers.BrokerOptions{})
	dir := t.TempDir()
	b := open(t, at(k), lasting(dir))
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"m"}}, newConsole())
	if err := h.Report(t.Context(), api.ModuleState{Module: "m", State: api.Running}); err != nil {
		t.Fatal(err)
	}
	sensor := device(t, b, "sensor")
	states := subscribe(t, sensor, "coma/agents/#")
	if !strings.Contains(next(t, states), "running") {
		t.Fatal("no state")
	}
	if err := b.Close(); err != nil { // without a word of the agent's host
		t.Fatal(err)
	}
	open(t, at(k), lasting(dir))
	if heard := next(t, states); heard != api.StateTopic("a", "m")+" " {
		t.Errorf("after the next start: %q", heard)
	}
}

func TestHostsOfOneMachine(t *testing.T) {
	k := peers.Mosquitto(t, peers.BrokerOptions{})
	dir := t.TempDir()
	names := map[string]bool{}
	for range 3 {
		s, err := open(t, at(k), lasting(dir)).Status(t.Context())
		if err != nil || names[s.Host] {
			t.Fatalf("status %+v, %v", s, err)
		}
		names[s.Host] = true
	}
	named := open(t, at(k), lasting(dir), func(o *backend.Options) { o.Uplink.HostName = "kitchen" })
	if s, err := named.Status(t.Context()); err != nil || s.Host != "kitchen" {
		t.Errorf("status %+v, %v", s, err)
	}
	_, err := backend.Open(backend.Options{Folders: in(dir), Uplink: backend.Uplink{URL: k.URL(), HostName: "a/b"}})
	if !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a name with a slash: %v", err)
	}
}

// No password is shown.
func TestExternalBrokersPassword(t *testing.T) {
	k := peers.Mosquitto(t, peers.BrokerOptions{User: "u", Password: "secret"})
	b := open(t, at(k))
	s, err := b.Status(t.Context())
	if err != nil || strings.Contains(fmt.Sprintf("%+v", s), "secret") || s.Broker != "mqtt://"+k.Addr() {
		t.Errorf("status %+v, %v", s, err)
	}
	h := attach(t, b, api.Attachment{Agent: "a"}, newConsole())
	if got := h.Endpoint().Broker; got != k.URL() {
		t.Errorf("modules are told %q", got)
	}
}
