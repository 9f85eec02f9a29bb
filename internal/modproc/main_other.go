//go:build !unix

package modproc

import (
	"fmt"
	"os"
)

// Process is this process, for its engine.
type Process struct{ module Assignment }

// Assignment is what the host wants to be run.
func (p *Process) Assignment() Assignment { return p.module }

// Main is not available on this system.
func Main(Engine, Connect) int {
	fmt.Fprintln(os.Stderr, "coma module: modules as processes need Unix: set isolation: none in coma.yaml")
	return 2
}
