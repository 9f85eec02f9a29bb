package module

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// runner is what a generation inside the host's process runs: a Program or a compiled function.
type runner interface {
	Run(ctx context.Context, agent *coma.Agent) error
	Stop()
	Close()
}

// StartGoroutines loads a module's code into this process. Open is called when it starts, to give it its seat at the
// host. The error is a *LoadError if the code does not load.
func StartGoroutines(ctx context.Context, spec Spec, out Output, open func() (api.Session, error)) (Instance, error) {
	program, err := load(ctx, spec.Source, spec.variables(), out)
	if err != nil {
		return nil, err
	}
	return newGoroutines(program, spec, open), nil
}

// StartFunc makes an instance of a compiled function. It cannot be stopped against its will: where it ignores its context,
// its goroutine stays behind and the instance's Exit says so.
func StartFunc(_ context.Context, spec Spec, run coma.RunFunc, _ Output, open func() (api.Session, error)) (Instance, error) {
	if run == nil {
		return nil, fmt.Errorf("start module %s: no function is given", spec.Name)
	}
	return newGoroutines(&funcRunner{run: run, projectDir: spec.ProjectDir, stopped: make(chan struct{})}, spec, open), nil
}

// goroutines is an Instance inside the host's process.
type goroutines struct {
	spec Spec
	run  runner
	open func() (api.Session, error)
	done chan struct{}

	mu      sync.Mutex
	started bool
	stop    context.CancelFunc // ends Run's context; nil before Start
	asked   bool
	killed  time.Duration // the grace after which it was killed
	timer   *time.Timer   // kills when the grace is over
	kills   time.Time
	exit    Exit
}

func newGoroutines(run runner, spec Spec, open func() (api.Session, error)) *goroutines {
	return &goroutines{spec: spec, run: run, open: open, done: make(chan struct{})}
}

func (g *goroutines) Done() <-chan struct{} { return g.done }
func (g *goroutines) PID() int              { return 0 }

func (g *goroutines) Exit() Exit {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.exit
}

func (g *goroutines) Start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.started || g.asked {
		return fmt.Errorf("start module %s: it was started or stopped before", g.spec.Name)
	}
	g.started = true
	var ctx context.Context
	ctx, g.stop = context.WithCancel(context.Background()) // outlives whoever starts it
	go func() { g.end(g.live(ctx)) }()
	return nil
}

func (g *goroutines) Stop(grace time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := !g.asked
	g.asked = true
	if !g.started {
		if first {
			go g.end(Exit{Outcome: api.Stopped})
		}
		return
	}
	g.stop()
	when := time.Now().Add(grace)
	if g.timer != nil && !when.Before(g.kills) {
		return
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	g.kills = when
	g.timer = time.AfterFunc(grace, func() {
		g.mu.Lock()
		g.killed = grace
		g.mu.Unlock()
		g.run.Stop()
	})
}

// live runs the module from its seat at the host to its end.
func (g *goroutines) live(ctx context.Context) Exit {
	session, err := g.open()
	if err != nil {
		return Exit{Outcome: api.Died, Err: &Failure{Cause: "cannot reach the host: " + err.Error()}}
	}
	err = g.run.Run(ctx, coma.NewAgent(session, g.spec.Dir, nil))

	g.mu.Lock()
	asked, killed := g.asked, g.killed
	g.mu.Unlock()
	outcome, failure := modproc.Judge(err, asked)
	if errors.Is(err, errStopped) {
		outcome, failure = api.Stopped, &Failure{Cause: fmt.Sprintf("did not stop within %v: interrupted", killed)}
	}
	exit := Exit{Outcome: api.Finished}
	if failure != nil {
		exit = Exit{Outcome: outcome, Err: failure}
	}
	if err := session.Close(outcome); err != nil && exit.Err == nil && !errors.Is(err, api.ErrClosed) && !errors.Is(err, api.ErrReplaced) {
		exit.Outcome, exit.Err = api.Died, &Failure{Cause: "close session: " + err.Error()}
	}
	return exit
}

func (g *goroutines) end(exit Exit) {
	g.run.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop != nil {
		g.stop()
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	exit.Asked = g.asked
	g.exit = exit
	close(g.done)
}

// funcRunner runs a compiled function.
type funcRunner struct {
	run        coma.RunFunc
	projectDir string
	once       sync.Once
	stopped    chan struct{}
}

func (f *funcRunner) Run(ctx context.Context, agent *coma.Agent) error {
	result := make(chan error, 1)
	go f.call(ctx, agent, result)
	select {
	case err := <-result:
		return err
	case <-f.stopped:
		return &Failure{
			Cause:  "did not stop when asked to, and goes on",
			Detail: []string{"a compiled function in the host's process cannot be stopped against its will"},
		}
	}
}

func (f *funcRunner) call(ctx context.Context, agent *coma.Agent, result chan<- error) {
	var err error
	returned := false
	defer func() {
		if value := recover(); value != nil {
			err = compiledFailure(value, f.projectDir)
		} else if !returned {
			err = &Failure{Cause: "runtime.Goexit ended Run"}
		}
		result <- err
	}()
	err = f.run(ctx, agent)
	returned = true
}

func (f *funcRunner) Stop() { f.once.Do(func() { close(f.stopped) }) }

func (f *funcRunner) Close() {}
