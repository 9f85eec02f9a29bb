package main

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

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/attach"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

type runOptions struct {
	json, once, quiet, time bool
	noWatch                 bool
	isolation, engine       string
	debounce, restartDelay  time.Duration
	backend                 string
	mqttPort, apiPort       int
}

func newRun() *cobra.Command {
	var opt runOptions
	cmd := &cobra.Command{
		Use:   "run <project>...",
		Short: "Run agents, and reload their modules as you edit them",
		Long: `Run starts every module of a project, each in a process of its own, and shows what they say.
Edit a module's file and that module alone is loaded anew, with no message and no memory lost.

A project is a folder of module folders (a single name.go beside them is a module too); coma.yaml is
optional. Several projects are several agents. The daemon of "coma backend start" is used if it runs;
otherwise the backend is part of this command and ends with it.

The first Ctrl-C stops the modules and ends; a second one ends at once.`,
		Example: `  coma run garden
  coma run garden kitchen        two agents that can talk to each other
  coma run --once --json tests   for programs: no reloading, a JSON object a line`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args, opt) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.json, "json", false, "print a JSON object for each event and log line")
	flags.BoolVar(&opt.once, "once", false, "neither reload nor restart; end when every module has ended, with exit code 1 if one failed")
	flags.BoolVarP(&opt.quiet, "quiet", "q", false, "print only what modules say to the person, and what goes wrong")
	flags.BoolVarP(&opt.time, "time", "t", false, "print the time of day with each line")
	flags.BoolVar(&opt.noWatch, "no-watch", false, "do not reload modules when their files change")
	flags.StringVar(&opt.isolation, "isolation", "", "run all modules as a process each (process) or as goroutines of this one (none)")
	flags.StringVar(&opt.engine, "engine", "", "interpret all Go modules (yaegi), compile them (go), or interpret and compile what cannot be interpreted (auto)")
	flags.DurationVar(&opt.debounce, "debounce", 50*time.Millisecond, "how long a project's files must be quiet before modules reload")
	flags.DurationVar(&opt.restartDelay, "restart-delay", supervisor.DefaultRestartDelay, "how long a failed module waits for its first restart; later ones wait up to 60 times as long")
	flags.StringVar(&opt.backend, "backend", "auto", "auto: the daemon if it runs, else one of its own; own; or an address (host:port)")
	flags.IntVar(&opt.mqttPort, "mqtt-port", 0, "MQTT port of an own backend (default: 1883, or a free one)")
	flags.IntVar(&opt.apiPort, "api-port", 0, "API port of an own backend (default: 8000, or a free one)")
	return cmd
}

func run(ctx context.Context, paths []string, opt runOptions) error {
	if opt.restartDelay <= 0 || opt.debounce <= 0 {
		return usagef("--restart-delay and --debounce must be above 0")
	}
	for _, port := range []struct {
		flag string
		n    int
	}{{"--mqtt-port", opt.mqttPort}, {"--api-port", opt.apiPort}} {
		if port.n < 0 || port.n > 65535 {
			return usagef("%s %d: want 1 to 65535", port.flag, port.n)
		}
	}
	if opt.isolation != "" && opt.isolation != "process" && opt.isolation != "none" {
		return usagef("--isolation %s: want process or none", opt.isolation)
	}
	if !slices.Contains([]string{"", "auto", "yaegi", "go"}, opt.engine) {
		return usagef("--engine %s: want auto, yaegi or go", opt.engine)
	}
	projects, err := loadProjects(paths)
	if err != nil {
		return err
	}
	out := console.New(console.Options{
		JSON: opt.json, Quiet: opt.quiet, Time: opt.time, Color: console.ColorWanted(os.Stdout),
		Names: shownNames(projects), Wide: len(projects) > 1,
	})
	services, err := attach.Open(ctx, attach.Options{
		Address: opt.backend, MQTTPort: opt.mqttPort, APIPort: opt.apiPort, Version: version(), Log: slog.New(out.LogHandler()),
	})
	if err != nil {
		return err
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
				Backend: services, Events: out.Event, Input: out.Input, Watch: !opt.once && !opt.noWatch,
				Debounce: opt.debounce, Once: opt.once, RestartDelay: opt.restartDelay, Isolation: opt.isolation, Engine: opt.engine,
			})
		})
	}
	agents.Wait()
	var errs []error
	failed := 0
	for _, r := range results {
		errs = append(errs, r.err)
		failed += len(r.result.Failed)
	}
	errs = append(errs, services.Close())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if opt.once && failed > 0 {
		return silentError{fmt.Errorf("%d modules failed", failed)}
	}
	return nil
}

// loadProjects reads all projects; what is wrong with any of them keeps all from starting.
func loadProjects(paths []string) ([]*project.Project, error) {
	var projects []*project.Project
	var errs []error
	names := map[string]string{}
	for _, path := range paths {
		p, err := project.Load(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, taken := names[p.Agent]; taken {
			errs = append(errs, fmt.Errorf("%s and %s are both agent %q: give one another name, with \"agent:\" in its coma.yaml", other, path, p.Agent))
		}
		names[p.Agent] = path
		projects = append(projects, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usageError{err}
	}
	return projects, nil
}

func shownNames(projects []*project.Project) []string {
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
			os.Exit(exitInterrupted) // module processes end when they see that their host has gone
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}
