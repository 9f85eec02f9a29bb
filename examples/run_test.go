package examples_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

var binary string // coma, built for these tests

func TestMain(m *testing.M) { os.Exit(main(m)) }

func main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "coma-examples-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "coma")
	build := exec.Command("go", "build", "-o", binary, "github.com/concurrent-modular-agent/coma/cmd/coma")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build coma:", err)
		return 1
	}
	return m.Run()
}

// home is the folders of one user, who has set up no model.
type home struct {
	t   *testing.T
	dir string
	env []string
}

func newHome(t *testing.T) *home {
	t.Helper()
	dir, err := os.MkdirTemp("", "ex-") // short, for the sockets' sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &home{t: t, dir: dir}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "OPENAI_") && !strings.HasPrefix(variable, "COMA_") {
			h.env = append(h.env, variable)
		}
	}
	h.env = append(h.env, "XDG_DATA_HOME="+dir+"/d", "XDG_STATE_HOME="+dir+"/s", "XDG_RUNTIME_DIR="+dir)
	return h
}

// coma runs a command to its end and returns what it printed.
func (h *home) coma(stdin string, args ...string) string {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), binary, args...)
	cmd.Env = h.env
	cmd.Stdin = strings.NewReader(stdin)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("coma %s: %v\n%s%s", strings.Join(args, " "), err, out, complaints.String())
	}
	return string(out)
}

// event is a line of coma run --json.
type event struct {
	Module     string `json:"module"`
	Event      string `json:"event"`
	Generation int    `json:"generation"`
	Text       string `json:"text"`
	Error      string `json:"error"`
}

// agent is an agent that runs.
type agent struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed when its output has ended

	mu     sync.Mutex
	events []event
	news   chan struct{} // closed and replaced with every event
	read   int           // how many events await has looked at
}

// run starts an example, or a copy of one, and stops it when the test ends.
func (h *home) run(dir string) *agent {
	h.t.Helper()
	return h.start(exec.Command(binary, "run", "--json", "--backend", "own", "--debounce", "10ms", dir))
}

// start starts an agent whose output is events.
func (h *home) start(cmd *exec.Cmd) *agent {
	h.t.Helper()
	a := &agent{t: h.t, cmd: cmd, ended: make(chan struct{}), news: make(chan struct{})}
	cmd.Env = h.env
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(a.ended)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			var e event
			if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
				e = event{Event: "text", Text: scan.Text()}
			}
			a.mu.Lock()
			a.events = append(a.events, e)
			close(a.news)
			a.news = make(chan struct{})
			a.mu.Unlock()
		}
	}()
	h.t.Cleanup(a.stop)
	return a
}

// stop ends the agent as Ctrl-C does.
func (a *agent) stop() {
	a.t.Helper()
	if a.cmd.ProcessState != nil {
		return // by an earlier stop
	}
	if err := a.cmd.Process.Signal(syscall.SIGINT); err != nil {
		a.t.Errorf("stop agent: %v", err)
	}
	select {
	case <-a.ended:
	case <-time.After(patience):
		a.t.Errorf("the agent has not stopped within %s\n%s", patience, a.story())
		a.cmd.Process.Kill()
		<-a.ended
	}
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("agent: %v\n%s", err, a.story())
	}
}

// await returns the first event after the one that it returned last for which is holds.
func (a *agent) await(what string, is func(event) bool) event {
	a.t.Helper()
	timeout := time.After(patience)
	for {
		a.mu.Lock()
		for a.read < len(a.events) {
			e := a.events[a.read]
			a.read++
			if is(e) {
				a.mu.Unlock()
				return e
			}
		}
		news := a.news
		a.mu.Unlock()
		select {
		case <-news:
		case <-a.ended:
			a.t.Fatalf("the agent ended while the test waited for %s\n%s", what, a.story())
		case <-timeout:
			a.t.Fatalf("no %s within %s\n%s", what, patience, a.story())
		}
	}
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
	a.mu.Lock()
	a.read = 0
	a.mu.Unlock()
}

// modules returns, in order, the modules of which there was an event of that kind.
func (a *agent) modules(kind string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, e := range a.events {
		if e.Event == kind {
			names = append(names, e.Module)
		}
	}
	return names
}

// story is the last that happened, for a test that failed.
func (a *agent) story() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var b strings.Builder
	for _, e := range a.events[max(0, len(a.events)-30):] {
		fmt.Fprintf(&b, "%+v\n", e)
	}
	return b.String()
}
