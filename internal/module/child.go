//go:build unix

package module

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// child is a module's process, from the inside.
type child struct {
	orders  *bufio.Reader
	reports *lineWriter
	module  assignment
	session api.Session // from Start on
	crash   *os.File    // descriptor 2; held, because the collector would close a file that nobody holds
}

// ChildMain is the whole life of a module's process; the host has started it (see StartProcess). It returns the exit
// code: 0 if the module is done, 1 if it failed, 2 if this is no module's process. Connect opens the module's seat at the
// host.
func ChildMain(connect func(ctx context.Context, address, token string, id api.Identity) (api.Session, error)) int {
	if os.Getenv(instanceVariable) == "" {
		fmt.Fprintln(os.Stderr, "coma module: this command is for coma run alone, which starts it for each module")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGINT) // Ctrl-C at the terminal is the host's to answer
	if os.Getenv("GOMAXPROCS") == "" {
		// One core a module: an agent's parallelism is its many modules, and a Go program that may use more wakes a second
		// thread for each message, only to find nothing to do (measured: a third of a round trip's time).
		runtime.GOMAXPROCS(1)
	}

	c, err := newChild()
	if err != nil {
		fmt.Fprintln(os.Stderr, "coma module:", err)
		return 2
	}
	if err := c.receive(); err != nil {
		return c.fail(&Failure{Cause: "cannot read what to load: " + err.Error()})
	}
	start := make(chan struct{})
	go c.obey(start)
	c.limit()
	program, err := c.load(ctx)
	if err != nil {
		return c.refuse(err)
	}
	// The module now waits, perhaps for long and with many others: what loading used is given back.
	debug.FreeOSMemory()
	if code := c.tell(report{Loaded: &loaded{Spawns: program.code.spawns()}}); code != 0 {
		return code
	}
	select {
	case <-start:
	case <-ctx.Done():
		return 0
	}
	return c.run(ctx, program, connect)
}

// newChild takes over the descriptors that the host has laid out (see orders.go). What the module starts does not
// inherit them.
func newChild() (*child, error) {
	for _, fd := range []int{ordersFD, reportFD, stderrFD} {
		syscall.CloseOnExec(fd)
	}
	if err := syscall.SetNonblock(ordersFD, true); err != nil { // so that waiting for orders takes no thread
		return nil, fmt.Errorf("open descriptor %d: %w", ordersFD, err)
	}
	crash := os.Stderr
	os.Stderr = os.NewFile(stderrFD, "/dev/stderr")
	log.SetOutput(os.Stderr)
	debug.SetTraceback("single")
	return &child{
		crash:   crash,
		orders:  bufio.NewReader(os.NewFile(ordersFD, "orders")),
		reports: &lineWriter{w: os.NewFile(reportFD, "reports"), limit: maxReport},
	}, nil
}

func (c *child) receive() error {
	var first order
	if err := readLine(c.orders, maxOrder, &first); err != nil {
		return err
	}
	if first.Module == nil {
		return errors.New("the first line holds no module")
	}
	c.module = *first.Module
	return nil
}

// limit sets the bounds of stack and memory. A stack may take a quarter of the memory, so that endless recursion is told
// from a lack of memory.
func (c *child) limit() {
	limit := c.module.MemoryLimit
	if limit == 0 {
		return
	}
	debug.SetMaxStack(int(min(max(limit/4, 16<<20), 256<<20)))
	limitMemory(limit, func() {
		c.fail(memoryFailure(limit))
		os.Exit(1)
	})
}

func (c *child) load(ctx context.Context) (*Program, error) {
	code, err := read(c.module.Source)
	if err != nil {
		return nil, err
	}
	p := newProgram(code)
	p.traces.passed = func(goroutine int64, first bool, frame Frame) {
		// If the host cannot be told, it is gone, and so is this process in a moment.
		_ = c.reports.write(report{Trace: &passed{goroutine, first, frame}})
	}
	exit := func(status int, by string) {
		if status != 0 {
			c.fail(exitFailure(status, by, code.calls(by)))
		} else if c.session != nil {
			c.close(api.Finished)
		}
		os.Exit(status)
	}
	return p, p.load(ctx, &surroundings{exit: exit}, os.Stderr)
}

// obey follows the orders: it closes start at the word to start. The end of the orders is the end of the host, and of
// this process group with it, whatever the module is doing. It runs for as long as the process.
func (c *child) obey(start chan<- struct{}) {
	for {
		var next order
		if err := readLine(c.orders, maxOrder, &next); err != nil {
			_ = syscall.Kill(0, syscall.SIGKILL) // does not fail: this process is in its own group
		}
		if next.Start {
			close(start)
			start = nil
		}
	}
}

// run runs the module from its seat at the host to its end, and returns the exit code.
func (c *child) run(ctx context.Context, program *Program, connect func(ctx context.Context, address, token string, id api.Identity) (api.Session, error)) int {
	session, err := connect(ctx, os.Getenv("COMA_API"), os.Getenv("COMA_TOKEN"), c.module.Identity)
	if err != nil {
		if ctx.Err() != nil {
			return 0
		}
		return c.fail(&Failure{Cause: "cannot reach the host: " + err.Error()})
	}
	c.session = session
	err = program.Run(ctx, coma.NewAgent(session, c.module.Source.Dir, nil))
	outcome, failure := judge(err, ctx.Err() != nil)
	code := 0
	if failure != nil {
		code = c.fail(failure)
	}
	if err := c.close(outcome); err != nil && code == 0 {
		code = c.fail(&Failure{Cause: "say that it is done: " + err.Error()})
	}
	return code
}

// closeTime bounds the last word to the host.
const closeTime = 3 * time.Second

func (c *child) close(outcome api.Outcome) error {
	closed := make(chan error, 1)
	go func() { closed <- c.session.Close(outcome) }()
	select {
	case err := <-closed:
		if errors.Is(err, api.ErrClosed) || errors.Is(err, api.ErrReplaced) {
			return nil // the host has ended the session itself
		}
		return err
	case <-time.After(closeTime):
		return fmt.Errorf("the host did not answer within %v", closeTime)
	}
}

// refuse tells the host why the code does not load.
func (c *child) refuse(err error) int {
	var wrong *LoadError
	if !errors.As(err, &wrong) {
		return c.fail(asFailure(err))
	}
	c.tell(report{Refused: bounded(wrong.Problems)})
	return 1
}

// fail tells the host why this process ends. It returns the exit code.
func (c *child) fail(failure *Failure) int {
	c.tell(report{Failure: failure})
	return 1
}

// tell sends a report. It returns 0 or, if the host cannot be told, the exit code.
func (c *child) tell(r report) int {
	if err := c.reports.write(r); err != nil {
		fmt.Fprintln(os.Stderr, "coma module: tell the host:", err)
		return 1
	}
	return 0
}
