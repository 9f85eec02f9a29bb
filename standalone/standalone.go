// Package standalone is the frame around a whole agent in one binary, as "coma build" makes it. The main package that coma
// generates calls Main; nobody else needs this package.
//
// The program behaves as "coma run" does, without reloading: each module in a process of its own (a copy of this program),
// restarts, mailboxes, memory, an embedded backend or the daemon, the same output and exit codes.
//
// What else lies in the project (prompts, data, coma.yaml) is in the binary and is unpacked when the program first starts
// (see unpack.go); the modules' source is not. As in any Go program, package variables and init functions of all modules
// run in each of its processes.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/foreground"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// Agent is what a program is made of.
type Agent struct {
	Folder    string                  // the name of the project's folder, which is the agent's where coma.yaml does not say
	SourceDir string                  // the project's folder on the machine that built the program: panics name files in it
	Files     string                  // the project without its source: a zip archive
	Modules   map[string]coma.RunFunc // by name
	Version   string                  // of coma
}

// Exit codes, as those of coma.
const (
	exitFailed = 1 // it failed, or with --once a module did
	exitUsage  = 2 // the command line is wrong, or the configuration: nothing was started
)

// Main is the program.
func Main(agent Agent) {
	if len(os.Args) == 2 && os.Args[1] == "module" {
		os.Exit(modproc.Main(modproc.Functions{Modules: agent.Modules, SourceDir: agent.SourceDir}, seat))
	}
	err := command(agent).Execute()
	var failed failedError
	var wrong startError
	switch {
	case err == nil:
		return
	case errors.As(err, &failed): // has been told already
		os.Exit(exitFailed)
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", filepath.Base(os.Args[0]), strings.TrimSpace(err.Error()))
	if errors.As(err, &wrong) {
		os.Exit(exitFailed)
	}
	os.Exit(exitUsage)
}

// failedError tells that modules failed, with --once.
type failedError struct{ modules int }

func (e failedError) Error() string { return fmt.Sprintf("%d modules failed", e.modules) }

// startError is one that is not the command line's.
type startError struct{ error }

func (e startError) Unwrap() error { return e.error }

// seat connects a module's process to its host.
func seat(ctx context.Context, address, token string, id api.Identity) (api.Session, error) {
	return link.Open(ctx, address, token, id)
}

func command(agent Agent) *cobra.Command {
	var opt foreground.Options
	var files string
	cmd := &cobra.Command{
		Use:   filepath.Base(os.Args[0]),
		Short: "Run the agent that this program was built of",
		Long: `This program is an agent with all of its modules, made by "coma build". It runs each module in a process of
its own and shows what they say. The daemon of "coma backend start" is used if it runs; otherwise the backend is part
of this program and ends with it.

The first Ctrl-C stops the modules and ends; a second one ends at once.`,
		Version:           agent.Version,
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opt.Check(); err != nil {
				return err
			}
			return run(cmd.Context(), agent, opt, files)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.JSON, "json", false, "print a JSON object for each event and log line")
	flags.BoolVar(&opt.Once, "once", false, "restart nothing; end when every module has ended, with exit code 1 if one failed")
	flags.BoolVarP(&opt.Quiet, "quiet", "q", false, "print only what modules say to the person, and what goes wrong")
	flags.BoolVarP(&opt.Time, "time", "t", false, "print the time of day with each line")
	flags.StringVar(&opt.Isolation, "isolation", "", "run all modules as a process each (process) or as goroutines of this one (none)")
	flags.DurationVar(&opt.RestartDelay, "restart-delay", supervisor.DefaultRestartDelay, "how long a failed module waits for its first restart; later ones wait up to 60 times as long")
	flags.StringVar(&opt.Backend, "backend", "auto", "auto: the daemon if it runs, else one of its own; own; or an address (host:port)")
	flags.IntVar(&opt.MQTTPort, "mqtt-port", 0, "MQTT port of an own backend (default: 1883, or a free one)")
	flags.IntVar(&opt.APIPort, "api-port", 0, "API port of an own backend (default: 8000, or a free one)")
	flags.StringVar(&files, "files", "", "folder to unpack the agent's files into (default: one in the user's cache)")
	opt.Version = agent.Version
	return cmd
}

func run(ctx context.Context, agent Agent, opt foreground.Options, files string) error {
	dir, err := unpack(agent, files)
	if err != nil {
		return startError{err}
	}
	p, err := project.Load(dir)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return startError{fmt.Errorf("find this program's file: %w", err)}
	}
	opt.Executable, opt.Compiled = []string{self, "module"}, true
	opt.Funcs = map[string]coma.RunFunc{}
	for _, m := range p.Modules {
		if isolation := opt.Isolation; isolation == "none" || isolation == "" && m.Isolation == "none" {
			opt.Funcs[m.Name] = agent.Modules[m.Name]
		}
	}
	failed, err := foreground.Run(ctx, []*project.Project{p}, opt)
	if err != nil {
		return startError{err}
	}
	if opt.Once && failed > 0 {
		return failedError{failed}
	}
	return nil
}
