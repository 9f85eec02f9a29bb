// Package supervisor keeps an agent's modules alive: it starts them, restarts those that fail, and swaps generations when
// their source changes.
//
// Run is the whole of an agent's life; keeper.go is the life of one module, a goroutine each; event.go is what is told of
// it to the outside, through one hook; backoff.go says when a failed module is started again.
package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/reload"
)

// Options say how an agent is run. Backend and Events must be set.
type Options struct {
	Backend api.Backend
	// Events takes everything that happens, in each module's own order; it is called from several goroutines.
	Events func(Event)
	// Input asks the person; nil: nobody is there.
	Input func(ctx context.Context, agent, module, prompt string) (string, error)

	Watch    bool          // reload modules when their source changes
	Debounce time.Duration // see reload.Options
	Once     bool          // start no module twice: Run ends when all have ended
	// RestartDelay is how long a module that failed waits for its first restart; each further one waits twice as long, up to
	// 60 times this, until it has run for 60 times this without failing. 0: 1 s.
	RestartDelay time.Duration
	Isolation    string // overrides the modules' own, if set
	Engine       string // overrides that of all Go modules, if set: yaegi, go or auto
	Embedder     string // of the agent's memory, where the project names none
	MemoryAt     string // where the agent's memory is, where the project does not say: see api.MemorySettings.At

	Executable []string                // see module.Spec
	Compiled   bool                    // Executable has all modules compiled in
	Funcs      map[string]coma.RunFunc // compiled modules, by name, instead of source
}

// Result tells how the modules of a run have ended.
type Result struct {
	Failed []string // modules that ended with a failure, or never loaded; sorted
}

// supervisor is one run of one agent.
type supervisor struct {
	opt     Options
	project *project.Project // as it was at the start: the agent's name and limits do not change while it lives
	host    api.Host
	uplink  bool          // the broker is elsewhere, not the backend's own
	loading chan struct{} // a slot for each module that is being loaded

	mu      sync.Mutex
	keepers map[string]*keeper
	running sync.WaitGroup // keepers
	failed  map[string]bool

	reports reports
}

// Run runs the agent of a project until ctx ends, or, with Once, until all modules have ended. When it returns, no module
// runs any more. The error says why the agent could not be run at all.
func Run(ctx context.Context, p *project.Project, opt Options) (Result, error) {
	s := &supervisor{
		opt: opt, project: p, keepers: map[string]*keeper{}, failed: map[string]bool{},
		loading: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
	}
	status, err := opt.Backend.Status(ctx)
	if err != nil {
		return Result{}, err
	}
	s.uplink = status.External
	var names, mqtt []string
	for _, m := range p.Modules {
		names = append(names, m.Name)
		if s.mailbox(m) == "mqtt" {
			mqtt = append(mqtt, m.Name)
		}
	}
	host, err := opt.Backend.Attach(ctx, api.Attachment{
		Agent: p.Agent, Project: p.Dir, PID: os.Getpid(), Modules: names, Durable: p.Durable, Limit: p.MailboxLimit, MQTT: mqtt,
		Memory: api.MemorySettings{Embedder: cmp.Or(p.Memory.Embedder, opt.Embedder), TTL: p.Memory.TTL, Limit: p.Memory.Limit, At: cmp.Or(p.Memory.At, opt.MemoryAt)},
	}, console{s})
	if err != nil {
		return Result{}, err
	}
	s.host = host
	s.reports.open(host, s.tell)
	for _, problem := range p.Problems {
		s.event(Event{Kind: Problem, Module: problem.Name, Err: errors.New(problem.String())})
	}
	life, stop := context.WithCancel(ctx)
	defer stop()
	for _, m := range p.Modules {
		s.start(life, m)
	}
	watched := make(chan error, 1)
	if opt.Watch {
		go func() {
			watched <- reload.Watch(life, p, reload.Options{Debounce: opt.Debounce, Log: slog.New(slog.DiscardHandler)}, func(c reload.Change) { s.apply(life, c) })
		}()
		select {
		case <-life.Done():
			err = <-watched
		case err = <-watched:
			if err != nil {
				s.event(Event{Kind: Problem, Err: fmt.Errorf("files are no longer watched: %w", err)})
				err = nil
			}
			<-life.Done()
		}
	} else if opt.Once {
		s.running.Wait()
	} else {
		<-life.Done()
	}
	stop()
	s.running.Wait()
	s.reports.close()
	err = errors.Join(err, host.Close())
	var result Result
	for name, failed := range s.failed {
		if failed {
			result.Failed = append(result.Failed, name)
		}
	}
	slices.Sort(result.Failed)
	return result, err
}

// start gives a module a keeper.
func (s *supervisor) start(ctx context.Context, m *project.Module) {
	life, stop := context.WithCancel(ctx)
	k := &keeper{supervisor: s, name: m.Name, edits: make(chan *project.Module, 1), stop: stop, ended: make(chan struct{})}
	k.path = s.path(m)
	k.pause.first = cmp.Or(s.opt.RestartDelay, DefaultRestartDelay)
	s.mu.Lock()
	s.keepers[m.Name] = k
	s.mu.Unlock()
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer close(k.ended)
		defer stop()
		k.keep(life, m)
	}()
}

// apply acts on what has changed in the project. It is called by one goroutine at a time.
func (s *supervisor) apply(ctx context.Context, c reload.Change) {
	if c.Err != nil {
		s.event(Event{Kind: Problem, Err: c.Err})
		return
	}
	if c.Project.Agent != s.project.Agent || c.Project.Durable != s.project.Durable || c.Project.MailboxLimit != s.project.MailboxLimit || c.Project.Memory != s.project.Memory {
		s.event(Event{Kind: Problem, Err: errors.New("coma.yaml: the agent's name and the settings of its mailboxes and its memory take effect when coma run is started again")})
	}
	for _, name := range c.Removed {
		s.remove(c.Project, name)
	}
	for _, m := range slices.Concat(c.Added, c.Changed) {
		s.mu.Lock()
		k := s.keepers[m.Name]
		s.mu.Unlock()
		if k == nil {
			s.announce(m)
			s.start(ctx, m)
			continue
		}
		k.path = s.path(m)
		k.edit(m)
	}
	if len(c.Added)+len(c.Changed)+len(c.Removed) == 0 {
		for _, p := range c.Project.Problems {
			s.event(Event{Kind: Problem, Module: p.Name, Err: errors.New(p.String())})
		}
	}
}

// mailbox is how a module takes its messages; see project.Module. Only coma's own broker brings a module's messages to its
// MQTT client without losing any: where the broker is another, modules of the framework take them from the host, as far as
// coma starts them itself.
func (s *supervisor) mailbox(m *project.Module) string {
	if s.uplink && m.Exec != nil && m.Exec.Framework && m.Exec.Command == nil {
		return ""
	}
	return m.Mailbox
}

// path is a module's file or folder as problems name it.
func (s *supervisor) path(m *project.Module) string {
	path, err := filepath.Rel(s.project.Dir, cmp.Or(m.File, m.Dir))
	if err != nil {
		return m.Name
	}
	return filepath.ToSlash(path)
}

// announce makes the backend know a new module, so that it has a mailbox before anybody hears that it has started.
func (s *supervisor) announce(m *project.Module) {
	ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
	defer cancel()
	err := s.host.Report(ctx, api.ModuleState{Module: m.Name, State: api.Starting, Since: time.Now(), Mailbox: s.mailbox(m)})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) { // a backend that is away learns it when it is back
		s.tell(fmt.Errorf("report state of %s: %w", m.Name, err))
	}
}

// remove stops a module whose folder has gone, or that has been disabled; its mailbox goes with the folder. A folder that
// is there and is no module any more (its Run is missing, perhaps only for now) is a bad edit: what runs goes on.
func (s *supervisor) remove(p *project.Project, name string) {
	s.mu.Lock()
	k := s.keepers[name]
	s.mu.Unlock()
	if k == nil {
		return
	}
	for _, problem := range p.Problems {
		if problem.Name == k.path {
			s.event(Event{Kind: LoadFailed, Module: name, Generation: k.loadedGeneration(), Err: errors.New(problem.String())})
			return
		}
	}
	k.stop()
	<-k.ended
	s.mu.Lock()
	delete(s.keepers, name)
	delete(s.failed, name)
	s.mu.Unlock()
	disabled := slices.Contains(p.Disabled, name)
	if !disabled {
		ctx, cancel := context.WithTimeout(context.Background(), reportTimeout)
		defer cancel()
		s.reports.forget(name)
		if err := s.host.Remove(ctx, name); err != nil {
			s.event(Event{Kind: Problem, Module: name, Err: fmt.Errorf("remove mailbox: %w", err)})
		}
	}
	s.event(Event{Kind: Removed, Module: name})
}

func (s *supervisor) event(e Event) {
	e.Time, e.Agent = time.Now(), s.project.Agent
	s.opt.Events(e)
}

func (s *supervisor) tell(err error) {
	s.event(Event{Kind: Problem, Err: err})
}

// console passes on what modules say.
type console struct{ s *supervisor }

func (c console) Log(module string, entry api.LogEntry) {
	c.s.event(Event{Kind: Logged, Module: module, Log: entry})
}

func (c console) Print(module, text string) {
	c.s.event(Event{Kind: Printed, Module: module, Text: text})
}

func (c console) Input(ctx context.Context, module, prompt string) (string, error) {
	if c.s.opt.Input == nil {
		return "", api.ErrNoInput
	}
	return c.s.opt.Input(ctx, c.s.project.Agent, module, prompt)
}

// output logs the lines that a module writes.
type output struct {
	s      *supervisor
	module string
}

func (o output) Line(stream, text string) {
	o.s.event(Event{Kind: Logged, Module: o.module, Stream: stream, Log: api.LogEntry{Time: time.Now(), Level: slog.LevelInfo.String(), Text: text}})
}

// source returns what package module needs to know of a module's files.
func (s *supervisor) source(m *project.Module, text map[string]string) module.Source {
	return module.Source{Text: text, Name: m.Name, Dir: m.Dir, GoFiles: m.GoFiles, ProjectDir: s.project.Dir, ModulePath: s.project.ModulePath, GoVersion: s.project.GoVersion}
}
