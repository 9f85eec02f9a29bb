// Command coma runs agents made of concurrent modules.
//
// There is one file for each command; they read flags and call the packages below internal/. connect.go finds the
// backend that a command talks to, exit.go has the exit codes.
package main

import (
	"context"
	"os"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/module"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "module" {
		os.Exit(module.ChildMain(seat)) // this process is a module's: see package module
	}
	os.Exit(execute(os.Args[1:]))
}

// seat connects a module's process to its host.
func seat(ctx context.Context, address, token string, id api.Identity) (api.Session, error) {
	return link.Open(ctx, address, token, id)
}
