package exchange

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

// testHost is a host with its mailboxes at an unreliable broker.
type testHost struct {
	*Exchange
	place *place
	conn  *connection
}

func startHost(t *testing.T, broker *unreliable, name, dir string, opt mailbox.Options, modules ...string) *testHost {
	t.Helper()
	place := openPlace(t, dir, opt, modules...)
	instance := api.NewID()
	conn := broker.client(name, instance)
	x, err := Open(Options{Host: name, Instance: instance, Dir: filepath.Join(dir, "exchange"), Broker: conn, Local: place})
	if err != nil {
		t.Fatal(err)
	}
	h := &testHost{x, place, conn}
	h.connect()
	return h
}

func (h *testHost) connect() {
	h.conn.connect()
	h.Connected()
}

func (h *testHost) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(h.Close(), h.place.store.Close()); err != nil {
		t.Error(err)
	}
	h.conn.cut()
}

func (h *testHost) box(t *testing.T, module string) *mailbox.Box {
	t.Helper()
	box, ok := h.place.store.Lookup(module)
	if !ok {
		t.Fatalf("no mailbox of %s", module)
	}
	return box
}

func TestMessageCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newUnreliable(1)
		a := startHost(t, broker, "a", t.TempDir(), mailbox.Options{}, "A/one")
		defer a.stop(t)
		b := startHost(t, broker, "b", t.TempDir(), mailbox.Options{}, "A/two")
		defer b.stop(t)
		synctest.Wait()
		sent := api.Message{
			ID: "id", From: "A/one", To: "A/two", Time: time.Unix(5, 7).UTC(), Text: "not UTF-8: \xff\x00", ContentType: "x/y",
			Headers: map[string]string{"traceparent": "00"}, ReplyTo: "A/one", CorrelationID: "c", Deadline: time.Unix(9, 0).UTC(),
		}
		if err := a.Send(t.Context(), sent, false, false); err != nil {
			t.Fatal(err)
		}
		got, err := b.box(t, "A/two").Open().Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent.Seq = got.Seq
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", sent) {
			t.Errorf("sent\n%+v, received\n%+v", sent, got)
		}
		synctest.Wait()
		if box := a.outboxes[0].store.Box("A/two"); box.Pending()+box.InHand() != 0 {
			t.Errorf("%d messages are left in the outbox", box.Pending()+box.InHand())
		}
		if err := a.Send(t.Context(), api.Message{ID: "x", To: "A/three"}, false, false); !errors.Is(err, api.ErrUnknown) {
			t.Errorf("a message to a module that nobody has: %v", err)
		}
		if host, there := a.Runs("A/two"); host != "b" || !there {
			t.Errorf("A/two runs at %q, there: %t", host, there)
		}
	})
}

func TestLargeMessagesCrossInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newUnreliable(2)
		broker.faults(0.02, 0.05, 20*time.Millisecond)
		a := startHost(t, broker, "a", t.TempDir(), mailbox.Options{}, "A/one")
		defer a.stop(t)
		b := startHost(t, broker, "b", t.TempDir(), mailbox.Options{}, "A/two")
		defer b.stop(t)
		time.Sleep(10 * time.Second)
		sizes := []int{1, mailBytes - 1, mailBytes, mailBytes + 1, 2 * mailBytes, 5, 3*mailBytes + 17, api.MaxMessageBytes, 7}
		for i, size := range sizes {
			text := strings.Repeat(string(rune('a'+i)), size)
			if err := a.Send(t.Context(), api.Message{ID: api.NewID(), To: "A/two", Text: text}, false, false); err != nil {
				t.Fatal(err)
			}
		}
		r := b.box(t, "A/two").Open()
		for i, size := range sizes {
			m, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.Text != strings.Repeat(string(rune('a'+i)), size) {
				t.Fatalf("message %d has %d bytes (want %d)", i, len(m.Text), size)
			}
		}
	})
}

func TestOneFullMailboxHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newUnreliable(3)
		a := startHost(t, broker, "a", t.TempDir(), mailbox.Options{}, "A/one")
		defer a.stop(t)
		b := startHost(t, broker, "b", t.TempDir(), mailbox.Options{Limit: 10}, "A/slow", "A/fast")
		defer b.stop(t)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		fast := newConsumer()
		go fast.read(ctx, b.box(t, "A/fast"))

		// The slow module's mailbox, and then the outbox, take what they can; then the sender waits.
		accepted := 0
		for {
			short, end := context.WithTimeout(ctx, time.Minute)
			err := a.Send(short, message("A/slow", "one", accepted+1), false, false)
			end()
			if err != nil {
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "host b") {
					t.Fatal(err)
				}
				break
			}
			accepted++
		}
		if accepted < 1000 || accepted > 1020 {
			t.Errorf("%d messages were accepted for a module that takes none", accepted)
		}
		for n := range 3000 {
			if err := a.Send(ctx, message("A/fast", "one", n+1), false, false); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		fast.check(t, "one", 3000)

		slow := newConsumer()
		go slow.read(ctx, b.box(t, "A/slow"))
		time.Sleep(time.Minute)
		slow.check(t, "one", accepted)
	})
}

func TestMessagesWaitForAHostThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newUnreliable(4)
		dirA, dirB := t.TempDir(), t.TempDir()
		a := startHost(t, broker, "a", dirA, mailbox.Options{}, "A/one")
		b := startHost(t, broker, "b", dirB, mailbox.Options{}, "A/two")
		synctest.Wait()
		b.stop(t)
		synctest.Wait()
		for n := range 100 {
			if err := a.Send(t.Context(), message("A/two", "one", n+1), false, false); err != nil {
				t.Fatal(err)
			}
		}
		// The sender's host is restarted, too, and the broker, which forgets everything.
		a.stop(t)
		broker.kill()
		a = startHost(t, broker, "a", dirA, mailbox.Options{}, "A/one")
		defer a.stop(t)
		if err := a.Send(t.Context(), message("A/two", "one", 101), false, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		b = startHost(t, broker, "b", dirB, mailbox.Options{}, "A/two")
		defer b.stop(t)
		c := newConsumer()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.read(ctx, b.box(t, "A/two"))
		time.Sleep(time.Second)
		c.check(t, "one", 101)
	})
}

func TestSecondHostOfANameIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newUnreliable(5)
		first := startHost(t, broker, "same", t.TempDir(), mailbox.Options{}, "A/one")
		defer first.stop(t)
		synctest.Wait()
		second := startHost(t, broker, "same", t.TempDir(), mailbox.Options{}, "A/two")
		defer second.stop(t)
		// The broker lets only one of them be connected.
		for range 10 {
			first.conn.cut()
			second.conn.cut()
			time.Sleep(time.Second)
			first.connect()
			second.connect()
			time.Sleep(time.Second)
		}
		if err := first.Err(); err != nil {
			t.Errorf("the first: %v", err)
		}
		if err := second.Err(); !errors.Is(err, api.ErrInUse) {
			t.Errorf("the second: %v", err)
		}
	})
}

func TestLostStateBeginsNewStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newUnreliable(6)
		a := startHost(t, broker, "a", t.TempDir(), mailbox.Options{}, "A/one")
		b := startHost(t, broker, "b", t.TempDir(), mailbox.Options{}, "A/two")
		synctest.Wait()
		c := newConsumer()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.read(ctx, b.box(t, "A/two"))
		send := func(sender string, n int) {
			t.Helper()
			for i := range n {
				if err := a.Send(ctx, message("A/two", sender, i+1), false, false); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		send("first", 50)
		a.stop(t)
		a = startHost(t, broker, "a", t.TempDir(), mailbox.Options{}, "A/one")
		defer a.stop(t)
		time.Sleep(time.Second)
		send("second", 20)
		// The receiver loses its state, and with it the table.
		b.stop(t)
		b = startHost(t, broker, "b", t.TempDir(), mailbox.Options{}, "A/two")
		defer b.stop(t)
		c.seq = 0
		go c.read(ctx, b.box(t, "A/two"))
		time.Sleep(time.Second)
		send("third", 30)
		c.check(t, "first", 50)
		c.check(t, "second", 20)
		c.check(t, "third", 30)
	})
}
