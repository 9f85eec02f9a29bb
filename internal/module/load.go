package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/traefik/yaegi/interp"

	"github.com/concurrent-modular-agent/coma"
)

// Program is loaded code: one interpreter that holds one generation of a module.
type Program struct {
	code   *code
	run    coma.RunFunc
	traces *traces

	interrupt context.CancelFunc // ends interpreted code, wherever it is
	evaluated chan struct{}      // closed when the evaluation that holds the interpreter has returned

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
	c, err := read(src)
	if err != nil {
		return nil, err
	}
	p := newProgram(c)
	if p.stdout, err = newStream("stdout", out, usesFiles(c)); err != nil {
		return nil, fmt.Errorf("load module %s: %w", src.Name, err)
	}
	if p.stderr, err = newStream("stderr", out, usesFiles(c)); err != nil {
		p.stdout.close()
		return nil, fmt.Errorf("load module %s: %w", src.Name, err)
	}
	if usesFiles(c) {
		if p.stdin, err = os.Open(os.DevNull); err != nil {
			p.stdout.close()
			p.stderr.close()
			return nil, fmt.Errorf("load module %s: %w", src.Name, err)
		}
	}
	p.traces.uncaught = func(frames []Frame) {
		p.leave(&Failure{Cause: "panic in a goroutine", Frames: frames})
	}
	around := &surroundings{exit: p.exit, stdout: p.stdout, stderr: p.stderr, stdin: p.stdin, env: newEnvironment(variables)}
	if err := p.load(ctx, around, p.stderr); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func newProgram(c *code) *Program {
	return &Program{
		code:      c,
		traces:    newTraces(c),
		evaluated: make(chan struct{}),
		ended:     make(chan struct{}),
		interrupt: func() {},
	}
}

// load evaluates a package that imports the module and then calls control.Hold, which does not return before the program
// ends. So the evaluation is in flight for as long as the program lives, and cancelling it is yaegi's way to end
// everything that runs on an interpreter, what init functions started too.
func (p *Program) load(ctx context.Context, around *surroundings, builtin io.Writer) error {
	hold, interrupt := context.WithCancel(context.Background())
	p.interrupt = interrupt

	held := make(chan any, 1)
	in := interp.New(interp.Options{
		SourcecodeFilesystem: p.code.tree(),
		Stdin:                strings.NewReader(""),
		Stdout:               builtin, // of the builtins print and println
		Stderr:               p.traces,
		Unrestricted:         true,
	})
	use := exports(p.code.imports, around)
	use[controlPath+"/control"] = map[string]reflect.Value{
		"Hold": reflect.ValueOf(func(run any) { held <- run; <-hold.Done() }),
	}
	if err := in.Use(use); err != nil {
		return fmt.Errorf("load module %s: %w", p.code.src.Name, err)
	}
	for _, source := range genericSources(p.code.imports) {
		if _, err := in.Compile(source); err != nil {
			return fmt.Errorf("load module %s: prepare generic packages: %w", p.code.src.Name, err)
		}
	}

	failed := make(chan error, 1)
	go func() {
		defer close(p.evaluated)
		_, err := in.EvalWithContext(hold, fmt.Sprintf("import %q", startPath))
		failed <- err
	}()
	select {
	case run := <-held:
		var ok bool
		if p.run, ok = run.(coma.RunFunc); !ok {
			return p.code.wrongRun()
		}
		return nil
	case err := <-failed:
		select {
		case <-p.ended: // by os.Exit: that it failed is a consequence
			return p.endedEarly()
		default:
			return p.code.refusal(err, p.traces)
		}
	case <-p.ended:
		return p.endedEarly()
	case <-ctx.Done():
		return fmt.Errorf("load module %s: its variables and init functions did not finish: %w", p.code.src.Name, ctx.Err())
	}
}

// endedEarly is the error for code that calls os.Exit, or panics in a goroutine, before it is loaded.
func (p *Program) endedEarly() error {
	why := "os.Exit(0)"
	if reason := p.reason(); reason != nil {
		why = reason.Error()
	}
	return &LoadError{Problems: []Problem{{File: p.code.shownDir(), Message: "ended while it was loading: " + why}}}
}

// haltGrace is how long Run waits for code that was interrupted. What yaegi cannot interrupt (a sleep, a lock, a long call
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
	id := p.traces.mine()
	defer p.traces.forget(id)
	var err error
	returned := false
	defer func() {
		if value := recover(); value != nil {
			err = p.panicked(value, p.traces.frames(id))
		} else if !returned {
			err = &Failure{Cause: "runtime.Goexit ended Run"} // or os.Exit did: it has said why
		}
		result <- err
	}()
	err = p.run(ctx, agent)
	returned = true
}

// panicked is the failure for a panic that interpreted code let through.
func (p *Program) panicked(value any, frames []Frame) *Failure {
	text := panicText(value)
	// The interpreter's own complaints begin with the very place.
	if at, message, ok := p.code.position(strings.TrimPrefix(text, "panic: ")); ok {
		text = "panic: " + message
		if len(frames) > 0 && frames[0].File == at.File {
			at.Function = frames[0].Function
			frames[0] = at
		} else {
			frames = append([]Frame{at}, frames...)
		}
	}
	return &Failure{Cause: text, Frames: frames}
}

// Stop ends interpreted code that ignores its context, as far as yaegi can: loops, channel operations and goroutines end
// within a millisecond, without running their deferred functions; sleeps, locks and calls into the host go on until they
// return.
func (p *Program) Stop() { p.halt(errStopped) }

// exit is os.Exit and log.Fatal for a program that shares its process.
func (p *Program) exit(code int, by string) {
	if code == 0 {
		p.leave(nil)
	}
	p.leave(exitFailure(code, by, p.code.calls(by)))
}

// leave ends the program from one of its own goroutines, and that goroutine with it. Once yaegi has seen the interruption,
// deferred functions of the module do not run; that is as it is with os.Exit.
func (p *Program) leave(why error) {
	p.halt(why)
	<-p.evaluated
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
		p.interrupt()
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
	<-p.evaluated
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

// refusal is the *LoadError for what the interpreter says.
func (c *code) refusal(err error, traces *traces) error {
	if err == nil {
		err = errors.New("an init function ended its goroutine")
	}
	var crash interp.Panic
	if errors.As(err, &crash) {
		return &LoadError{Problems: []Problem{c.loadPanic(crash, traces)}}
	}
	at, message, ok := c.position(err.Error())
	if !ok {
		// It stumbles over a generic function of the standard library, which it interprets too, or over itself.
		text := err.Error()
		text = strings.TrimLeft(text[strings.LastIndex(text, " error: ")+1:], "0123456789: ")
		text = strings.TrimLeft(strings.TrimPrefix(text, "error: "), "0123456789: ")
		return &LoadError{Problems: []Problem{{File: c.shownDir(), Message: cannotLoad + oneLine(text)}}}
	}
	if strings.HasPrefix(message, "CFG post-order panic") {
		message = "the interpreter cannot compile what stands here, though Go may"
	}
	return &LoadError{Problems: []Problem{c.problemAt(at, message)}}
}

// cannotLoad begins what is said where the interpreter stumbles and does not say over what.
const cannotLoad = "the interpreter cannot load this code, though Go may (docs/modules.md lists what to stay clear of, such as range over an integer): "

// loadPanic tells a panic of the module's init functions and variables from one of the interpreter's compiler.
func (c *code) loadPanic(crash interp.Panic, traces *traces) Problem {
	text := panicText(crash.Value)
	if at, message, ok := c.position(strings.TrimPrefix(text, "panic: ")); ok {
		return c.problemAt(at, message)
	}
	for _, frame := range traces.last() {
		return c.problemAt(frame, "while the package initialises: "+text)
	}
	return Problem{File: c.shownDir(), Message: cannotLoad + strings.TrimPrefix(text, "panic: ")}
}

func (c *code) problemAt(at Frame, message string) Problem {
	p := Problem{File: at.File, Line: at.Line, Column: at.Column, Message: clipped(oneLine(message), maxCause)}
	for _, f := range c.files {
		if f.shown == at.File {
			p.SourceLine = sourceLine(f.data, at.Line)
		}
	}
	return p
}

func (c *code) shownDir() string { return shownFile(c.src.Dir, c.src.ProjectDir) }

var lineColumn = regexp.MustCompile(`^:(\d+):(\d+): (?s:(.*))$`)

// position finds the last place that text names in the interpreter's way (src/path/file.go:line:column: message), which
// is the innermost of nested imports.
func (c *code) position(text string) (at Frame, message string, ok bool) {
	last := -1
	for name, f := range c.files {
		i := strings.LastIndex(text, name+":")
		if i <= last {
			continue
		}
		if m := lineColumn.FindStringSubmatch(text[i+len(name):]); m != nil {
			line, _ := strconv.Atoi(m[1])   // digits, and few: it is a position
			column, _ := strconv.Atoi(m[2]) // likewise
			last, at, message, ok = i, Frame{File: f.shown, Line: line, Column: column}, m[3], true
		}
	}
	return at, message, ok
}
