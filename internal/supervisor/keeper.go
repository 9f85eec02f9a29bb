package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/project"
)

// keeper is the life of one module. All fields but edits and generation belong to the goroutine of keep.
type keeper struct {
	supervisor *supervisor
	name       string
	edits      chan *project.Module // capacity 1: the newest source that has not been looked at
	path       string               // of the module's file or folder, relative to the project, as problems name it; apply's own
	stop       context.CancelFunc
	ended      chan struct{}
	generation atomic.Int64 // of what runs, or ran last; 0: nothing has been loaded

	current  module.Instance // nil: nothing runs
	source   *project.Module // what current was loaded from, or what ran last
	text     map[string]string
	engine   string    // what runs current, or ran last
	mailbox  string    // how current takes its messages, or the first generation is going to: see project.Module
	started  time.Time // when current was
	restarts int
	lastErr  string
	pause    backoff
}

// edit gives the keeper newer source.
func (k *keeper) edit(m *project.Module) {
	for {
		select {
		case k.edits <- m:
			return
		default:
		}
		select {
		case <-k.edits: // an older one that nobody will miss
		default:
		}
	}
}

func (k *keeper) loadedGeneration() int { return int(k.generation.Load()) }

// loaded is the outcome of loading a generation.
type loaded struct {
	instance module.Instance
	err      error
	source   *project.Module
	text     map[string]string // of the source's files: see module.Source
	engine   string            // what runs it: project.EngineYaegi, EngineGo or EngineExec
	began    time.Time
	restart  bool // the same source as before, after its end
}

// keep runs the module until ctx ends, or it has ended for good and no edit can bring it back.
func (k *keeper) keep(ctx context.Context, m *project.Module) {
	var (
		loads   chan loaded        // what is being loaded; nil: nothing
		abandon context.CancelFunc // of that
		timer   <-chan time.Time   // until the restart; nil: none is due
	)
	load := func(l loaded) {
		if loads != nil {
			abandon()
			k.discard(loads)
		}
		var loadCtx context.Context
		loadCtx, abandon = context.WithCancel(ctx)
		loads = make(chan loaded, 1)
		go k.load(loadCtx, loads, l)
	}
	k.mailbox = k.supervisor.mailbox(m)
	k.report(api.Starting)
	load(loaded{source: m, began: time.Now()})
	for {
		var done <-chan struct{}
		if k.current != nil {
			done = k.current.Done()
		}
		select {
		case <-ctx.Done():
			if loads != nil {
				abandon()
				k.discard(loads)
			}
			k.end()
			return

		case edited := <-k.edits:
			timer = nil
			load(loaded{source: edited, began: time.Now()})

		case l := <-loads:
			abandon()
			loads = nil
			if ctx.Err() != nil {
				if l.instance != nil {
					discard(l.instance)
				}
				continue
			}
			if !k.swap(l) && k.current == nil && k.final() {
				return
			}

		case <-done:
			delay := k.buried()
			if delay > 0 {
				timer = time.After(delay)
			} else if loads == nil && k.final() {
				return
			}

		case <-timer:
			timer = nil
			load(loaded{source: k.source, text: k.text, began: time.Now(), restart: true})
		}
	}
}

// final reports whether an ended module stays ended: without a watcher nothing can bring it back.
func (k *keeper) final() bool { return !k.supervisor.opt.Watch }

// load loads l.source and sends the outcome, which is then the receiver's.
func (k *keeper) load(ctx context.Context, to chan<- loaded, l loaded) {
	s := k.supervisor
	s.loading <- struct{}{}
	defer func() { <-s.loading }()
	generation := k.loadedGeneration()
	if !l.restart || generation == 0 {
		generation++
	}
	endpoint := s.host.Endpoint()
	if l.text == nil {
		l.text = snapshot(l.source)
	}
	spec := module.Spec{
		Source: s.source(l.source, l.text), Agent: s.project.Agent, Generation: generation, Env: l.source.Env,
		MemoryLimit: l.source.MemoryLimit, Grace: l.source.Grace,
		API: endpoint.API, Broker: endpoint.Broker, Token: endpoint.Token, HTTP: endpoint.HTTP, Mailbox: s.mailbox(l.source), Executable: s.opt.Executable,
	}
	out := output{s, k.name}
	open := func() (api.Session, error) {
		return s.host.Open(context.WithoutCancel(ctx), k.identity(generation))
	}
	if run := s.opt.Funcs[k.name]; run != nil {
		l.engine = project.EngineGo
		l.instance, l.err = module.StartFunc(ctx, spec, run, out, open)
	} else {
		l.instance, l.engine, l.err = k.loadSource(ctx, l.source, spec, out, open)
	}
	to <- l
}

// snapshot reads a module's source, and that of the packages that it imports. It is nil where not all can be read, or be
// passed on as text: the loading then reads the files itself, and tells what is wrong.
func snapshot(m *project.Module) map[string]string {
	names := slices.Clone(m.GoFiles)
	for _, dir := range m.Imports {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".go" && !e.IsDir() {
				names = append(names, filepath.Join(dir, e.Name()))
			}
		}
	}
	text := make(map[string]string, len(names))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || !utf8.Valid(data) {
			return nil
		}
		text[name] = string(data)
	}
	return text
}

func (k *keeper) isolation(m *project.Module) string {
	if k.supervisor.opt.Funcs[k.name] != nil {
		return "none"
	}
	if m.Engine == project.EngineExec {
		return "process"
	}
	if k.supervisor.opt.Isolation != "" {
		return k.supervisor.opt.Isolation
	}
	return m.Isolation
}

func (k *keeper) identity(generation int) api.Identity {
	return api.Identity{Agent: k.supervisor.project.Agent, Module: k.name, Generation: generation}
}

// discard ends what is being loaded, whenever that is done.
func (k *keeper) discard(loads <-chan loaded) {
	k.supervisor.running.Add(1)
	go func() {
		defer k.supervisor.running.Done()
		if l := <-loads; l.instance != nil {
			discard(l.instance)
		}
	}()
}

func discard(i module.Instance) {
	i.Stop(0)
	<-i.Done()
}

// swap puts what has been loaded in the place of what runs. It reports whether that is running now.
func (k *keeper) swap(l loaded) bool {
	s := k.supervisor
	if l.err != nil {
		k.lastErr = l.err.Error()
		s.event(Event{Kind: LoadFailed, Module: k.name, Generation: k.loadedGeneration(), Err: l.err})
		if k.current == nil {
			k.fail(true)
			k.report(api.Failed)
		} else {
			k.report(api.Running)
		}
		return false
	}
	if k.current != nil {
		k.halt()
		exit := k.current.Exit()
		k.tellEnd(exit)
		if exit.Err != nil {
			s.event(Event{Kind: Stopped, Module: k.name, Generation: k.loadedGeneration(), Err: exit.Err})
		}
		k.current = nil
	}
	kind := Restarted
	if !l.restart {
		kind = Reloaded
		k.pause.last = 0
		if k.generation.Add(1) == 1 {
			kind = Started
		}
	} else {
		k.restarts++
		if k.loadedGeneration() == 0 {
			k.generation.Store(1)
		}
	}
	if err := l.instance.Start(); err != nil {
		<-l.instance.Done()
		// Its end is dealt with as any other's.
		k.run(l)
		return true
	}
	k.run(l)
	k.lastErr = ""
	k.fail(false)
	s.event(Event{Kind: kind, Module: k.name, Generation: k.loadedGeneration(), PID: l.instance.PID(), Took: time.Since(l.began)})
	k.report(api.Running)
	return true
}

// run makes what has been loaded and started what runs.
func (k *keeper) run(l loaded) {
	k.current, k.source, k.text, k.engine, k.mailbox, k.started = l.instance, l.source, l.text, l.engine, k.supervisor.mailbox(l.source), time.Now()
}

// buried deals with the end of what ran, which nobody had asked for. It returns how long to wait before it is started
// again, 0 for never.
func (k *keeper) buried() time.Duration {
	s := k.supervisor
	exit := k.current.Exit()
	k.tellEnd(exit)
	k.current = nil
	failed := exit.Outcome == api.Died || exit.Err != nil
	policy := k.source.Restart
	var delay time.Duration
	if !s.opt.Once && (policy == "always" || failed && policy != "never") {
		delay = k.pause.next(time.Since(k.started))
	}
	kind, state := Ended, api.Done
	if failed {
		kind, state = Failed, api.Failed
		if exit.Err != nil {
			k.lastErr = exit.Err.Error()
		}
	}
	if delay > 0 {
		state = api.Waiting
	}
	k.fail(failed)
	s.event(Event{Kind: kind, Module: k.name, Generation: k.loadedGeneration(), Err: exit.Err, Delay: delay})
	k.report(state)
	return delay
}

// end stops what runs, for good.
func (k *keeper) end() {
	if k.current == nil {
		return
	}
	k.halt()
	exit := k.current.Exit()
	k.tellEnd(exit)
	k.current = nil
	k.supervisor.event(Event{Kind: Stopped, Module: k.name, Generation: k.loadedGeneration(), Err: exit.Err})
	k.report(api.Done)
}

// halt stops what runs, and waits for its end. A program may have no command running just now that hears the request: the
// backend tells the next one that asks for a message.
func (k *keeper) halt() {
	if k.engine == project.EngineExec {
		k.report(api.Stopping)
	}
	k.current.Stop(k.source.Grace)
	<-k.current.Done()
}

// tellEnd tells the backend how a generation ended, before another takes its seat.
func (k *keeper) tellEnd(exit module.Exit) {
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	outcome := exit.Outcome
	if outcome == api.Finished && k.engine != project.EngineExec {
		// A Go module says so itself. One that could not has not said either what it had finished with: that comes again.
		outcome = api.Stopped
	}
	err := k.supervisor.host.Ended(ctx, k.identity(k.loadedGeneration()), outcome)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		k.supervisor.tell(err)
	}
}

func (k *keeper) fail(failed bool) {
	s := k.supervisor
	s.mu.Lock()
	s.failed[k.name] = failed
	s.mu.Unlock()
}

func (k *keeper) report(state string) {
	r := api.ModuleState{
		Module: k.name, State: state, Generation: k.loadedGeneration(), Restarts: k.restarts, Since: time.Now(), LastError: k.lastErr, Mailbox: k.mailbox,
	}
	if k.source != nil {
		r.Isolation, r.Engine = k.isolation(k.source), k.engine
	}
	if k.current != nil {
		r.PID = k.current.PID()
	}
	k.supervisor.reports.set(r)
}
