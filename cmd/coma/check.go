package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/compile"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/foreground"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

func newCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [project]",
		Short: "Check that a project's modules load, without running them",
		Long: `Check reads a project (the current folder, if none is given), loads the source of each module and shows
what is wrong with it, as "coma run" would. Run is not called; package variables and init functions
are evaluated. Exit code 0: all load; 1: a module does not; 2: the project itself is wrong.`,
		Example: `  coma check
  coma check garden --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return check(cmd.Context(), cmd.OutOrStdout(), dir, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// loadPatience is how long one module's variables and init functions may take.
const loadPatience = 10 * time.Second

// checked is what check found, as --json prints it.
type checked struct {
	Agent    string          `json:"agent"`
	Modules  []checkedModule `json:"modules"`
	Problems []string        `json:"problems,omitempty"` // that keep no module from running
	OK       bool            `json:"ok"`
}

type checkedModule struct {
	Module   string           `json:"module"`
	Engine   string           `json:"engine"`
	OK       bool             `json:"ok"`
	Error    string           `json:"error,omitempty"`
	Problems []module.Problem `json:"problems,omitempty"`
}

func check(ctx context.Context, out io.Writer, dir string, asJSON bool) error {
	projects, err := loadProjects([]string{dir})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := projects[0]
	color := false
	if f, ok := out.(*os.File); ok {
		color = console.ColorWanted(f)
	}
	shown := console.New(console.Options{Out: out, Color: color, Names: foreground.Names(projects)})
	result := checked{Agent: p.Agent, Modules: []checkedModule{}, OK: true}
	for _, problem := range p.Problems {
		result.Problems = append(result.Problems, problem.String())
		if !asJSON {
			shown.Event(supervisor.Event{Kind: supervisor.Problem, Agent: p.Agent, Err: errors.New(problem.String())})
		}
	}
	failed := 0
	for _, m := range p.Modules {
		err := checkModule(ctx, p, m)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		one := checkedModule{Module: m.Name, Engine: m.Engine, OK: err == nil}
		if err != nil {
			failed++
			result.OK = false
			one.Error = err.Error()
			var load *module.LoadError
			if errors.As(err, &load) {
				one.Problems = load.Problems
			}
			if !asJSON {
				shown.Event(supervisor.Event{Kind: supervisor.LoadFailed, Agent: p.Agent, Module: m.Name, Err: err})
			}
		}
		result.Modules = append(result.Modules, one)
	}
	switch {
	case asJSON:
		if err := printJSON(out, result); err != nil {
			return err
		}
	case failed == 0:
		shown.Say("%s: %s, all in order", p.Agent, plural(len(p.Modules), "module"))
	default:
		shown.Say("%s: %d of %s in order", p.Agent, len(p.Modules)-failed, plural(len(p.Modules), "module"))
	}
	if failed > 0 {
		return silentError{fmt.Errorf("%d modules do not load", failed)}
	}
	return nil
}

// checkModule loads a module's source, or compiles it, by its engine; what its init functions print is not shown.
func checkModule(ctx context.Context, p *project.Project, m *project.Module) error {
	source := module.Source{
		Name: m.Name, Dir: m.Dir, GoFiles: m.GoFiles, ProjectDir: p.Dir, ModulePath: p.ModulePath, GoVersion: p.GoVersion,
	}
	shared := m.Isolation == "none"
	switch {
	case m.Engine == project.EngineExec:
		_, err := m.Exec.Prepare(ctx, module.Environ(m.Env), m.MemoryLimit)
		return err
	case m.Engine == project.EngineGo && shared:
		return compile.ErrShared
	case m.Engine == project.EngineGo:
		_, err := compile.Module(ctx, source)
		return err
	}
	loading, cancel := context.WithTimeout(ctx, loadPatience)
	defer cancel()
	program, err := module.Load(loading, source, unheard{})
	var refused *module.LoadError
	if errors.As(err, &refused) && m.Engine == project.EngineAuto {
		if err := compile.Instead(refused, shared); err != nil {
			return err
		}
		_, err := compile.Module(ctx, source)
		return err
	}
	if err != nil {
		return err
	}
	program.Close()
	return nil
}

// unheard is a module.Output that nobody looks at.
type unheard struct{}

func (unheard) Line(stream, text string) {}
