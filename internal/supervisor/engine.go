package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/compile"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/project"
)

// The engines that turn a module's source into something that runs. By engineAuto a module is interpreted, and compiled
// where Go runs it and the interpreter does not.
const (
	engineYaegi = "yaegi"
	engineGo    = "go"
	engineAuto  = "auto"
	engineExec  = "exec"
)

// loadSource loads a module's source by the engine that it is to have, and says which that was.
func (k *keeper) loadSource(ctx context.Context, m *project.Module, spec module.Spec, out module.Output, open func() (api.Session, error)) (module.Instance, string, error) {
	engine := k.engineOf(m)
	shared := k.isolation(m) == "none"
	if k.supervisor.opt.Compiled {
		spec.Compiled = true
		i, err := module.StartProcess(ctx, spec, out)
		return i, engineGo, err
	}
	switch engine {
	case engineExec:
		spec.Program = m.Exec
		i, err := module.StartProcess(ctx, spec, out)
		return i, engine, err
	case engineGo:
		if shared {
			return nil, engine, errors.New(`engine go needs isolation: process (a compiled module is a program of its own)`)
		}
		i, err := startCompiled(ctx, spec, out)
		return i, engine, err
	}
	var i module.Instance
	var err error
	if shared {
		i, err = module.StartGoroutines(ctx, spec, out, open)
	} else {
		i, err = module.StartProcess(ctx, spec, out)
	}
	var load *module.LoadError
	if engine != engineAuto || !errors.As(err, &load) {
		return i, engineYaegi, err
	}
	if mistakes := load.Mistakes(); mistakes != nil {
		return nil, engineYaegi, mistakes // mended, the rest is for the compiler to see to
	}
	if shared {
		load.Problems = append(load.Problems, module.Problem{Message: "isolation: process would let the Go compiler run it"})
		return nil, engineYaegi, load
	}
	if _, missing := compile.Available(); missing != nil {
		load.Problems = append(load.Problems, module.Problem{Message: "to have it compiled instead: " + missing.Error()})
		return nil, engineYaegi, load
	}
	k.supervisor.event(Event{Kind: Compiling, Module: k.name, Err: fmt.Errorf("%s", load.Problems[0])})
	i, err = startCompiled(ctx, spec, out)
	return i, engineGo, err
}

// startCompiled compiles a module and starts it.
func startCompiled(ctx context.Context, spec module.Spec, out module.Output) (module.Instance, error) {
	executable, err := compile.Module(ctx, spec.Source)
	if err != nil {
		return nil, err
	}
	spec.Executable, spec.Compiled = []string{executable}, true
	return module.StartProcess(ctx, spec, out)
}

// engineOf is the engine that a module is to have.
func (k *keeper) engineOf(m *project.Module) string {
	if k.supervisor.opt.Engine != "" && m.Engine != engineExec {
		return k.supervisor.opt.Engine
	}
	return m.Engine
}
