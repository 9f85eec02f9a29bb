// Package comatest runs modules in tests: real mailboxes and a real memory in a temporary folder, no broker, no sockets,
// no processes.
//
//	func TestGreets(t *testing.T) {
//		host := comatest.Start(t, "visitor") // visitor is played by the test
//		host.Run(t, "greeter", greeter.Run)
//		host.Send("greeter", "Ada")
//		if msg := host.Receive("visitor", time.Second); msg.Text != "hello, Ada" {
//			t.Errorf("visitor heard %q", msg.Text)
//		}
//	}
//
// A module in a test differs from one that "coma run" runs in two ways: it is compiled, and MQTT topics are out of reach
// (Subscribe is an error, and what is published is heard by nobody).
package comatest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// AgentName is the name of the agent that modules under test belong to.
const AgentName = "test"

// stopPatience is how long a module may take to return when its context ends.
const stopPatience = 5 * time.Second

// Host is where modules under test run. Its methods fail the test that it was started for when something goes wrong; they
// are called from that test's goroutine.
type Host struct {
	t       testing.TB
	backend *backend.Backend
	host    api.Host
	console *console
	played  map[string]*coma.Agent // modules that the test itself plays
	now     func() time.Time
}

// Start starts a host that ends with the test. others are modules that the ones under test send to, and that the test
// itself plays with Receive or Agent.
func Start(t testing.TB, others ...string) *Host {
	t.Helper()
	dir := t.TempDir()
	b, err := backend.Open(backend.Options{Offline: true, Folders: folders.Folders{
		Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run"),
	}})
	if err != nil {
		t.Fatalf("start host: %v", err)
	}
	out := &console{t: t, answers: make(chan string, maxAnswers)}
	attached, err := b.Attach(context.Background(), api.Attachment{Agent: AgentName, Modules: others}, out)
	if err != nil {
		t.Fatalf("start host: %v", errors.Join(err, b.Close()))
	}
	t.Cleanup(func() {
		out.close()
		if err := errors.Join(attached.Close(), b.Close()); err != nil {
			t.Errorf("stop host: %v", err)
		}
	})
	return &Host{t: t, backend: b, host: attached, console: out, played: map[string]*coma.Agent{}}
}

// Agent returns what a module of that name is handed: for tests of functions that take a *coma.Agent, and for playing a
// module with more than Send and Receive.
func (h *Host) Agent(module string) *coma.Agent {
	h.t.Helper()
	if agent := h.played[module]; agent != nil {
		return agent
	}
	agent := h.open(h.t, module)
	h.played[module] = agent
	return agent
}

func (h *Host) open(t testing.TB, module string) *coma.Agent {
	t.Helper()
	session, err := h.host.Open(context.Background(), api.Identity{Agent: AgentName, Module: module, Generation: 1})
	if err != nil {
		t.Fatalf("open module %s: %v", module, err)
	}
	t.Cleanup(func() {
		if err := session.Close(api.Finished); err != nil {
			t.Errorf("close module %s: %v", module, err)
		}
	})
	return coma.NewAgent(session, "", h.now)
}

// SetNow sets the clock that Agent.Now and Message.Age read, for modules that begin after the call. The host's own times,
// Message.Time among them, stay real.
func (h *Host) SetNow(now func() time.Time) { h.now = now }

// Run runs a module, beside the test and other modules, until the test t ends. Its context ends then; an error other than
// that, a panic, or not returning within 5 s fails t.
func (h *Host) Run(t testing.TB, module string, run coma.RunFunc) {
	t.Helper()
	agent := h.open(t, module)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := errLeft
		defer func() { ended <- err }()
		err = outcome(ctx, agent, run)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("module %s: %v", module, err)
			}
		case <-time.After(stopPatience):
			t.Errorf("module %s has not returned %s after its context ended", module, stopPatience)
		}
	})
}

var errLeft = errors.New("left by runtime.Goexit (t.Fatal and its like are for the test's own goroutine)")

// outcome runs a module and returns its error. A panic is one, too, which keeps the tests of others going.
func outcome(ctx context.Context, agent *coma.Agent, run coma.RunFunc) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n\n%s", cause, debug.Stack())
		}
	}()
	return run(ctx, agent)
}

// Send puts text into a module's mailbox, as "coma send" does.
func (h *Host) Send(module, text string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := h.backend.Post(ctx, "cli", api.Message{To: AgentName + "/" + module, Text: text}); err != nil {
		h.t.Fatal(err)
	}
}

// Receive returns the next message that was sent to a module that the test plays, and fails the test if none comes
// within timeout.
func (h *Host) Receive(module string, timeout time.Duration) coma.Message {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	m, err := h.Agent(module).Receive(ctx)
	if err != nil {
		h.t.Fatalf("module %s: no message within %s: %v", module, timeout, err)
	}
	return m
}

// maxAnswers is how many lines Answer keeps before they are asked for.
const maxAnswers = 1000

// Answer gives a line to the next module that asks the person with Input. Lines wait until they are asked for.
func (h *Host) Answer(line string) {
	h.t.Helper()
	select {
	case h.console.answers <- line:
	default:
		h.t.Fatalf("%d answers wait already, and nobody asks", maxAnswers)
	}
}

// Printed returns all that modules have written with Print so far.
func (h *Host) Printed() string {
	h.console.mu.Lock()
	defer h.console.mu.Unlock()
	return h.console.printed.String()
}

// console is the person of a test; what modules log is the test's log.
type console struct {
	t       testing.TB
	answers chan string

	mu      sync.Mutex
	printed strings.Builder
	closed  bool // the test is over: its log takes nothing more
}

func (c *console) Log(module string, entry api.LogEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.t.Logf("%s: %s", module, entry)
	}
}

func (c *console) Print(_, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.printed.WriteString(text)
}

func (c *console) Input(ctx context.Context, _, _ string) (string, error) {
	select {
	case line := <-c.answers:
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}
