package soak

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var binary string // coma, built for these tests

func TestMain(m *testing.M) { os.Exit(main(m)) }

func main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "coma-soak-")
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

// long chooses between the length of a test in "make soak" and its length in every test run.
func long(full, short int) int {
	if os.Getenv("COMA_SOAK") != "" {
		return full
	}
	return short
}

// seeded returns a random source whose seed is in the log of a failed test.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("COMA_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("COMA_SEED=%d repeats this run's choices", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// line is what coma run --json prints.
type line struct {
	Module     string `json:"module"`
	Event      string `json:"event"`
	Generation int    `json:"generation"`
	PID        int    `json:"pid"`
	Text       string `json:"text"`
	Error      string `json:"error"`
}

// home is the folders of one user.
type home struct {
	t   *testing.T
	dir string
	env []string
}

func newHome(t *testing.T) *home {
	dir, err := os.MkdirTemp("", "soak-") // short, for the sockets' sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &home{t: t, dir: dir, env: append(os.Environ(),
		"XDG_DATA_HOME="+dir+"/d", "XDG_STATE_HOME="+dir+"/s", "XDG_RUNTIME_DIR="+dir)}
}

// project writes a project's files and returns its folder.
func (h *home) project(name string, files map[string]string) string {
	h.t.Helper()
	dir := filepath.Join(h.dir, name)
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			h.t.Fatal(err)
		}
	}
	return dir
}

// running is a coma run under way.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed when its output has ended

	mu    sync.Mutex
	lines []line
	news  chan struct{} // closed and replaced with every line
}

func (h *home) run(args ...string) *running {
	h.t.Helper()
	r := &running{t: h.t, ended: make(chan struct{}), news: make(chan struct{})}
	r.cmd = exec.Command(binary, append([]string{"run", "--json", "--backend", "own"}, args...)...)
	r.cmd.Env = h.env
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { r.cmd.Process.Kill() })
	go func() {
		defer close(r.ended)
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, 4<<20)
		for scan.Scan() {
			var l line
			if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
				l = line{Event: "unreadable", Text: scan.Text()}
			}
			r.mu.Lock()
			r.lines = append(r.lines, l)
			close(r.news)
			r.news = make(chan struct{})
			r.mu.Unlock()
		}
	}()
	return r
}

// await returns the first line from index from on for which is holds, and the index after it.
func (r *running) await(from int, what string, is func(line) bool) (line, int) {
	r.t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		r.mu.Lock()
		for i := from; i < len(r.lines); i++ {
			if is(r.lines[i]) {
				l := r.lines[i]
				r.mu.Unlock()
				return l, i + 1
			}
		}
		from = len(r.lines)
		news := r.news
		r.mu.Unlock()
		select {
		case <-news:
		case <-r.ended:
			r.t.Fatalf("coma run ended while waiting for %s; its last lines:\n%s", what, r.tail())
		case <-timeout:
			r.t.Fatalf("no %s within two minutes; the last lines:\n%s", what, r.tail())
		}
	}
}

func (r *running) tail() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, l := range r.lines[max(0, len(r.lines)-30):] {
		fmt.Fprintf(&b, "%+v\n", l)
	}
	return b.String()
}

// seen returns how many lines there have been.
func (r *running) seen() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines)
}

// pid returns the process of a module's present generation.
func (r *running) pid(module string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.lines) - 1; i >= 0; i-- {
		if l := r.lines[i]; l.Module == module && l.PID != 0 {
			return l.PID
		}
	}
	return 0
}

// numbers returns what a module has logged as "got <n>", in order.
func (r *running) numbers(module string) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var numbers []int
	for _, l := range r.lines {
		var n int
		if l.Module != module || l.Event != "log" {
			continue
		}
		if _, err := fmt.Sscanf(l.Text, "got %d", &n); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// stop ends the run as Ctrl-C does and waits for it.
func (r *running) stop() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		r.t.Fatal(err)
	}
	<-r.ended
	if err := r.cmd.Wait(); err != nil {
		r.t.Fatalf("coma run: %v; its last lines:\n%s", err, r.tail())
	}
}

// kill ends the run as kill -9 does and waits for it.
func (r *running) kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	<-r.ended
	r.cmd.Wait() // says that it was killed
}

// The modules of the storms: source sends numbers, relay passes them on, sink says what it got. What each has taken on it
// finishes, even when it is asked to stop.
var storm = map[string]string{
	"source/source.go": `package source

import (
	"context"
	"strconv"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	n := 0
	if _, err := agent.Kept(ctx, "n", &n); err != nil {
		return err
	}
	return agent.Every(ctx, 2*time.Millisecond, func(ctx context.Context) error {
		finish := context.WithoutCancel(ctx)
		if err := agent.Send(finish, "relay", strconv.Itoa(n+1)); err != nil {
			return err
		}
		n++
		return agent.Keep(finish, "n", n)
	})
}
`,
	"relay/relay.go": `package relay

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if err := agent.Send(context.WithoutCancel(ctx), "sink", msg.Text); err != nil {
			return err
		}
	}
}
`,
	"sink/sink.go": `package sink

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		agent.Log("got", msg.Text)
	}
}
`,
}
