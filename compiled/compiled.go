// Package compiled is the frame around a module that the Go compiler has compiled ("engine: go"). The main package that
// coma generates for such a module calls Main; nobody else needs this package.
//
// The program that comes of it is the module's process: coma run starts it where it would start the interpreter, and the
// two speak the same protocol. It links neither the interpreter nor the services behind an agent, so that it links fast.
package compiled

import (
	"context"
	"os"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// Main runs a module in this process, as coma run wants it, to the process's end.
func Main(run coma.RunFunc) { os.Exit(modproc.Main(modproc.Function(run), seat)) }

// seat connects to the host.
func seat(ctx context.Context, address, token string, id api.Identity) (api.Session, error) {
	return link.Open(ctx, address, token, id)
}
