package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

// carried attaches agent a with a module "from", which is seated, and a module "py", which is an MQTT client and runs.
func carried(t *testing.T, b *backend.Backend, change ...func(*api.Attachment)) (h api.Host, from api.Session) {
	t.Helper()
	as := api.Attachment{Agent: "a", Modules: []string{"from", "py"}, MQTT: []string{"py"}}
	for _, c := range change {
		c(&as)
	}
	h = attach(t, b, as, newConsole())
	runs(t, h)
	return h, sit(t, h, "a", "from", 1)
}

func runs(t *testing.T, h api.Host) {
	t.Helper()
	state := api.ModuleState{Module: "py", State: api.Running, Generation: 1, Mailbox: "mqtt"}
	if err := h.Report(within(t), state); err != nil {
		t.Fatal(err)
	}
}

var pyTopic = api.MessageTopic("a", "py")

// py is a connection of the module's: each message that it gets is in heard, and acknowledged when the test does so.
type py struct {
	paho.Client
	heard chan paho.Message
}

func connectPy(t *testing.T, b *backend.Backend, id string, qos byte) py {
	t.Helper()
	heard := make(chan paho.Message, 20000)
	c := device(t, b, id, func(o *paho.ClientOptions) { o.SetAutoAckDisabled(true).SetAutoReconnect(false) })
	await(t, c.Subscribe(pyTopic, qos, func(_ paho.Client, m paho.Message) { heard <- m }))
	return py{c, heard}
}

func (p py) next(t *testing.T, want string) paho.Message {
	t.Helper()
	select {
	case m := <-p.heard:
		if string(m.Payload()) != want {
			t.Fatalf("heard %q, want %q", m.Payload(), want)
		}
		return m
	case <-within(t).Done():
		t.Fatalf("heard nothing, want %q", want)
		return nil
	}
}

func send(t *testing.T, s api.Session, to string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := s.Send(within(t), api.Message{To: to, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
}

// settled waits until the mailbox of py holds n messages.
func settled(t *testing.T, b *backend.Backend, n int) {
	t.Helper()
	ctx := within(t)
	for look := time.NewTicker(time.Millisecond); ; {
		boxes, err := b.Mailboxes(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(boxes, func(m api.Mailbox) bool { return m.Module == "py" })
		if boxes[i].Waiting == n {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("the mailbox holds %d messages, want %d", boxes[i].Waiting, n)
		}
	}
}

// TestMessagesWaitForAModuleThatIsAnMQTTClient: nothing is lost that is sent while it reloads, and what it had not
// acknowledged when it died comes again first.
func TestMessagesWaitForAModuleThatIsAnMQTTClient(t *testing.T) {
	for _, id := range []string{"a/py", "some client"} {
		t.Run(id, func(t *testing.T) {
			b := open(t)
			h, from := carried(t, b)
			ended := func(outcome api.Outcome) {
				t.Helper()
				if err := h.Ended(within(t), api.Identity{Agent: "a", Module: "py", Generation: 1}, outcome); err != nil {
					t.Fatal(err)
				}
				runs(t, h)
			}
			send(t, from, "py", "1", "2", "3")
			one := connectPy(t, b, id, 2)
			one.next(t, "1").Ack()
			settled(t, b, 2)
			one.next(t, "2")
			one.next(t, "3")
			one.Disconnect(0)
			ended(api.Died)
			send(t, from, "py", "4")
			settled(t, b, 3)
			two := connectPy(t, b, id, 2)
			for _, want := range []string{"2", "3", "4"} {
				two.next(t, want).Ack()
			}
			settled(t, b, 0)
			two.Disconnect(0)
			ended(api.Stopped)
			send(t, from, "py", "5")
			three := connectPy(t, b, id, 2)
			three.next(t, "5").Ack()
			send(t, from, "py", "6")
			three.next(t, "6").Ack()
			settled(t, b, 0)
		})
	}
}

// TestAModuleThatIsAnMQTTClientSpeaks: what other clients publish on its topic waits as well, and what it publishes has its
// name.
func TestAModuleThatIsAnMQTTClientSpeaks(t *testing.T) {
	b := open(t)
	_, from := carried(t, b)
	all := subscribe(t, device(t, b, "observer"), "concurrent_modular_agent/#")
	sensor := device(t, b, "sensor")
	await(t, sensor.Publish(pyTopic, 2, false, "dry"))
	if got := next(t, all); got != pyTopic+" dry" {
		t.Errorf("the observer heard %q", got)
	}
	module := connectPy(t, b, "a/py", 2)
	module.next(t, "dry").Ack()
	await(t, module.Publish(api.MessageTopic("a", "from"), 2, false, "watered"))
	got, err := from.Receive(within(t))
	if err != nil || got.Text != "watered" || got.From != "a/py" {
		t.Errorf("received %+v, %v", got, err)
	}
	send(t, from, got.From, "thanks")
	module.next(t, "thanks").Ack()
	for _, want := range []string{api.MessageTopic("a", "from") + " watered", pyTopic + " thanks"} {
		if got := next(t, all); got != want {
			t.Errorf("the observer heard %q, want %q", got, want)
		}
	}
	if len(all) > 0 {
		t.Errorf("the observer also heard %q", <-all)
	}
}

// TestListenersByNameAreNotTheModule once the module's own client has been there: they miss nothing, and take nothing.
func TestListenersByNameAreNotTheModule(t *testing.T) {
	b := open(t)
	h, from := carried(t, b)
	early := subscribe(t, device(t, b, "early"), pyTopic)
	module := connectPy(t, b, "a/py", 2)
	late := subscribe(t, device(t, b, "late"), pyTopic)
	send(t, from, "py", "1")
	for _, heard := range []<-chan string{early, late} {
		if got := next(t, heard); got != pyTopic+" 1" {
			t.Errorf("a listener heard %q", got)
		}
	}
	module.next(t, "1").Ack()
	settled(t, b, 0)
	module.Disconnect(0)
	if err := h.Ended(within(t), api.Identity{Agent: "a", Module: "py", Generation: 1}, api.Stopped); err != nil {
		t.Fatal(err)
	}
	send(t, from, "py", "2")
	next(t, early)
	next(t, late)
	settled(t, b, 1)
	connectPy(t, b, "a/py", 2).next(t, "2").Ack()
	settled(t, b, 0)

	// When nobody runs the agent any more, its client is one like others.
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, device(t, b, "sensor").Publish(pyTopic, 2, false, "3"))
	if got := next(t, late); got != pyTopic+" 3" {
		t.Errorf("a listener heard %q", got)
	}
}

// TestTwoClientsOfOneModule: each gets each message, which leaves when both have acknowledged it, or the one that is left.
func TestTwoClientsOfOneModule(t *testing.T) {
	b := open(t)
	_, from := carried(t, b)
	one, two := connectPy(t, b, "one", 1), connectPy(t, b, "two", 0)
	send(t, from, "py", "1", "2")
	held := one.next(t, "1")
	one.next(t, "2")
	two.next(t, "1")
	two.next(t, "2")
	settled(t, b, 2)
	held.Ack()
	settled(t, b, 1)
	one.Disconnect(0)
	settled(t, b, 0) // two has had it
	send(t, from, "py", "3")
	two.next(t, "3")
	await(t, two.Unsubscribe(pyTopic))
	send(t, from, "py", "4")
	settled(t, b, 1)
}

// TestAModuleThatIsAnMQTTClientIsPushedBackFor: its senders wait while its mailbox is full, and it holds no more than a
// bounded number of messages. All arrive in order, while it sends as many itself.
func TestAModuleThatIsAnMQTTClientIsPushedBackFor(t *testing.T) {
	b := open(t)
	_, from := carried(t, b, func(as *api.Attachment) { as.Limit = 500 })
	for qos := range byte(3) {
		t.Run(fmt.Sprint(qos), func(t *testing.T) {
			heard := make(chan paho.Message, 20000)
			module := device(t, b, "a/py")
			await(t, module.Subscribe(pyTopic, qos, func(_ paho.Client, m paho.Message) {
				module.Publish(api.MessageTopic("a", "from"), 2, false, m.Payload())
				heard <- m
			}))
			const n = 2000
			sent := make(chan error, 1)
			go func() {
				for i := range n {
					if err := from.Send(context.Background(), api.Message{To: "py", Text: fmt.Sprint(i)}); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			for i := range n {
				if m := <-heard; string(m.Payload()) != fmt.Sprint(i) {
					t.Fatalf("message %d is %q", i, m.Payload())
				}
				if m, err := from.Receive(within(t)); err != nil || m.Text != fmt.Sprint(i) {
					t.Fatalf("answer %d is %+v, %v", i, m, err)
				}
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			settled(t, b, 0)
			module.Disconnect(0)
		})
	}
}

// TestWhatAModuleDiedOf: a module that says which message it has in hand has it counted, as any module has.
func TestWhatAModuleDiedOf(t *testing.T) {
	b := open(t)
	h, from := carried(t, b)
	send(t, from, "py", "poison", "fine")
	waiting, err := b.Waiting(within(t), "a", "py", false)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		module := connectPy(t, b, "a/py", 2)
		module.next(t, "poison")
		await(t, module.Publish("$coma/hand", 0, false, waiting[0].ID))
		await(t, module.Publish("probe", 1, false, "")) // what was published before has been read
		module.Disconnect(0)
		if err := h.Ended(within(t), api.Identity{Agent: "a", Module: "py", Generation: 1}, api.Died); err != nil {
			t.Fatal(err)
		}
		runs(t, h)
	}
	connectPy(t, b, "a/py", 2).next(t, "fine").Ack()
	dead, err := b.Waiting(within(t), "a", "py", true)
	if err != nil || len(dead) != 1 || dead[0].Text != "poison" || dead[0].Deaths != 5 {
		t.Errorf("dead letters: %+v, %v", dead, err)
	}
}

// TestAModuleThatIsAnMQTTClientOutlivesTheBackend: what was not acknowledged is still there.
func TestAModuleThatIsAnMQTTClientOutlivesTheBackend(t *testing.T) {
	dirs := in(t.TempDir())
	here := func(o *backend.Options) { o.Folders = dirs }
	first := open(t, here)
	_, from := carried(t, first)
	send(t, from, "py", "1", "2", "3")
	module := connectPy(t, first, "a/py", 2)
	module.next(t, "1").Ack()
	settled(t, first, 2)
	module.next(t, "2")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, here)
	carried(t, second)
	module = connectPy(t, second, "a/py", 2)
	for _, want := range []string{"2", "3"} {
		module.next(t, want).Ack()
	}
	settled(t, second, 0)
}

// TestAPersistentSessionTakesItsMessagesBackUp: a client that asks for its old session gets what it had not acknowledged
// in order, once.
func TestAPersistentSessionTakesItsMessagesBackUp(t *testing.T) {
	b := open(t)
	_, from := carried(t, b)
	var heard chan string
	connect := func() paho.Client {
		heard = make(chan string, 100)
		mine := heard
		return device(t, b, "a/py", func(o *paho.ClientOptions) {
			o.SetCleanSession(false).SetAutoReconnect(false).SetAutoAckDisabled(true)
			o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { mine <- string(m.Payload()) }) // none is acknowledged
		})
	}
	c := connect()
	await(t, c.Subscribe(pyTopic, 1, nil))
	send(t, from, "py", "1", "2", "3")
	for _, want := range []string{"1", "2", "3"} {
		if got := next(t, heard); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
	c.Disconnect(0)
	send(t, from, "py", "4")
	connect()
	var got []string
	for range 4 {
		got = append(got, next(t, heard))
	}
	if strings.Join(got, " ") != "1 2 3 4" {
		t.Errorf("heard %q", got)
	}
}
