//go:build unix

package modproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// The test program is also a module's process, and one that dies.
func TestMain(m *testing.M) {
	if crash := crashes[os.Getenv("COMA_TEST_CRASH")]; crash != nil {
		crash()
	}
	if os.Getenv("COMA_TEST_MODULE") != "" {
		os.Exit(Main(Functions{Modules: modules}, func(_ context.Context, address, token string, id api.Identity) (api.Session, error) {
			if address == "" {
				return nil, errors.New("nobody is there")
			}
			return seat{}, nil
		}))
	}
	os.Exit(m.Run())
}

// early is a logger that is made before main, as authors make them.
var early = log.New(os.Stderr, "early: ", 0)

var modules = map[string]coma.RunFunc{
	"done":   func(context.Context, *coma.Agent) error { return nil },
	"fails":  func(context.Context, *coma.Agent) error { return errors.New("no luck") },
	"panics": func(context.Context, *coma.Agent) error { panic(fmt.Sprint("boom", 1)) },
	"says": func(context.Context, *coma.Agent) error {
		fmt.Println("to standard output")
		early.Print("to standard error")
		log.SetFlags(0)
		log.Print("and so")
		println("by the builtin")
		return nil
	},
	"waits": func(ctx context.Context, _ *coma.Agent) error { <-ctx.Done(); return ctx.Err() },
	"eats": func(context.Context, *coma.Agent) error {
		var all [][]byte
		for {
			all = append(all, make([]byte, 1<<20))
			for i := range all[len(all)-1] {
				all[len(all)-1][i] = 1
			}
		}
	},
}

// seat is a seat at a host that holds nothing.
type seat struct{ api.Session }

func (seat) Identity() api.Identity  { return api.Identity{} }
func (seat) Memory() api.Memory      { return nil }
func (seat) Close(api.Outcome) error { return nil }

// process is a module's process, seen from a host.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	orders  *os.File
	reports *bufio.Reader
	outputs [3]*os.File // standard output, what the runtime says, standard error
}

// begin starts a process and gives it a module.
func begin(t *testing.T, name string, change func(*Assignment), env ...string) *process {
	t.Helper()
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	var theirs [5]*os.File
	var reports *os.File
	theirs[3], p.orders = pipe()
	reports, theirs[4] = pipe()
	for i := range p.outputs {
		p.outputs[i], theirs[i] = pipe()
	}
	p.reports = bufio.NewReader(reports)
	p.cmd.Stdout, p.cmd.Stderr = theirs[0], theirs[1]
	p.cmd.ExtraFiles = []*os.File{theirs[3], theirs[4], theirs[2]}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Env = append(os.Environ(), append([]string{"COMA_TEST_MODULE=1", InstanceVariable + "=x", "COMA_API=there"}, env...)...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range theirs {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_ = p.orders.Close() // a test may have done it: the sign to end
		_ = reports.Close()
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Wait() // how it ended is the test's matter
		}
	})
	a := Assignment{Source: Source{Name: name, Dir: "/p/" + name, ProjectDir: "/p"}, Identity: api.Identity{Agent: "a", Module: name, Generation: 1}}
	if change != nil {
		change(&a)
	}
	p.order(Order{Module: &a})
	return p
}

func (p *process) order(o Order) {
	p.t.Helper()
	if err := NewLineWriter(p.orders, MaxOrder).Write(o); err != nil {
		p.t.Fatal(err)
	}
}

// report reads the next report.
func (p *process) report() Report {
	p.t.Helper()
	var r Report
	if err := ReadLine(p.reports, MaxReport, &r); err != nil {
		p.t.Fatalf("read report: %v", err)
	}
	return r
}

// wait waits for the end and returns the exit code, -1 for a signal.
func (p *process) wait() int {
	p.t.Helper()
	kill := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() }) // then the code is wrong
	defer kill.Stop()
	_ = p.cmd.Wait() // an exit code other than 0 is one of its errors
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) said(i int) []string {
	p.t.Helper()
	text, err := io.ReadAll(p.outputs[i])
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestMainRunsModules(t *testing.T) {
	tests := []struct {
		module, cause string
		code          int
	}{
		{"done", "", 0},
		{"fails", "no luck", 1},
		{"panics", "panic: boom1", 1},
	}
	for _, test := range tests {
		t.Run(test.module, func(t *testing.T) {
			p := begin(t, test.module, nil)
			if r := p.report(); r.Loaded == nil || !r.Loaded.Spawns {
				t.Fatalf("the first report is %+v", r)
			}
			p.order(Order{Start: true})
			if test.cause != "" {
				if r := p.report(); r.Failure == nil || r.Failure.Cause != test.cause {
					t.Errorf("the second report is %+v, want the failure %q", r, test.cause)
				}
			}
			if code := p.wait(); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
		})
	}
}

func TestMainKeepsStreamsApart(t *testing.T) {
	p := begin(t, "says", nil)
	p.report()
	p.order(Order{Start: true})
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for i, want := range [][]string{{"to standard output"}, {"by the builtin"}, {"early: to standard error", "and so"}} {
		if got := p.said(i); !slices.Equal(got, want) {
			t.Errorf("stream %d: %q, want %q", i, got, want)
		}
	}
}

func TestMainStops(t *testing.T) {
	t.Run("before its start", func(t *testing.T) {
		p := begin(t, "waits", nil)
		p.report()
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})
	t.Run("in Run", func(t *testing.T) {
		p := begin(t, "waits", nil)
		p.report()
		p.order(Order{Start: true})
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	})
	t.Run("with its host", func(t *testing.T) {
		p := begin(t, "waits", nil)
		p.report()
		p.order(Order{Start: true})
		if err := p.orders.Close(); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(); code != -1 {
			t.Errorf("exit code %d, want it killed", code)
		}
	})
}

func TestMainRefuses(t *testing.T) {
	t.Run("an unknown module", func(t *testing.T) {
		p := begin(t, "nobody", nil)
		if r := p.report(); r.Failure == nil || !strings.Contains(r.Failure.Cause, "load module nobody") {
			t.Errorf("the report is %+v", r)
		}
		if code := p.wait(); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
	})
	t.Run("no host", func(t *testing.T) {
		p := begin(t, "done", nil, "COMA_API=")
		p.report()
		p.order(Order{Start: true})
		if r := p.report(); r.Failure == nil || !strings.Contains(r.Failure.Cause, "cannot reach the host") {
			t.Errorf("the report is %+v", r)
		}
		if code := p.wait(); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
	})
	t.Run("a person", func(t *testing.T) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "COMA_TEST_MODULE=1", InstanceVariable+"=")
		var exit *exec.ExitError
		if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "for coma alone") {
			t.Errorf("%v, %s", err, out)
		}
	})
}

func TestMainBoundsMemory(t *testing.T) {
	p := begin(t, "eats", func(a *Assignment) { a.MemoryLimit = 64 << 20 })
	p.report()
	p.order(Order{Start: true})
	if r := p.report(); r.Failure == nil || r.Failure.Cause != "killed: used more than 64 MiB of memory" {
		t.Errorf("the report is %+v", r)
	}
	if code := p.wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
