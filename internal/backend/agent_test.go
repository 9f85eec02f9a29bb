package backend_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// TestAgentsAreOpenWhileUsed: another backend may have an agent once nobody here uses it.
func TestAgentsAreOpenWhileUsed(t *testing.T) {
	dirs := in(t.TempDir())
	here := func(o *backend.Options) { o.Folders = dirs }
	one, two := open(t, here), open(t, here)
	ctx := within(t)
	names := []string{"a", "...", ".hidden", "100%", strings.Repeat("日", 42)}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			h := attach(t, one, api.Attachment{Agent: name, Modules: []string{"m"}}, newConsole())
			s := sit(t, h, name, "m", 1)
			if err := s.Send(ctx, api.Message{To: "m", Text: "x"}); err != nil {
				t.Fatal(err)
			}
			if err := s.Keep(ctx, "k", []byte("v")); err != nil {
				t.Fatal(err)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := two.Waiting(ctx, name, "m", false); !errors.Is(err, api.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
				t.Errorf("while the session is open: %v", err)
			}
			if err := two.Post(ctx, "cli", api.Message{To: name + "/m"}); !errors.Is(err, api.ErrInUse) {
				t.Errorf("post to an agent of another backend: %v", err)
			}
			if err := s.Close(api.Stopped); err != nil {
				t.Fatal(err)
			}
			waiting, err := two.Waiting(ctx, name, "m", false)
			if err != nil || len(waiting) != 1 || waiting[0].Text != "x" {
				t.Errorf("after it: %+v, %v", waiting, err)
			}
			if _, err := s.Memory().Count(ctx, nil); !errors.Is(err, api.ErrClosed) {
				t.Errorf("memory of a closed session: %v", err)
			}
			h2 := attach(t, two, api.Attachment{Agent: name}, newConsole())
			s2 := sit(t, h2, name, "m", 1)
			if v, ok, err := s2.Kept(ctx, "k"); err != nil || !ok || string(v) != "v" {
				t.Errorf("kept: %q, %t, %v", v, ok, err)
			}
			if err := errors.Join(s2.Close(api.Stopped), h2.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	if entries, err := os.ReadDir(dirs.State); err != nil || len(entries) != 2 {
		t.Errorf("state folder holds %v, %v, want agents and token", entries, err)
	}
	// An agent that nobody runs can be written to; one that nobody has run cannot.
	if err := one.Post(ctx, "cli", api.Message{To: "a/m", Text: "y"}); err != nil {
		t.Error(err)
	}
	if err := one.Post(ctx, "cli", api.Message{To: "aa/m"}); !errors.Is(err, api.ErrUnknown) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("unknown agent: %v", err)
	}
	if err := one.Post(ctx, "cli", api.Message{To: "a/mm"}); !errors.Is(err, api.ErrUnknown) || !strings.Contains(err.Error(), `"m"`) {
		t.Errorf("unknown module: %v", err)
	}
	if err := one.Post(ctx, "cli", api.Message{To: "m"}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("no agent: %v", err)
	}
}

func TestSeatsAreTakenOver(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{}, newConsole())
	ctx := within(t)
	old := sit(t, h, "a", "m", 1)
	for _, text := range []string{"0", "1"} {
		if err := old.Send(ctx, api.Message{To: "m", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := old.Receive(ctx); err != nil || m.Text != "0" {
		t.Fatal(m, err)
	}
	young := sit(t, h, "a", "m", 2)
	if _, err := old.Receive(ctx); !errors.Is(err, api.ErrReplaced) {
		t.Errorf("the old generation: %v", err)
	}
	// The end of the old one is none of the new one's affair.
	if err := errors.Join(h.Ended(ctx, api.Identity{Agent: "a", Module: "m", Generation: 1}, api.Died), old.Close(api.Died)); err != nil {
		t.Fatal(err)
	}
	if m, err := young.Receive(ctx); err != nil || m.Text != "0" || m.Deaths != 0 {
		t.Errorf("received %+v, %v", m, err)
	}
	if err := h.Ended(ctx, api.Identity{Agent: "a", Module: "m", Generation: 2}, api.Died); err != nil {
		t.Fatal(err)
	}
	if _, err := young.Receive(ctx); !errors.Is(err, api.ErrClosed) {
		t.Errorf("after its end: %v", err)
	}
	third := sit(t, h, "a", "m", 3)
	if m, err := third.Receive(ctx); err != nil || m.Text != "0" || m.Deaths != 1 {
		t.Errorf("received %+v, %v", m, err)
	}
	if err := h.Remove(ctx, "m"); err != nil {
		t.Fatal(err)
	}
	if err := h.Remove(ctx, "never"); err != nil {
		t.Errorf("remove a module that never was: %v", err)
	}
	if boxes, err := b.Mailboxes(ctx, "a"); err != nil || len(boxes) != 0 {
		t.Errorf("left: %+v, %v", boxes, err)
	}
}

func TestAttachmentThatDiffers(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{}, newConsole())
	s := sit(t, h, "a", "m", 1)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	durable := api.Attachment{Agent: "a", Durable: true}
	if _, err := b.Attach(within(t), durable, newConsole()); !errors.Is(err, api.ErrInUse) {
		t.Errorf("attach with another durability while it is open: %v", err)
	}
	if err := s.Close(api.Stopped); err != nil {
		t.Fatal(err)
	}
	attach(t, b, durable, newConsole())
}

func TestKeptValues(t *testing.T) {
	dirs := in(t.TempDir())
	b := open(t, func(o *backend.Options) { o.Folders = dirs })
	h := attach(t, b, api.Attachment{}, newConsole())
	own, far := sit(t, h, "a", "m", 1), seat(t, b, socket(t, b), "far")
	ctx := within(t)
	for _, s := range []api.Session{own, far} {
		value := []byte("v")
		if err := s.Keep(ctx, "k", value); err != nil {
			t.Fatal(err)
		}
		value[0] = 'x'
		if v, ok, err := s.Kept(ctx, "k"); err != nil || !ok || string(v) != "v" {
			t.Errorf("kept %q, %t, %v", v, ok, err)
		}
		if err := s.Keep(ctx, "empty", []byte{}); err != nil {
			t.Fatal(err)
		}
		if v, ok, err := s.Kept(ctx, "empty"); err != nil || !ok || v == nil || len(v) != 0 {
			t.Errorf("kept empty %v, %t, %v", v, ok, err)
		}
		if err := s.Keep(ctx, "k", nil); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Kept(ctx, "k"); err != nil || ok {
			t.Errorf("removed: %t, %v", ok, err)
		}
		if err := s.Keep(ctx, "big", make([]byte, api.MaxKeepBytes+1)); !errors.Is(err, api.ErrTooLarge) {
			t.Errorf("too large a value: %v", err)
		}
		for _, key := range []string{"", "\xff", strings.Repeat("k", 257)} {
			if err := s.Keep(ctx, key, []byte{}); !errors.Is(err, api.ErrInvalid) {
				t.Errorf("key %.10q: %v", key, err)
			}
		}
	}
	damaged := filepath.Join(dirs.State, "agents", "a", "kept", "hurt.json")
	if err := os.WriteFile(damaged, []byte(`{"k":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sit(t, h, "a", "hurt", 1).Kept(ctx, "k"); err == nil || !strings.Contains(err.Error(), damaged) {
		t.Errorf("damaged file: %v", err)
	}
	if err := h.Remove(ctx, "m"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := sit(t, h, "a", "m", 2).Kept(ctx, "empty"); err != nil || ok {
		t.Errorf("kept by a removed module: %t, %v", ok, err)
	}
}

// TestCloseWhileEverythingIsBusy leaves no goroutine and no descriptor.
func TestCloseWhileEverythingIsBusy(t *testing.T) {
	before := goleak.IgnoreCurrent()
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc")
		}
		return len(entries)
	}
	fds := descriptors()
	b, err := backend.Open(backend.Options{Folders: in(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	address := socket(t, b)
	h, err := b.Attach(context.Background(), api.Attachment{Agent: "a", Limit: 5, Modules: []string{"full"}}, newConsole())
	if err != nil {
		t.Fatal(err)
	}
	c := device(t, b, "d", func(o *paho.ClientOptions) { o.SetAutoReconnect(false) })
	ctx, cancel := context.WithCancel(within(t))
	var busy, begun sync.WaitGroup
	loop := func(f func() error) {
		begun.Add(1)
		busy.Go(func() {
			var once sync.Once
			for ctx.Err() == nil && f() == nil {
				once.Do(begun.Done)
			}
			once.Do(begun.Done)
		})
	}
	var sessions []api.Session
	for i := range 4 {
		id := api.Identity{Agent: "a", Module: fmt.Sprint("m", i), Generation: 1}
		s, err := h.Open(ctx, id)
		if i%2 == 1 {
			s, err = link.Open(ctx, address, "", id)
		}
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, s)
		loop(func() error { return s.Send(ctx, api.Message{To: id.Module}) })
		loop(func() error { _, err := s.Receive(ctx); return err })
		loop(func() error { return s.Publish(ctx, api.Publication{Topic: "t"}) })
		loop(func() error { _, err := s.Memory().Add(ctx, []api.Record{{Text: "x"}}); return err })
		busy.Go(func() { s.Send(ctx, api.Message{To: "full"}) })
	}
	busy.Go(func() { b.Listen(ctx, "#", func(api.Heard) {}) })
	for range 20 {
		c.Publish(api.MessageTopic("a", "full"), 1, false, "x")
	}
	begun.Wait()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	busy.Wait()
	for i, s := range sessions {
		if i%2 == 0 {
			if err := s.Close(api.Stopped); err != nil {
				t.Error(err)
			}
			continue
		}
		if err := s.Close(api.Stopped); !errors.Is(err, context.DeadlineExceeded) { // the backend is away
			t.Error(err)
		}
	}
	c.Disconnect(0)
	goleak.VerifyNone(t, before)
	if left := descriptors() - fds; left > 0 {
		t.Errorf("%d descriptors are left", left)
	}
}

// TestAgentsAreOpenedOnce: whoever comes while an agent is being closed gets it opened again, and never finds it in use by
// this very backend.
func TestAgentsAreOpenedOnce(t *testing.T) {
	b := open(t)
	ctx := within(t)
	for _, agent := range []string{"a", "b"} {
		if err := attach(t, b, api.Attachment{Agent: agent, Modules: []string{"m"}}, newConsole()).Close(); err != nil {
			t.Fatal(err)
		}
	}
	const users, uses = 8, 20
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			for n := range uses {
				to := []string{"a", "b"}[(i+n)%2]
				if err := b.Post(ctx, "cli", api.Message{To: to + "/m", Text: "x"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, agent := range []string{"a", "b"} {
		boxes, err := b.Mailboxes(ctx, agent)
		if err != nil || len(boxes) != 1 || boxes[0].Waiting != users*uses/2 {
			t.Errorf("%s: mailboxes %+v, %v, want %d messages", agent, boxes, err, users*uses/2)
		}
	}
}

// TestWhoHoldsAnAgentWithOtherSettingsIsNamed: a program outside that came before the agent was run keeps it as it found it.
func TestWhoHoldsAnAgentWithOtherSettingsIsNamed(t *testing.T) {
	b := open(t)
	robot := seat(t, b, socket(t, b), "robot")
	as := api.Attachment{Agent: "a", Modules: []string{"m"}, Durable: true}
	if _, err := b.Attach(within(t), as, newConsole()); !errors.Is(err, api.ErrInUse) || !strings.Contains(err.Error(), "by module robot") {
		t.Errorf("attach beside the robot: %v", err)
	}
	if err := robot.Close(api.Finished); err != nil {
		t.Fatal(err)
	}
	attach(t, b, as, newConsole())
}
