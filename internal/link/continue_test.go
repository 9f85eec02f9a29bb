package link_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

func join(t *testing.T, address string, mode link.Mode) *link.Session {
	t.Helper()
	s, err := link.Join(within(t), address, "", api.Identity{Agent: "a", Module: "m", Generation: 1}, mode)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deliver receives one message.
func deliver(t *testing.T, s *link.Session, want string) {
	t.Helper()
	_, err := s.Deliver(within(t), true, func(m api.Message) error {
		if m.Text != want {
			t.Errorf("received %q, want %q", m.Text, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestContinueOverLostConnections: the connection is lost while one waits, while one has a message in hand, and while a
// guest is there.
func TestContinueOverLostConnections(t *testing.T) {
	b, _, address := host(t, api.Attachment{Modules: []string{"m", "n"}})
	c, through := newCuts(t, address)
	ctx := within(t)
	post := func(text string) {
		t.Helper()
		if err := b.Post(ctx, "cli", api.Message{To: "a/m", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	s := join(t, through, link.Continue)
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		if _, err := s.Deliver(ctx, true, func(m api.Message) error {
			if m.Text != "0" {
				t.Errorf("received %q", m.Text)
			}
			c.cut() // what is in hand is told to the next connection
			return nil
		}); err != nil {
			t.Error(err)
		}
	}()
	c.cut()
	post("0")
	<-waits
	post("1")
	deliver(t, s, "1")
	c.cut()
	post("2")
	if err := s.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	next := join(t, through, link.Continue)
	deliver(t, next, "2") // and "1" is finished with
	guest := join(t, through, link.Guest)
	c.cut()
	if err := guest.Send(ctx, api.Message{To: "n", Text: "x"}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(guest.Leave(ctx), next.Leave(ctx)); err != nil {
		t.Error(err)
	}
	if waiting, err := b.Waiting(ctx, "a", "n", false); err != nil || len(waiting) != 1 || waiting[0].From != "a/m" {
		t.Errorf("n has %+v, %v", waiting, err)
	}
	if waiting, err := b.Waiting(ctx, "a", "m", false); err != nil || len(waiting) != 1 || waiting[0].Text != "2" {
		t.Errorf("m has %+v, %v", waiting, err)
	}
}

// TestContinueKilled kills the program that receives with kill -9: what it had not handed on is not lost.
func TestContinueKilled(t *testing.T) {
	b, h, address := host(t, api.Attachment{Modules: []string{"m"}})
	ctx := within(t)
	if err := b.Post(ctx, "cli", api.Message{To: "a/m", Text: "0"}); err != nil {
		t.Fatal(err)
	}
	receiver, _, out := process(t, continueVariable, address)
	if !out.Scan() || out.Text() != "delivering" {
		t.Fatalf("%q, %v", out.Text(), out.Err())
	}
	if err := receiver.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var killed *exec.ExitError
	if err := receiver.Wait(); !errors.As(err, &killed) {
		t.Fatal(err)
	}
	s := join(t, address, link.Continue)
	deliver(t, s, "0")
	if err := s.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.Ended(ctx, api.Identity{Agent: "a", Module: "m", Generation: 1}, api.Finished); err != nil {
		t.Fatal(err)
	}
	if waiting, err := b.Waiting(ctx, "a", "m", false); err != nil || len(waiting) != 0 {
		t.Errorf("there is %+v, %v", waiting, err)
	}
}

// beReceiver takes a message and hangs before it has handed it on.
func beReceiver(address string) error {
	s, err := link.Join(context.Background(), address, "", api.Identity{Agent: "a", Module: "m", Generation: 1}, link.Continue)
	if err != nil {
		return err
	}
	_, err = s.Deliver(context.Background(), true, func(api.Message) error {
		os.Stdout.WriteString("delivering\n")
		select {}
	})
	return err
}

// TestContinueOfAModuleThatIsToStop: who receives then finishes with the message in hand and gets no other; nor does who
// receives already. The next generation is not concerned.
func TestContinueOfAModuleThatIsToStop(t *testing.T) {
	b, h, address := host(t, api.Attachment{Modules: []string{"m"}})
	ctx := within(t)
	post := func(text string) {
		t.Helper()
		if err := b.Post(ctx, "cli", api.Message{To: "a/m", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	stopping := func(generation int) {
		t.Helper()
		if err := h.Report(ctx, api.ModuleState{Module: "m", State: api.Stopping, Generation: generation}); err != nil {
			t.Fatal(err)
		}
	}
	stopped := func(s *link.Session) {
		t.Helper()
		_, err := s.Deliver(ctx, true, func(m api.Message) error {
			t.Errorf("received %q", m.Text)
			return nil
		})
		if !errors.Is(err, api.ErrClosed) {
			t.Errorf("receiving: %v", err)
		}
		if err := s.Leave(ctx); err != nil {
			t.Error(err)
		}
	}
	post("0")
	s := join(t, address, link.Continue)
	deliver(t, s, "0")
	if err := s.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	post("1")
	stopping(1)
	stopped(join(t, address, link.Continue))
	stopped(join(t, address, link.Continue))
	if waiting, err := b.Waiting(ctx, "a", "m", false); err != nil || len(waiting) != 1 || waiting[0].Text != "1" {
		t.Errorf("there is %+v, %v", waiting, err)
	}

	next, err := link.Join(ctx, address, "", api.Identity{Agent: "a", Module: "m", Generation: 2}, link.Continue)
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, next, "1")
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		stopped(next)
	}()
	stopping(2)
	<-waits
}
