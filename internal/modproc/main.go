//go:build unix

package modproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Process is this process, for its engine.
type Process struct {
	orders  *bufio.Reader
	reports *LineWriter
	module  Assignment
	crash   *os.File // descriptor 2; held, because the collector would close a file that nobody holds

	mu      sync.Mutex
	session api.Session // nil until the module has its seat
	last    func()      // see AtHostsEnd
}

// AtHostsEnd says what is to be done when the host has died, before this process and its group are killed.
func (p *Process) AtHostsEnd(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = do
}

// Main is the whole life of a module's process; the host has started it. It returns the exit code: 0 if the module is
// done, 1 if it failed, 2 if this is no module's process.
func Main(engine Engine, connect Connect) int {
	if os.Getenv(InstanceVariable) == "" {
		fmt.Fprintln(os.Stderr, "coma module: this program is for coma alone, which starts it for each module")
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

	p, err := newProcess()
	if err != nil {
		fmt.Fprintln(os.Stderr, "coma module:", err)
		return 2
	}
	if err := p.receive(); err != nil {
		return p.fail(&Failure{Cause: "cannot read what to load: " + err.Error()})
	}
	start := make(chan struct{})
	go p.obey(start)
	if len(p.module.Command) == 0 {
		p.limit() // a program of its own would inherit it, and knows other limits
	}
	program, err := engine.Load(ctx, p)
	if err != nil {
		return p.refuse(err)
	}
	loaded := program.Loaded()
	if code := p.tell(Report{Loaded: &loaded}); code != 0 {
		return code
	}
	select {
	case <-start:
	case <-ctx.Done():
		return 0
	}
	if program, ok := program.(Alone); ok {
		if failure := program.RunAlone(ctx, func(r Report) { p.tell(r) }); failure != nil {
			return p.fail(failure)
		}
		return 0
	}
	return p.run(ctx, program, connect)
}

// newProcess takes over the descriptors that the host has laid out (see protocol.go). What the module starts does not
// inherit them.
func newProcess() (*Process, error) {
	for _, fd := range []int{ordersFD, reportFD, stderrFD} {
		syscall.CloseOnExec(fd)
	}
	if err := syscall.SetNonblock(ordersFD, true); err != nil { // so that waiting for orders takes no thread
		return nil, fmt.Errorf("open descriptor %d: %w", ordersFD, err)
	}
	// The file that os.Stderr points to is replaced, not the pointer: loggers that a compiled module's package variables
	// hold, and log's own, have copies of the pointer.
	crash := new(os.File)
	*crash = *os.Stderr
	*os.Stderr = *os.NewFile(stderrFD, "/dev/stderr")
	debug.SetTraceback("single")
	return &Process{
		crash:   crash,
		orders:  bufio.NewReader(os.NewFile(ordersFD, "orders")),
		reports: NewLineWriter(os.NewFile(reportFD, "reports"), MaxReport),
	}, nil
}

func (p *Process) receive() error {
	var first Order
	if err := ReadLine(p.orders, MaxOrder, &first); err != nil {
		return err
	}
	if first.Module == nil {
		return errors.New("the first line holds no module")
	}
	p.module = *first.Module
	return nil
}

// Assignment is what the host wants to be run.
func (p *Process) Assignment() Assignment { return p.module }

// Exit ends the process as os.Exit does, and tells the host why. A nil failure is an end in order: the message in hand is
// done with. It does not return.
func (p *Process) Exit(status int, failure *Failure) {
	p.mu.Lock()
	session := p.session
	p.mu.Unlock()
	switch {
	case failure != nil:
		p.fail(failure)
	case session != nil:
		if err := closeSession(session, api.Finished); err != nil {
			status = max(status, p.fail(&Failure{Cause: "say that it is done: " + err.Error()}))
		}
	}
	os.Exit(status)
}

// limit sets the bounds of stack and memory. A stack may take a quarter of the memory, so that endless recursion is told
// from a lack of memory.
func (p *Process) limit() {
	limit := p.module.MemoryLimit
	if limit == 0 {
		return
	}
	debug.SetMaxStack(int(min(max(limit/4, 16<<20), 256<<20)))
	limitMemory(limit, func() { p.Exit(1, MemoryFailure(limit)) })
}

// obey follows the orders: it closes start at the word to start. The end of the orders is the end of the host, and of
// this process group with it, whatever the module is doing. It runs for as long as the process.
func (p *Process) obey(start chan<- struct{}) {
	for {
		var next Order
		if err := ReadLine(p.orders, MaxOrder, &next); err != nil {
			p.mu.Lock()
			last := p.last
			p.mu.Unlock()
			if last != nil {
				last()
			}
			_ = syscall.Kill(0, syscall.SIGKILL) // does not fail: this process is in its own group
		}
		if next.Start && start != nil {
			close(start)
			start = nil
		}
	}
}

// run runs the module from its seat at the host to its end, and returns the exit code.
func (p *Process) run(ctx context.Context, program Program, connect Connect) int {
	session, err := connect(ctx, os.Getenv("COMA_API"), os.Getenv("COMA_TOKEN"), p.module.Identity)
	if err != nil {
		if ctx.Err() != nil {
			return 0
		}
		return p.fail(&Failure{Cause: "cannot reach the host: " + err.Error()})
	}
	p.mu.Lock()
	p.session = session
	p.mu.Unlock()
	err = program.Run(ctx, coma.NewAgent(session, p.module.Source.Dir, nil))
	outcome, failure := Judge(err, ctx.Err() != nil)
	code := 0
	if failure != nil {
		code = p.fail(failure)
	}
	if err := closeSession(session, outcome); err != nil && code == 0 {
		code = p.fail(&Failure{Cause: "say that it is done: " + err.Error()})
	}
	return code
}

// closeTime bounds the last word to the host.
const closeTime = 3 * time.Second

func closeSession(session api.Session, outcome api.Outcome) error {
	closed := make(chan error, 1)
	go func() { closed <- session.Close(outcome) }()
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
func (p *Process) refuse(err error) int {
	var wrong *LoadError
	if !errors.As(err, &wrong) {
		return p.fail(AsFailure(err))
	}
	p.tell(Report{Refused: bounded(wrong.Problems)})
	return 1
}

// fail tells the host why this process ends. It returns the exit code.
func (p *Process) fail(failure *Failure) int {
	p.tell(Report{Failure: failure})
	return 1
}

// tell sends a report. It returns 0 or, if the host cannot be told, the exit code.
func (p *Process) tell(r Report) int {
	if err := p.reports.Write(r); err != nil {
		fmt.Fprintln(os.Stderr, "coma module: tell the host:", err)
		return 1
	}
	return 0
}
