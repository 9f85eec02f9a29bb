package coma_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/comatest"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// patience is how long a message may take on a busy machine.
const patience = 20 * time.Second

// must fails the test if a call that is not what it is about fails.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, agent *coma.Agent) coma.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	msg, err := agent.Receive(ctx)
	must(t, err)
	return msg
}

func pending(t *testing.T, agent *coma.Agent) int {
	t.Helper()
	n, err := agent.Pending(t.Context())
	must(t, err)
	return n
}

func TestMessagesWaitInOrder(t *testing.T) {
	host := comatest.Start(t, "ada", "bob")
	ada, bob := host.Agent("ada"), host.Agent("bob")
	if _, ok, err := bob.TryReceive(t.Context()); ok || err != nil {
		t.Fatalf("an empty mailbox has a message, or %v", err)
	}
	began := time.Now()
	texts := []string{"one", "", "three\nlines\n", "\x00\xff any bytes", "fünf 🌱"}
	for _, text := range texts {
		must(t, ada.Send(t.Context(), "bob", text))
	}
	ids := map[string]bool{}
	for i, text := range texts {
		if n := pending(t, bob); n != len(texts)-i {
			t.Errorf("%d messages wait before the one at %d", n, i)
		}
		var msg coma.Message
		if i%2 == 0 {
			msg = receive(t, bob)
		} else {
			var ok bool
			var err error
			if msg, ok, err = bob.TryReceive(t.Context()); !ok || err != nil {
				t.Fatalf("no message at %d: %v", i, err)
			}
		}
		if msg.Text != text || msg.From != "test/ada" || msg.To != "test/bob" || msg.Topic != "" || msg.Deaths != 0 {
			t.Errorf("message %d is %+v, want %q", i, msg, text)
		}
		if msg.Time.Before(began) || msg.Time.After(time.Now()) || ids[msg.ID] || msg.ID == "" {
			t.Errorf("message %d has time %s and ID %q", i, msg.Time, msg.ID)
		}
		ids[msg.ID] = true
	}
	if n := pending(t, bob); n != 0 {
		t.Errorf("%d messages wait besides the one received last", n)
	}
	if _, ok, err := bob.TryReceive(t.Context()); ok || err != nil {
		t.Errorf("one more message, or %v", err)
	}
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	agent := comatest.Start(t, "m").Agent("m")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := agent.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Receive: %v, want DeadlineExceeded", err)
	}
	// A Receive that gave up takes nothing with it.
	must(t, agent.Send(t.Context(), "m", "to myself"))
	if msg := receive(t, agent); msg.Text != "to myself" || msg.From != "test/m" {
		t.Errorf("received %+v", msg)
	}
}

func TestJSON(t *testing.T) {
	type reading struct {
		Sensor string
		Value  float64
	}
	host := comatest.Start(t, "ada", "bob")
	ada, bob := host.Agent("ada"), host.Agent("bob")
	sent := reading{"soil <1>", 12.5}
	must(t, ada.SendJSON(t.Context(), "bob", sent))
	msg := receive(t, bob)
	var got reading
	if err := msg.Decode(&got); err != nil || got != sent || msg.ContentType != "application/json" {
		t.Errorf("%+v arrived as %+v (%s), %v", sent, got, msg.ContentType, err)
	}
	must(t, ada.Send(t.Context(), "bob", "twelve"))
	msg = receive(t, bob)
	if err := msg.Decode(&got); err == nil || !strings.Contains(err.Error(), "test/ada") || !strings.Contains(err.Error(), msg.ID) {
		t.Errorf("decode %q: %v, want an error that names the message and who sent it", msg.Text, err)
	}
	if err := ada.SendJSON(t.Context(), "bob", math.NaN()); err == nil || !strings.Contains(err.Error(), "bob") {
		t.Errorf("send NaN: %v", err)
	}
	if n := pending(t, bob); n != 0 {
		t.Errorf("what could not be encoded was sent")
	}
}

func TestSendMessage(t *testing.T) {
	host := comatest.Start(t, "ada", "bob")
	deadline := time.Now().Add(time.Hour).Round(time.Microsecond)
	sent := coma.Message{
		ID: "mine", To: "bob", Text: "when?", ContentType: "text/plain", Headers: map[string]string{"traceparent": "00-1-2-01"},
		ReplyTo: "test/ada", CorrelationID: "7", Deadline: deadline,
		From: "somebody else", Topic: "a/topic", Time: time.Unix(0, 0), Deaths: 3, // the host's to say
	}
	must(t, host.Agent("ada").SendMessage(t.Context(), sent))
	got := receive(t, host.Agent("bob"))
	if got.ID != "mine" || got.Text != sent.Text || got.ContentType != sent.ContentType || got.Headers["traceparent"] != "00-1-2-01" ||
		got.ReplyTo != sent.ReplyTo || got.CorrelationID != sent.CorrelationID || !got.Deadline.Equal(deadline) {
		t.Errorf("%+v arrived as %+v", sent, got)
	}
	if got.From != "test/ada" || got.To != "test/bob" || got.Topic != "" || got.Deaths != 0 || got.Age() > time.Hour {
		t.Errorf("the host let the sender say %+v", got)
	}
}

func TestSendRefuses(t *testing.T) {
	agent := comatest.Start(t, "listener", "memory").Agent("listener")
	large := strings.Repeat("x", api.MaxMessageBytes+1)
	tests := []struct {
		to, text string
		want     error
		says     string
	}{
		{"listner", "hi", coma.ErrUnknown, "listener"},
		{"test/listner", "hi", coma.ErrUnknown, "listener"},
		{"tset/listener", "hi", coma.ErrUnknown, "test"},
		{"a+b", "hi", nil, "a+b"},
		{"", "hi", nil, "send"},
		{"memory", large, coma.ErrTooLarge, fmt.Sprint(api.MaxMessageBytes)},
	}
	for _, test := range tests {
		err := agent.Send(t.Context(), test.to, test.text)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("send to %q: %v, want %v that says %q", test.to, err, test.want, test.says)
		}
	}
	if err := agent.Send(t.Context(), "memory", large[1:]); err != nil {
		t.Errorf("send the largest message: %v", err)
	}
}

func TestKeep(t *testing.T) {
	type world struct {
		Hour  float64
		Names []string
	}
	host := comatest.Start(t, "m", "other")
	agent := host.Agent("m")
	var w world
	if ok, err := agent.Kept(t.Context(), "world", &w); ok || err != nil {
		t.Fatalf("kept from the start: %v, %v", ok, err)
	}
	must(t, agent.Keep(t.Context(), "world", world{7.5, []string{"Ada", "Bob"}}))
	must(t, agent.Keep(t.Context(), "n", 3))
	if ok, err := agent.Kept(t.Context(), "world", &w); !ok || err != nil || w.Hour != 7.5 || len(w.Names) != 2 {
		t.Errorf("kept %+v, %v, %v", w, ok, err)
	}
	if ok, err := host.Agent("other").Kept(t.Context(), "world", &w); ok || err != nil {
		t.Errorf("another module has it, too: %v, %v", ok, err)
	}
	var text string
	if ok, err := agent.Kept(t.Context(), "n", &text); ok || err == nil || !strings.Contains(err.Error(), `"n"`) {
		t.Errorf("a number as text: %v, %v", ok, err)
	}
	must(t, agent.Keep(t.Context(), "world", nil))
	if ok, err := agent.Kept(t.Context(), "world", &w); ok || err != nil {
		t.Errorf("kept after it was removed: %v, %v", ok, err)
	}
	must(t, agent.Keep(t.Context(), "world", nil)) // twice is no error

	refused := []struct {
		key  string
		v    any
		want error
	}{
		{"", 1, coma.ErrInvalid},
		{strings.Repeat("k", 257), 1, coma.ErrInvalid},
		{"large", strings.Repeat("x", api.MaxKeepBytes), coma.ErrTooLarge}, // with its quotes it is over
		{"channel", make(chan int), nil},
	}
	for _, r := range refused {
		if err := agent.Keep(t.Context(), r.key, r.v); err == nil || r.want != nil && !errors.Is(err, r.want) {
			t.Errorf("keep %.20q: %v, want %v", r.key, err, r.want)
		}
	}
}

func TestTheConsole(t *testing.T) {
	host := comatest.Start(t, "m")
	agent := host.Agent("m")
	host.Answer("Ada")
	if name, err := agent.Input(t.Context(), "who? "); err != nil || name != "Ada" {
		t.Errorf("answered %q, %v", name, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := agent.Input(ctx, "who else? "); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody answers: %v", err)
	}
	agent.Print("piece", " by ", 1, 2, "\n")
	if host.Printed() != "piece by 1 2\n" {
		t.Errorf("printed %q", host.Printed())
	}
}
