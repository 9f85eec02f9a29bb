//go:build unix

package module

import (
	"context"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/program"
)

// ChildMain is the whole life of the process of an interpreted module, and of the one that stands before a program in
// another language; the host has started it (see StartProcess). It returns the exit code.
func ChildMain(connect modproc.Connect) int { return modproc.Main(engines{}, connect) }

// engines is the engine that the host wants.
type engines struct{}

// Load implements modproc.Engine.
func (engines) Load(ctx context.Context, p *modproc.Process) (modproc.Program, error) {
	if len(p.Assignment().Command) > 0 {
		return program.Shim{}.Load(ctx, p)
	}
	return Interpreter{}.Load(ctx, p)
}
