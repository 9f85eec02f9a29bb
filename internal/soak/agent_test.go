package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/runtest"
)

var binary string // coma, built for these tests

func TestMain(m *testing.M) { os.Exit(runtest.Main(m, &binary)) }

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

// home is the folders of one user.
type home struct {
	*runtest.Home
	t *testing.T
}

func newHome(t *testing.T) *home {
	t.Helper()
	return &home{runtest.NewHome(t, binary), t}
}

type event = runtest.Event

// project writes a project's files and returns its folder.
func (h *home) project(name string, files map[string]string) string {
	h.t.Helper()
	dir := filepath.Join(h.Dir, name)
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
type running struct{ *runtest.Run }

func (h *home) run(args ...string) running {
	h.t.Helper()
	return running{h.Run(args...)}
}

// pid returns the process of a module's present generation.
func (r running) pid(module string) int {
	for _, e := range slices.Backward(r.Events()) {
		if e.Module == module && e.PID != 0 {
			return e.PID
		}
	}
	return 0
}

// numbers returns what a module has logged as "got <n>", in order.
func (r running) numbers(module string) []int {
	var numbers []int
	for _, e := range r.Events() {
		var n int
		if e.Module != module || e.Event != "log" {
			continue
		}
		if _, err := fmt.Sscanf(e.Text, "got %d", &n); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
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
