package modproc

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Engine makes what the host assigns ready to run.
type Engine interface {
	// Load returns when the module's variables and init functions have run. An error that is a *LoadError says what is
	// wrong with the source. ctx ends when the process is to stop.
	Load(ctx context.Context, p *Process) (Program, error)
}

// Program is a module that is loaded.
type Program interface {
	// Run is the module's Run, once; a panic comes back as *Failure.
	Run(ctx context.Context, agent *coma.Agent) error
	// Loaded is what the host is to know of it.
	Loaded() Loaded
}

// Alone is a Program that takes its seat at the host itself, or none: one in another language.
type Alone interface {
	Program
	// RunAlone takes the place of Run. It reports when the program has started, and how it ended; where it cannot, why.
	RunAlone(ctx context.Context, report func(Report)) *Failure
}

// Connect opens a module's seat at the host.
type Connect func(ctx context.Context, address, token string, id api.Identity) (api.Session, error)
