package program

import (
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// Death says why a program ended that exited with a status other than 0: by the last lines of its standard error, where
// they tell.
func (p *Program) Death(ended modproc.Ended, lines []string) *modproc.Failure {
	failure := &modproc.Failure{Cause: fmt.Sprintf("exit status %d", ended.Status)}
	if n := len(lines); n > 0 {
		failure.Detail = []string{lines[n-1]}
	}
	return failure
}
