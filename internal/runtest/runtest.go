// Package runtest is for tests that run coma as a user does: Main builds it, a Home is the folders of one user, and a Run is
// followed by the events that "coma run --json", or an agent made by "coma build", tells a line each.
package runtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything may take on a busy machine.
const Patience = 2 * time.Minute

// Main builds coma, stores where it is in binary, and runs the tests; it returns their exit code.
func Main(m *testing.M, binary *string) int {
	dir, err := os.MkdirTemp("", "coma-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	*binary = filepath.Join(dir, "coma")
	build := exec.Command("go", "build", "-o", *binary, "github.com/concurrent-modular-agent/coma/cmd/coma")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build coma:", err)
		return 1
	}
	return m.Run()
}

// Home is the folders of one user, who has set up no model and has no backend.
type Home struct {
	Dir string
	Env []string // what commands are run with

	t      *testing.T
	binary string
}

// NewHome makes a home, which goes with the test, for the coma at binary.
func NewHome(t *testing.T, binary string) *Home {
	t.Helper()
	dir, err := os.MkdirTemp("", "home-") // short, for the sockets' sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &Home{Dir: dir, t: t, binary: binary}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "OPENAI_") && !strings.HasPrefix(variable, "COMA_") {
			h.Env = append(h.Env, variable)
		}
	}
	h.Env = append(h.Env, "XDG_DATA_HOME="+dir+"/d", "XDG_STATE_HOME="+dir+"/s", "XDG_RUNTIME_DIR="+dir)
	return h
}

// Coma runs a command to its end and returns what it printed. It must end well.
func (h *Home) Coma(stdin string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(h.binary, args...)
	cmd.Env = h.Env
	cmd.Stdin = strings.NewReader(stdin)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("coma %s: %v\n%s%s", strings.Join(args, " "), err, out, complaints.String())
	}
	return string(out)
}

// Run starts agents with a backend of their own, unless args say otherwise.
func (h *Home) Run(args ...string) *Run {
	h.t.Helper()
	cmd := exec.Command(h.binary, append([]string{"run", "--json", "--backend", "own"}, args...)...)
	cmd.Env = h.Env
	return Start(h.t, cmd)
}

// Event is a line that a run tells. What is no event is one named "text".
type Event struct {
	Module     string `json:"module"`
	Event      string `json:"event"`
	Generation int    `json:"generation"`
	PID        int    `json:"pid"`
	Text       string `json:"text"`
	Error      string `json:"error"`
}

// Run is agents that run in a process of their own.
type Run struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended and all that it told is in events

	mu     sync.Mutex
	events []Event
	news   chan struct{} // closed and replaced with every event
}

// Start starts a command that tells events. It is killed at the end of the test, if it still runs.
func Start(t *testing.T, cmd *exec.Cmd) *Run {
	t.Helper()
	r := &Run{t: t, cmd: cmd, ended: make(chan struct{}), news: make(chan struct{})}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			r.note(lines.Bytes())
		}
		if err := lines.Err(); err != nil {
			r.note(fmt.Append(nil, err))
			io.Copy(io.Discard, out) // lest it waits to be read
		}
		cmd.Wait() // Stop and Wait tell
	}()
	t.Cleanup(r.end)
	return r
}

func (r *Run) note(line []byte) {
	var e Event
	if json.Unmarshal(line, &e) != nil {
		e = Event{Event: "text", Text: string(line)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.news)
	r.news = make(chan struct{})
}

// PID is the number of the process.
func (r *Run) PID() int { return r.cmd.Process.Pid }

// Events returns what it has told so far.
func (r *Run) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

// Story is the last that it told, for a test that failed.
func (r *Run) Story() string {
	var b strings.Builder
	events := r.Events()
	for _, e := range events[max(0, len(events)-30):] {
		fmt.Fprintf(&b, "%+v\n", e)
	}
	return b.String()
}

// Await returns the first event from index from on for which is holds, and the index after it.
func (r *Run) Await(from int, what string, is func(Event) bool) (Event, int) {
	r.t.Helper()
	late := time.After(Patience)
	for ended := false; ; {
		r.mu.Lock()
		events, news := r.events, r.news
		r.mu.Unlock()
		for ; from < len(events); from++ {
			if is(events[from]) {
				return events[from], from + 1
			}
		}
		if ended {
			r.t.Fatalf("it ended while the test waited for %s\n%s", what, r.Story())
		}
		select {
		case <-news:
		case <-r.ended:
			ended = true // and what it told last is there
		case <-late:
			r.t.Fatalf("no %s within %s\n%s", what, Patience, r.Story())
		}
	}
}

// Interrupt asks it to stop, as Ctrl-C does.
func (r *Run) Interrupt() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Fatal(err)
	}
}

// Wait waits for its end and returns its exit code.
func (r *Run) Wait() int {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(Patience):
		r.t.Fatalf("it has not ended within %s\n%s", Patience, r.Story())
	}
	return r.cmd.ProcessState.ExitCode()
}

// Stop has it end as Ctrl-C does, which must be well. Again, it does nothing.
func (r *Run) Stop() {
	r.t.Helper()
	select {
	case <-r.ended:
	default:
		r.Interrupt()
	}
	if code := r.Wait(); code != 0 {
		r.t.Errorf("exit code %d\n%s", code, r.Story())
	}
}

// Kill ends it as kill -9 does.
func (r *Run) Kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	<-r.ended
}

func (r *Run) end() {
	r.cmd.Process.Kill() // fails only if it has ended
	<-r.ended
}
