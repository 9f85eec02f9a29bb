// Package foreground runs agents for a person or a program that looks on: with a console, signals and a backend, until
// they are stopped or have ended. "coma run" and the programs of "coma build" are this with their own flags.
package foreground

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/attach"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// Options are those of the commands; Check says whether they make sense.
type Options struct {
	JSON, Quiet, Time bool          // how things are shown
	Once              bool          // start no module twice; end when all have ended
	Watch             bool          // reload modules when their files change
	Isolation, Engine string        // override the modules' own, if set
	Debounce          time.Duration // 0: see reload.Options
	RestartDelay      time.Duration // 0: supervisor.DefaultRestartDelay
	Backend           string        // see attach.Options.Address
	MQTTPort, APIPort int
	Uplink            backend.Uplink // see attach.Options; "": as coma.yaml says, or COMA_BROKER
	Version           string

	Executable []string                // see module.Spec
	Compiled   bool                    // see supervisor.Options
	Funcs      map[string]coma.RunFunc // see supervisor.Options
}

// Check returns what is wrong with the options, and with COMA_EMBEDDER beside them, in words for whoever has typed them.
func (o Options) Check() error {
	if o.RestartDelay < 0 || o.Debounce < 0 {
		return errors.New("--restart-delay and --debounce must be above 0")
	}
	for _, port := range []struct {
		flag string
		n    int
	}{{"--mqtt-port", o.MQTTPort}, {"--api-port", o.APIPort}} {
		if port.n < 0 || port.n > 65535 {
			return fmt.Errorf("%s %d: want 1 to 65535", port.flag, port.n)
		}
	}
	if o.Isolation != "" && o.Isolation != "process" && o.Isolation != "none" {
		return fmt.Errorf("--isolation %s: want process or none", o.Isolation)
	}
	if !slices.Contains([]string{"", project.EngineAuto, project.EngineYaegi, project.EngineGo}, o.Engine) {
		return fmt.Errorf("--engine %s: want auto, yaegi or go", o.Engine)
	}
	if _, err := embed.Parse(os.Getenv(embed.Variable)); err != nil {
		return fmt.Errorf("%s: %w", embed.Variable, err)
	}
	if at := os.Getenv(memoryVariable); at != "" {
		if err := project.CheckAddress(at); err != nil {
			return fmt.Errorf("%s: %w", memoryVariable, err)
		}
	}
	return nil
}

// memoryVariable names the backend that has the memories of agents whose project does not name one.
const memoryVariable = "COMA_MEMORY"

// Run runs the agents of projects, one each, until the first Ctrl-C or, with Once, until all modules have ended. It
// returns how many modules failed. The error says why the agents could not be run at all.
func Run(ctx context.Context, projects []*project.Project, opt Options) (failed int, err error) {
	out := console.New(console.Options{
		JSON: opt.JSON, Quiet: opt.Quiet, Time: opt.Time, Color: console.ColorWanted(os.Stdout),
		Names: Names(projects), Wide: len(projects) > 1,
	})
	broker, err := broker(projects, opt.Uplink)
	if err != nil {
		return 0, err
	}
	services, err := attach.Open(ctx, attach.Options{
		Address: opt.Backend, MQTTPort: opt.MQTTPort, APIPort: opt.APIPort, Uplink: broker, Embedder: os.Getenv(embed.Variable), Version: opt.Version, Log: slog.New(out.LogHandler()),
	})
	if err != nil {
		return 0, err
	}
	out.Say("%s", services.Note)
	ctx, stop := interruptible(ctx, out)
	defer stop()

	type ended struct {
		result supervisor.Result
		err    error
	}
	results := make([]ended, len(projects))
	var agents sync.WaitGroup
	for i, p := range projects {
		agents.Go(func() {
			results[i].result, results[i].err = supervisor.Run(ctx, p, supervisor.Options{
				Backend: services, Events: out.Event, Input: out.Input, Watch: opt.Watch, Debounce: opt.Debounce, Once: opt.Once,
				RestartDelay: opt.RestartDelay, Isolation: opt.Isolation, Engine: opt.Engine, Embedder: os.Getenv(embed.Variable), MemoryAt: os.Getenv(memoryVariable), Executable: opt.Executable, Compiled: opt.Compiled, Funcs: opt.Funcs,
			})
		})
	}
	agents.Wait()
	var errs []error
	for _, r := range results {
		errs = append(errs, r.err)
		failed += len(r.result.Failed)
	}
	return failed, errors.Join(append(errs, services.Close())...)
}

// broker returns the broker that is meant, if not the backend's own: the one that the user names, else the projects', else
// the environment's.
func broker(projects []*project.Project, named backend.Uplink) (backend.Uplink, error) {
	choices := []backend.Uplink{named}
	var first *project.Project
	for _, p := range projects {
		switch {
		case p.Broker == project.Broker{}:
		case first == nil:
			first = p
			choices = append(choices, backend.Uplink{
				URL: p.Broker.URL, User: p.Broker.User, CA: p.Broker.CA, Cert: p.Broker.Cert, Key: p.Broker.Key, NoMirror: p.Broker.NoMirror,
			})
		case p.Broker != first.Broker && named.URL == "":
			return backend.Uplink{}, fmt.Errorf("agents %s and %s ask for different brokers: run them one by one, or name one with --broker", first.Agent, p.Agent)
		}
	}
	return backend.ChooseUplink(os.Getenv, choices...)
}

// Names are those that the console shows: see console.Options.
func Names(projects []*project.Project) []string {
	names := []string{"coma"}
	for _, p := range projects {
		for _, m := range p.Modules {
			if len(projects) > 1 {
				names = append(names, p.Agent+"/"+m.Name)
			} else {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

// ExitInterrupted is the exit code of a process that a second Ctrl-C has ended.
const ExitInterrupted = 130

// interruptible returns a context that the first Ctrl-C (or SIGTERM) ends; the second ends the process.
func interruptible(ctx context.Context, out *console.Console) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			out.Say("stopping (Ctrl-C again ends at once)")
			cancel()
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(ExitInterrupted) // module processes end when they see that their host has gone
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
