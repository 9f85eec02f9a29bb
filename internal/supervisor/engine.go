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

// loadSource loads a module's source by the engine that it is to have, and says which that was.
func (k *keeper) loadSource(ctx context.Context, m *project.Module, spec module.Spec, out module.Output, open func() (api.Session, error)) (module.Instance, string, error) {
	engine := k.engineOf(m)
	shared := k.isolation(m) == "none"
	if k.supervisor.opt.Compiled {
		spec.Compiled = true
		i, err := module.StartProcess(ctx, spec, out)
		return i, project.EngineGo, err
	}
	switch engine {
	case project.EngineExec:
		spec.Program = m.Exec
		i, err := module.StartProcess(ctx, spec, out)
		return i, engine, err
	case project.EngineGo:
		if shared {
			return nil, engine, compile.ErrShared
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
	if engine != project.EngineAuto || !errors.As(err, &load) {
		return i, project.EngineYaegi, err
	}
	if err := compile.Instead(load, shared); err != nil {
		return nil, project.EngineYaegi, err
	}
	k.supervisor.event(Event{Kind: Compiling, Module: k.name, Err: fmt.Errorf("%s", load.Problems[0])})
	i, err = startCompiled(ctx, spec, out)
	return i, project.EngineGo, err
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
	if k.supervisor.opt.Engine != "" && m.Engine != project.EngineExec {
		return k.supervisor.opt.Engine
	}
	return m.Engine
}
