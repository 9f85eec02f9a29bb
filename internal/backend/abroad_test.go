package backend_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// hostAt opens a backend at a broker, under a name.
func hostAt(t *testing.T, k *peers.Broker, name string, change ...func(*backend.Options)) *backend.Backend {
	t.Helper()
	return open(t, append([]func(*backend.Options){func(o *backend.Options) {
		o.Uplink = backend.Uplink{URL: k.URL(), HostName: name}
	}}, change...)...)
}

// TestOneAgentOnTwoHosts runs an agent whose modules are at two hosts: they speak to each other by their names, as at one.
func TestOneAgentOnTwoHosts(t *testing.T) {
	k := peers.Mosquitto(t, peers.BrokerOptions{})
	laptop, pi := hostAt(t, k, "laptop"), hostAt(t, k, "pi")
	there := attach(t, pi, api.Attachment{Agent: "a", Modules: []string{"sensor"}}, newConsole())
	here := attach(t, laptop, api.Attachment{Agent: "a", Modules: []string{"brain"}}, newConsole())
	sensor, brain := sit(t, there, "a", "sensor", 1), sit(t, here, "a", "brain", 1)
	awaitHost(t, laptop, "a/sensor")
	awaitHost(t, pi, "a/brain")
	ctx := within(t)

	for n := range 200 {
		if err := brain.Send(ctx, api.Message{To: "sensor", Text: fmt.Sprint("ask ", n)}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 200 {
		m, err := sensor.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Text != fmt.Sprint("ask ", n) || m.From != "a/brain" || m.To != "a/sensor" {
			t.Fatalf("message %d is %q from %s to %s", n, m.Text, m.From, m.To)
		}
		if err := sensor.Send(ctx, api.Message{To: "brain", Text: fmt.Sprint("answer ", n)}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 200 {
		m, err := brain.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Text != fmt.Sprint("answer ", n) {
			t.Fatalf("answer %d is %q", n, m.Text)
		}
	}

	// People and tools reach it through any of the hosts.
	if err := laptop.Post(ctx, "cli", api.Message{To: "a/sensor", Text: "from a person"}); err != nil {
		t.Fatal(err)
	}
	if m, err := sensor.Receive(ctx); err != nil || m.Text != "from a person" || m.From != "cli" {
		t.Errorf("received %+v, %v", m, err)
	}
	if _, err := laptop.Waiting(ctx, "a", "sensor", false); err == nil || !strings.Contains(err.Error(), "at host pi") {
		t.Errorf("the mailbox at the other host: %v", err)
	}
	err := laptop.Post(ctx, "cli", api.Message{To: "a/sensr", Text: "x"})
	if !errors.Is(err, api.ErrUnknown) || !strings.Contains(err.Error(), `did you mean "a/sensor"`) {
		t.Errorf("a name that nobody has: %v", err)
	}
	agents, err := laptop.Agents(ctx)
	if err != nil || len(agents) != 1 {
		t.Fatalf("%+v, %v", agents, err)
	}
	if i := slices.IndexFunc(agents[0].Modules, func(m api.ModuleState) bool { return m.Module == "sensor" && m.Host == "pi" }); i < 0 {
		t.Errorf("the other host's module is not told: %+v", agents[0].Modules)
	}

	// The same module cannot run at both.
	_, err = laptop.Attach(ctx, api.Attachment{Agent: "b", Modules: []string{"m"}}, newConsole())
	if err != nil {
		t.Fatal(err)
	}
	awaitHost(t, pi, "b/m")
	if _, err = pi.Attach(ctx, api.Attachment{Agent: "b", Modules: []string{"m"}}, newConsole()); !errors.Is(err, api.ErrInUse) || !strings.Contains(err.Error(), "laptop") {
		t.Errorf("a module that runs at the other host: %v", err)
	}
}

// TestMessagesOfAHostThatIsNotRun leaves a message under one of this machine's names: the next backend, of another, says so.
func TestMessagesOfAHostThatIsNotRun(t *testing.T) {
	k := peers.Mosquitto(t, peers.BrokerOptions{})
	dir := t.TempDir()
	pi := hostAt(t, k, "pi")
	there := attach(t, pi, api.Attachment{Agent: "a", Modules: []string{"eye"}}, newConsole())
	first := hostAt(t, k, "first", lasting(dir))
	awaitHost(t, first, "a/eye")
	if err := errors.Join(there.Close(), pi.Close()); err != nil {
		t.Fatal(err)
	}
	if err := first.Post(within(t), "cli", api.Message{To: "a/eye", Text: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	hostAt(t, k, "second", lasting(dir), func(o *backend.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) }).Close()
	if !strings.Contains(log.String(), "name=first messages=1") {
		t.Errorf("said: %s", log.String())
	}
}

// awaitHost waits until a backend has heard of a module at another host.
func awaitHost(t *testing.T, b *backend.Backend, module string) {
	t.Helper()
	agent, name, _ := strings.Cut(module, "/")
	ctx := within(t)
	for {
		if _, err := b.Waiting(ctx, agent, name, false); err != nil && strings.Contains(err.Error(), "at host") {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s is not heard of", module)
		}
	}
}

// TestModuleThatMoved runs a module at one host and then at another: what is sent to it goes where it is, also while that
// host is away.
func TestModuleThatMoved(t *testing.T) {
	k := peers.Mosquitto(t, peers.BrokerOptions{})
	laptop, dir := hostAt(t, k, "laptop"), t.TempDir()
	first, err := laptop.Attach(within(t), api.Attachment{Agent: "a", Modules: []string{"brain", "eye"}}, newConsole())
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	eye, err := first.Open(ctx, api.Identity{Agent: "a", Module: "eye", Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	pi := hostAt(t, k, "pi", lasting(dir))
	awaitHost(t, pi, "a/eye")
	if err := pi.Post(ctx, "cli", api.Message{To: "a/eye", Text: "at the laptop"}); err != nil {
		t.Fatal(err)
	}
	if m, err := eye.Receive(ctx); err != nil || m.Text != "at the laptop" {
		t.Fatalf("received %+v, %v", m, err)
	}
	if err := errors.Join(eye.Close(api.Finished), first.Close()); err != nil {
		t.Fatal(err)
	}

	// It moves. The laptop still has its old mailbox.
	attach(t, laptop, api.Attachment{Agent: "a", Modules: []string{"brain"}}, newConsole())
	awaitGone(t, pi, "a/eye")
	moved, err := pi.Attach(ctx, api.Attachment{Agent: "a", Modules: []string{"eye"}}, newConsole())
	if err != nil {
		t.Fatal(err)
	}
	eye = sit(t, moved, "a", "eye", 1)
	awaitRun(t, laptop, "eye", "pi")
	if err := laptop.Post(ctx, "cli", api.Message{To: "a/eye", Text: "at the pi"}); err != nil {
		t.Fatal(err)
	}
	if m, err := eye.Receive(ctx); err != nil || m.Text != "at the pi" {
		t.Fatalf("received %+v, %v", m, err)
	}
	if err := errors.Join(eye.Close(api.Finished), pi.Close()); err != nil {
		t.Fatal(err)
	}
	if err := laptop.Post(ctx, "cli", api.Message{To: "a/eye", Text: "while it is away"}); err != nil {
		t.Fatal(err)
	}
	pi = hostAt(t, k, "pi", lasting(dir))
	eye = sit(t, attach(t, pi, api.Attachment{Agent: "a", Modules: []string{"eye"}}, newConsole()), "a", "eye", 1)
	if m, err := eye.Receive(ctx); err != nil || m.Text != "while it is away" {
		t.Fatalf("received %+v, %v", m, err)
	}
}

// awaitRun waits until a backend has heard that a module of agent a runs at another host.
func awaitRun(t *testing.T, b *backend.Backend, module, host string) {
	t.Helper()
	ctx := within(t)
	for ctx.Err() == nil {
		agents, err := b.Agents(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, agent := range agents {
			if slices.ContainsFunc(agent.Modules, func(m api.ModuleState) bool { return m.Module == module && m.Host == host }) {
				return
			}
		}
	}
	t.Fatalf("%s is not heard of", module)
}

// awaitGone waits until a backend can run a module that has run at another host.
func awaitGone(t *testing.T, b *backend.Backend, module string) {
	t.Helper()
	agent, name, _ := strings.Cut(module, "/")
	ctx := within(t)
	for ctx.Err() == nil {
		h, err := b.Attach(ctx, api.Attachment{Agent: agent, Modules: []string{name}}, newConsole())
		if err == nil {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, api.ErrInUse) {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s still runs elsewhere", module)
}
