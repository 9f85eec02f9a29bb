//go:build !unix

package module

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

var errNoProcesses = errors.New("modules as processes need Unix: set isolation: none in coma.yaml")

// StartProcess is not available on this system.
func StartProcess(context.Context, Spec, Output) (Instance, error) { return nil, errNoProcesses }

// ChildMain is not available on this system.
func ChildMain(modproc.Connect) int {
	fmt.Fprintln(os.Stderr, "coma module:", errNoProcesses)
	return 2
}
