package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/foreground"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

func newRun() *cobra.Command {
	var opt foreground.Options
	var noWatch bool
	cmd := &cobra.Command{
		Use:   "run <project>...",
		Short: "Run agents, and reload their modules as you edit them",
		Long: `Run starts every module of a project, each in a process of its own, and shows what they say.
Edit a module's file and that module alone is loaded anew, with no message and no memory lost.

A project is a folder of module folders, each with a Go package that has func Run, or a program: main.py, main.js,
main.sh, an executable main. A single file beside them is a module too: name.go, name.py, name.js, name.sh, an executable.
coma.yaml is optional. Several projects are several agents. The daemon of "coma backend start" is used if it runs;
otherwise the backend is part of this command and ends with it.

--broker, broker: in coma.yaml or COMA_BROKER name an MQTT broker that takes the place of coma's own; user and password
stand in its URL, or in COMA_BROKER_USER and COMA_BROKER_PASSWORD. See docs/network.md.

The memory's embedder is the one that coma.yaml names, else that of COMA_EMBEDDER, else the memory's own; a new memory
has minilm, which is inside coma.

The first Ctrl-C stops the modules and ends; a second one ends at once.`,
		Example: `  coma run garden
  coma run garden kitchen        two agents that can talk to each other
  coma run --once --json tests   for programs: no reloading, a JSON object a line`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := settleBroker(&opt.Uplink); err != nil {
				return err
			}
			opt.Watch, opt.Version = !opt.Once && !noWatch, version()
			return run(cmd.Context(), args, opt)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.JSON, "json", false, "print a JSON object for each event and log line")
	flags.BoolVar(&opt.Once, "once", false, "neither reload nor restart; end when every module has ended, with exit code 1 if one failed")
	flags.BoolVarP(&opt.Quiet, "quiet", "q", false, "print only what modules say to the person, and what goes wrong")
	flags.BoolVarP(&opt.Time, "time", "t", false, "print the time of day with each line")
	flags.BoolVar(&noWatch, "no-watch", false, "do not reload modules when their files change")
	flags.StringVar(&opt.Isolation, "isolation", "", "run all Go modules as a process each (process) or as goroutines of this one (none)")
	flags.StringVar(&opt.Engine, "engine", "", "interpret all Go modules (yaegi), compile them (go), or interpret and compile what cannot be interpreted (auto)")
	flags.DurationVar(&opt.Debounce, "debounce", 50*time.Millisecond, "how long a project's files must be quiet before modules reload")
	flags.DurationVar(&opt.RestartDelay, "restart-delay", supervisor.DefaultRestartDelay, "how long a failed module waits for its first restart; later ones wait up to 60 times as long")
	flags.StringVar(&opt.Backend, "backend", "auto", "auto: the daemon if it runs, else one of its own; own; or an address (host:port)")
	flags.IntVar(&opt.MQTTPort, "mqtt-port", 0, "MQTT port of an own backend (default: 1883, or a free one)")
	flags.IntVar(&opt.APIPort, "api-port", 0, "API port of an own backend (default: 8000, or a free one)")
	brokerFlags(cmd, &opt.Uplink)
	return cmd
}

func run(ctx context.Context, paths []string, opt foreground.Options) error {
	if opt.RestartDelay <= 0 || opt.Debounce <= 0 {
		return usagef("--restart-delay and --debounce must be above 0")
	}
	if err := opt.Check(); err != nil {
		return usageError{err}
	}
	projects, err := loadProjects(paths)
	if err != nil {
		return err
	}
	failed, err := foreground.Run(ctx, projects, opt)
	if errors.Is(err, api.ErrInvalid) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	if opt.Once && failed > 0 {
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
