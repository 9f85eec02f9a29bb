package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/interp"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// Program is loaded code: one generation of an interpreted module.
type Program struct {
	code   *code
	interp *interp.Program
	run    coma.RunFunc

	mu      sync.Mutex
	ended   chan struct{} // closed by the first halt
	verdict error         // why, after that: nil for os.Exit(0)

	stdout, stderr *stream  // nil in a process of its own
	stdin          *os.File // empty; nil in a process of its own, and where nothing asks for it
}

// errStopped is what Run returns after Stop.
var errStopped = errors.New("stopped")

// Load interprets the module's package: its variables and init functions have run when it returns. What the module
// prints goes to out. The code shares the process with its caller (see the package comment). If the code does not load,
// the error is a *LoadError. Ending ctx interrupts the loading; afterwards it has no effect.
func Load(ctx context.Context, src Source, out Output) (*Program, error) {
	return load(ctx, src, nil, out)
}

// load is Load with variables for the module's environment.
func load(ctx context.Context, src Source, variables map[string]string, out Output) (*Program, error) {
	c, err := readSource(src)
	if err != nil {
		return nil, err
	}
	p := newProgram(c)
	if err := p.openStreams(out); err != nil {
		return nil, fmt.Errorf("load module %s: %w", src.Name, err)
	}
	around := &surroundings{exit: p.exit, stdout: p.stdout, stderr: p.stderr, stdin: p.stdin, dir: src.ProjectDir, env: newEnvironment(variables)}
	err = p.load(ctx, interp.Options{
		Symbol: around.symbol, Traced: around.traced(),
		Stderr: p.stderr, Interruptible: true,
		Uncaught: func(value any, frames []interp.Frame) {
			p.leave(failure(value, frames))
		},
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func newProgram(c *code) *Program { return &Program{code: c, ended: make(chan struct{})} }

// openStreams makes the module's own standard output, error and input, in a process that it shares.
func (p *Program) openStreams(out Output) (err error) {
	files := p.code.usesFiles()
	if p.stdout, err = newStream("stdout", out, files); err != nil {
		return err
	}
	if p.stderr, err = newStream("stderr", out, files); err != nil {
		p.closeStreams()
		return err
	}
	if files {
		if p.stdin, err = os.Open(os.DevNull); err != nil {
			p.closeStreams()
			return err
		}
	}
	return nil
}

func (p *Program) closeStreams() {
	if p.stdout != nil {
		p.stdout.close()
	}
	if p.stderr != nil {
		p.stderr.close()
	}
	if p.stdin != nil {
		_ = p.stdin.Close() // nothing can be lost, and the module may have closed it
	}
}

// load makes the code ready and runs its initialisation.
func (p *Program) load(ctx context.Context, opt interp.Options) error {
	opt.Folder, opt.Dir = p.code.folder, p.code.src.ProjectDir
	in, err := interp.Load(p.code.fset, p.code.checked, opt)
	if err != nil {
		var at *interp.LoadError
		if errors.As(err, &at) {
			problem := p.code.problemAt(at.Pos, at.Message)
			problem.Refusal = at.Refusal
			return &LoadError{Problems: []Problem{problem}}
		}
		return fmt.Errorf("load module %s: %w", p.code.src.Name, err)
	}
	p.interp = in
	p.run = in.Lookup(p.code.path, "Run").Interface().(func(context.Context, *coma.Agent) error) // the checker has seen to its type

	initialised := make(chan error, 1)
	go p.initialise(initialised)
	select {
	case err := <-initialised:
		select {
		case <-p.ended: // by os.Exit: that it failed is a consequence
			return p.endedEarly()
		default:
			return err
		}
	case <-p.ended:
		return p.endedEarly()
	case <-ctx.Done():
		p.halt(errStopped)
		return fmt.Errorf("load module %s: its variables and init functions did not finish: %w", p.code.src.Name, ctx.Err())
	}
}

func (p *Program) initialise(done chan<- error) {
	returned := false
	defer func() {
		var err error
		if value := recover(); value != nil {
			problem := Problem{File: p.code.shownDir()}
			if frames := p.interp.Frames(value); len(frames) > 0 {
				problem = p.code.problemIn(frames[0].Position, "")
			}
			problem.Message = "while the package initialises: " + modproc.PanicText(value)
			err = &LoadError{Problems: []Problem{problem}}
		} else if !returned {
			err = &LoadError{Problems: []Problem{{File: p.code.shownDir(), Message: "an init function ended its goroutine"}}}
		}
		done <- err
	}()
	p.interp.Init()
	returned = true
}

// endedEarly is the error for code that calls os.Exit, or panics in a goroutine, before it is loaded.
func (p *Program) endedEarly() error {
	why := "os.Exit(0)"
	if reason := p.reason(); reason != nil {
		why = reason.Error()
	}
	return &LoadError{Problems: []Problem{{File: p.code.shownDir(), Message: "ended while it was loading: " + why}}}
}

// haltGrace is how long Run waits for code that was interrupted. What cannot be interrupted (a sleep, a lock, a long call
// into the host) goes on after that, until it returns by itself.
const haltGrace = 500 * time.Millisecond

// Run calls the module's Run and returns what it returns. A panic, os.Exit or log.Fatal comes back as *Failure. The
// program must be run once only.
func (p *Program) Run(ctx context.Context, agent *coma.Agent) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan error, 1)
	go p.call(ctx, agent, result)
	select {
	case err := <-result:
		select {
		case <-p.ended: // it only returned because it was interrupted
			return p.reason()
		default:
			return err
		}
	case <-p.ended:
		cancel()
		select {
		case <-result:
		case <-time.After(haltGrace):
		}
		return p.reason()
	}
}

func (p *Program) call(ctx context.Context, agent *coma.Agent, result chan<- error) {
	var err error
	returned := false
	defer func() {
		if value := recover(); value != nil {
			err = failure(value, p.interp.Frames(value))
		} else if !returned {
			err = &Failure{Cause: "runtime.Goexit ended Run"} // or os.Exit did: it has said why
		}
		result <- err
	}()
	err = p.run(ctx, agent)
	returned = true
}

// Loaded is what the host is to know of the program.
func (p *Program) Loaded() modproc.Loaded { return modproc.Loaded{Spawns: p.code.spawns()} }

// Stop ends interpreted code that ignores its context: loops, calls and channel operations end within a millisecond,
// without running their deferred functions; sleeps, locks and calls into the host go on until they return.
func (p *Program) Stop() { p.halt(errStopped) }

// exit is os.Exit and log.Fatal for a program that shares its process.
func (p *Program) exit(code int, by string, frames []interp.Frame) {
	if code == 0 {
		p.leave(nil)
	}
	p.leave(exitFailure(code, by, shownFrames(frames)))
}

// leave ends the program from one of its own goroutines, and that goroutine with it. Deferred functions of the module do
// not run; that is as it is with os.Exit.
func (p *Program) leave(why error) {
	p.halt(why)
	runtime.Goexit()
}

// halt ends all interpreted code; the first reason stands.
func (p *Program) halt(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
	default:
		p.verdict = why
		close(p.ended)
		if p.interp != nil {
			p.interp.Halt()
		}
	}
}

func (p *Program) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verdict
}

// Close ends what is left of the program: goroutines that outlived Run, and its standard output.
func (p *Program) Close() {
	p.halt(errStopped)
	if p.interp != nil {
		p.interp.Close()
	}
	p.closeStreams()
}

// Interpreter is the engine of a module's process that interprets.
type Interpreter struct{}

// Load reads and interprets the module that the process is to be.
func (Interpreter) Load(ctx context.Context, process *modproc.Process) (modproc.Program, error) {
	c, err := readSource(process.Assignment().Source)
	if err != nil {
		return nil, err
	}
	p := newProgram(c)
	around := &surroundings{dir: c.src.ProjectDir, exit: func(code int, by string, frames []interp.Frame) {
		if code == 0 {
			process.Exit(0, nil)
		}
		process.Exit(code, exitFailure(code, by, shownFrames(frames)))
	}}
	err = p.load(ctx, interp.Options{
		Symbol: around.symbol, Traced: around.traced(),
		Uncaught: func(value any, frames []interp.Frame) {
			process.Exit(2, failure(value, frames))
		},
	})
	if err != nil {
		return nil, err
	}
	// The module now waits, perhaps for long and with many others: what loading used is given back.
	debug.FreeOSMemory()
	return p, nil
}
