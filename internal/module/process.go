//go:build unix

package module

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// process is an Instance in an OS process of its own.
//
// Its goroutines: two copy standard output and error, one keeps what the runtime prints when it dies, and watch follows
// the reports and sees the process to its end. All end with the process.
type process struct {
	spec   Spec
	cmd    *exec.Cmd
	marker string // COMA_INSTANCE, which everything that the module starts inherits
	out    Output

	orders  *os.File   // our end; its closing is the child's sign that we are gone
	reports *os.File   // their closing is our sign that the child is gone
	outputs []*os.File // our ends of standard output, standard error, runtime's last words
	copies  sync.WaitGroup
	words   *modproc.Words
	tail    *tail         // out, of a program; nil for others
	running chan struct{} // closed when a program has started, or never will

	first chan error // the answer to loading: nil, *LoadError or *Failure
	done  chan struct{}

	mu      sync.Mutex
	started bool
	asked   bool
	gone    bool          // the process was waited for: its ID may be another's
	program int           // the ID of the program's process; 0: there is none
	killed  time.Duration // the grace after which it was killed; negative: it was not
	timer   *time.Timer
	kills   time.Time
	exit    Exit
}

// StartProcess starts a process that loads the module, and returns when it has (it then waits for Start). The error is a
// *LoadError if the code does not load. Ending ctx ends the loading; afterwards it has no effect.
func StartProcess(ctx context.Context, spec Spec, out Output) (Instance, error) {
	p := &process{
		spec: spec, out: out, marker: rand.Text(), killed: -1,
		first: make(chan error, 1), done: make(chan struct{}), running: make(chan struct{}),
		words: modproc.NewWords(func(text string) { out.Line("stderr", text) }),
	}
	assignment := modproc.Assignment{Source: spec.Source, Identity: spec.identity(), MemoryLimit: spec.memoryLimit()}
	env, err := p.prepare(ctx, &assignment)
	if err != nil {
		return nil, err
	}
	if err := p.spawn(env); err != nil {
		return nil, fmt.Errorf("start process of module %s: %w", spec.Name, err)
	}
	go p.watch()
	err = modproc.NewLineWriter(p.orders, modproc.MaxOrder).Write(modproc.Order{Module: &assignment})
	if err != nil && !errors.Is(err, syscall.EPIPE) { // a broken pipe: it died at once, and watch says why
		p.Stop(0)
		<-p.done
		return nil, fmt.Errorf("start process of module %s: %w", spec.Name, err)
	}
	select {
	case err := <-p.first:
		if err == nil {
			return p, nil
		}
		<-p.done
		var refused *LoadError
		if errors.As(err, &refused) {
			return nil, err
		}
		return nil, fmt.Errorf("load module %s: %w", spec.Name, err)
	case <-ctx.Done():
		p.Stop(0)
		<-p.done
		return nil, fmt.Errorf("load module %s: its variables and init functions did not finish: %w", spec.Name, ctx.Err())
	}
}

// spawn starts the process, with that environment, and what copies its output.
func (p *process) spawn(env []string) (err error) {
	command := p.spec.Executable
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program's file: %w", err)
		}
		command = []string{self, "module"}
	}
	var theirs []*os.File
	defer func() {
		closeAll(theirs)
		if err != nil {
			closeAll(append(p.outputs, p.orders, p.reports))
		}
	}()
	pipe := func(keepReading bool) (ours, other *os.File, err error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		if keepReading {
			theirs = append(theirs, w)
			return r, w, nil
		}
		theirs = append(theirs, r)
		return w, r, nil
	}
	var ends [5]*os.File // stdout, crash, orders, reports, stderr
	ours := make([]*os.File, len(ends))
	for i := range ends {
		if ours[i], ends[i], err = pipe(i != 2); err != nil {
			closeAll(ours[:i])
			return err
		}
	}
	p.outputs = []*os.File{ours[0], ours[1], ours[4]}
	p.orders, p.reports = ours[2], ours[3]

	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Dir = p.spec.Dir
	p.cmd.Stdout, p.cmd.Stderr = ends[0], ends[1]
	p.cmd.ExtraFiles = ends[2:]
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Env = append(env, modproc.InstanceVariable+"="+p.marker)
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.copies.Go(func() { copyLines("stdout", ours[0], p.out) })
	p.copies.Go(func() { copyLines("stderr", ours[4], p.out) })
	p.copies.Go(func() { p.words.Keep(ours[1]) })
	return nil
}

// closeAll closes files that nothing is written to, or that the other side has closed: there is nothing to lose.
func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (p *process) Done() <-chan struct{} { return p.done }

func (p *process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.program, p.cmd.Process.Pid)
}

func (p *process) Exit() Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

func (p *process) Start() error {
	if err := p.order(); err != nil || p.spec.Program == nil {
		return err
	}
	<-p.running // so that PID is the program's
	return nil
}

// order gives the order to start.
func (p *process) order() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started || p.asked || p.gone {
		return fmt.Errorf("start module %s: it was started before, or has ended", p.spec.Name)
	}
	p.started = true
	if err := modproc.NewLineWriter(p.orders, modproc.MaxOrder).Write(modproc.Order{Start: true}); err != nil {
		return fmt.Errorf("start module %s: %w", p.spec.Name, err)
	}
	return nil
}

func (p *process) Stop(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	when := time.Now().Add(grace)
	if !p.asked {
		p.asked = true
		// The module alone: what it started is its own to end, in its grace.
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	} else if !when.Before(p.kills) {
		return
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	p.kills = when
	p.timer = time.AfterFunc(grace, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.gone {
			p.killed = grace
			p.killGroup()
		}
	})
}

// killGroup kills the process and what it started. The caller has mu, and gone is false: while the process has not been
// waited for, its ID cannot become another's.
func (p *process) killGroup() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails only if all have ended
}

// drainTime is how long output may take to arrive after the process has ended and its group was killed. More is only
// there to come if something that left the group still holds the pipe.
const drainTime = 500 * time.Millisecond

// watch follows the reports until the process ends, then ends what is left of it and says how it went.
func (p *process) watch() {
	said := p.follow()
	p.mu.Lock()
	if p.program == 0 {
		close(p.running)
	}
	p.killGroup()
	p.mu.Unlock()
	err := p.cmd.Wait() // at once: it has closed its reports, or was just killed
	p.mu.Lock()
	p.gone = true
	if p.timer != nil {
		p.timer.Stop()
	}
	asked, killed := p.asked, p.killed
	p.mu.Unlock()

	if said.spawns || !said.answered {
		killMarked(modproc.InstanceVariable + "=" + p.marker)
	}
	deadline := time.Now().Add(drainTime)
	for _, f := range p.outputs {
		if err := f.SetReadDeadline(deadline); err != nil {
			closeAll([]*os.File{f}) // a pipe that knows no deadline is cut off
		}
	}
	p.copies.Wait()
	closeAll(append(p.outputs, p.orders, p.reports))

	failure := p.failure(said, err, killed)
	exit := Exit{Outcome: api.Finished, Asked: asked}
	switch {
	case failure != nil && asked:
		exit.Outcome, exit.Err = api.Stopped, failure
	case failure != nil:
		exit.Outcome, exit.Err = api.Died, failure
	case err != nil, said.ended != nil && *said.ended != modproc.Ended{}:
		exit.Outcome = api.Stopped // ended by our signal before it could listen to it, or without
	case p.spec.Program != nil && said.ended == nil:
		exit.Outcome = api.Stopped // it was never started
	}
	p.mu.Lock()
	if !p.started && failure == nil {
		exit.Outcome = api.Stopped
	}
	p.exit = exit
	p.mu.Unlock()
	if !said.answered {
		if failure == nil {
			failure = &Failure{Cause: "its process ended while it was loading"}
		}
		p.first <- failure
	}
	close(p.done)
}

// story is what the process has reported.
type story struct {
	answered bool // whether it loads
	spawns   bool
	source   string // where the project was when it was compiled; "" if that is where it is
	failure  *Failure
	ended    *modproc.Ended // of a program
}

// follow reads reports until there are no more.
func (p *process) follow() story {
	var said story
	r := bufio.NewReader(p.reports)
	for {
		var line modproc.Report
		if err := modproc.ReadLine(r, modproc.MaxReport, &line); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				said.failure = &Failure{Cause: "killed: its process wrote to descriptor 4, which is coma's: " + err.Error()}
			}
			return said
		}
		switch {
		case line.Failure != nil:
			said.failure = line.Failure
		case line.Ended != nil:
			said.ended = line.Ended
		case line.Started != 0:
			p.mu.Lock()
			if p.program == 0 {
				p.program = line.Started
				close(p.running)
			}
			p.mu.Unlock()
		case said.answered: // the answer is given once
		case line.Loaded != nil:
			said.answered, said.spawns, said.source = true, line.Loaded.Spawns, line.Loaded.SourceDir
			p.first <- nil
		case line.Refused != nil:
			said.answered, said.spawns = true, true
			p.first <- &LoadError{Problems: line.Refused}
		}
	}
}

// failure says why the process ended: by the surest witness first. It is nil where it ended well, or by our signal.
func (p *process) failure(said story, err error, killed time.Duration) *Failure {
	if said.failure != nil {
		return said.failure
	}
	if killed >= 0 && signalled(err) == syscall.SIGKILL {
		if killed == 0 {
			return nil // no grace was given: being killed is what was asked for
		}
		return &Failure{Cause: fmt.Sprintf("did not stop within %v: killed", killed)}
	}
	if said.ended != nil {
		return p.programFailure(*said.ended)
	}
	died := modproc.ReadCrash(p.words.Text(), cmp.Or(said.source, p.spec.ProjectDir))
	switch {
	case err == nil:
		return nil
	case died.Memory:
		return modproc.MemoryFailure(p.spec.memoryLimit())
	case died.Cause != "":
		if !p.spec.Compiled && said.source == "" {
			died.Frames = nil // those of the interpreter
		}
		return &Failure{Cause: died.Cause, Frames: died.Frames}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return &Failure{Cause: "wait for its process: " + err.Error()}
	}
	sig := signalled(err)
	p.mu.Lock()
	asked := p.asked
	p.mu.Unlock()
	switch {
	case sig == syscall.SIGTERM && asked:
		return nil
	case sig != 0:
		return &Failure{Cause: "killed by " + modproc.SignalName(sig)}
	}
	failure := &Failure{Cause: fmt.Sprintf("exit status %d", exit.ExitCode())}
	if words := p.words.Text(); len(words) > 0 && !said.answered {
		failure.Detail = []string{modproc.Clipped(string(words), modproc.MaxCause)} // it is not even a module's process
	}
	return failure
}

// signalled is the signal that ended a process, 0 if it exited.
func signalled(err error) syscall.Signal {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
}
