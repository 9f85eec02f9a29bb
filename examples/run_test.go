package examples_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/runtest"
)

// patience is how long anything may take on a busy machine.
const patience = runtest.Patience

var binary string // coma, built for these tests

func TestMain(m *testing.M) { os.Exit(runtest.Main(m, &binary)) }

// home is the folders of one user, who has set up no model.
type home struct {
	*runtest.Home
	t *testing.T
}

func newHome(t *testing.T) *home {
	t.Helper()
	return &home{runtest.NewHome(t, binary), t}
}

type event = runtest.Event

// agent is an agent that runs.
type agent struct {
	*runtest.Run
	t    *testing.T
	read int // how many events await has looked at
}

// run starts an example, or a copy of one, and stops it when the test ends.
func (h *home) run(dir string) *agent {
	h.t.Helper()
	return h.follow(h.Run("--debounce", "10ms", dir))
}

// start starts an agent whose output is events.
func (h *home) start(cmd *exec.Cmd) *agent {
	h.t.Helper()
	cmd.Env = h.Env
	return h.follow(runtest.Start(h.t, cmd))
}

func (h *home) follow(r *runtest.Run) *agent {
	h.t.Cleanup(r.Stop)
	return &agent{Run: r, t: h.t}
}

// await returns the first event after the one that it returned last for which is holds.
func (a *agent) await(what string, is func(event) bool) (e event) {
	a.t.Helper()
	e, a.read = a.Await(a.read, what, is)
	return e
}

// logged waits until module logs text.
func (a *agent) logged(module, text string) {
	a.t.Helper()
	a.await(module+" logging "+text, func(e event) bool { return e.Module == module && e.Event == "log" && e.Text == text })
}

// happens waits for an event of module.
func (a *agent) happens(module, kind string) event {
	a.t.Helper()
	return a.await(module+" "+kind, func(e event) bool { return e.Module == module && e.Event == kind })
}

// begin waits until n modules have started, and has await begin anew with the first event.
func (a *agent) begin(n int) {
	a.t.Helper()
	for range n {
		a.await("start of a module", func(e event) bool { return e.Event == "started" })
	}
	a.read = 0
}

// modules returns, in order, the modules of which there was an event of that kind.
func (a *agent) modules(kind string) []string {
	var names []string
	for _, e := range a.Events() {
		if e.Event == kind {
			names = append(names, e.Module)
		}
	}
	return names
}
