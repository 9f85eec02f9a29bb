//go:build unix

package program

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// Shim is the engine of a program's process: it starts the program when the host says so. The process is small and does
// nothing else; what the host says to it by descriptors and signals, the program hears by signals alone.
type Shim struct{}

// Load implements modproc.Engine. The host has looked at the program already.
func (Shim) Load(_ context.Context, p *modproc.Process) (modproc.Program, error) {
	adoptOrphans()
	p.AtHostsEnd(killAll)
	return &shim{assignment: p.Assignment()}, nil
}

type shim struct{ assignment modproc.Assignment }

// Loaded implements modproc.Program.
func (*shim) Loaded() modproc.Loaded { return modproc.Loaded{Spawns: true} }

// Run implements modproc.Program. It is not called: the program takes its own seat.
func (*shim) Run(context.Context, *coma.Agent) error {
	return errors.New("a program takes its own seat at the host")
}

// usageEvery is how often a program's memory is looked at: what grows fast gets some hundred MiB further before it is
// ended. The system's own limits are no help: they count address space, of which threads and interpreters reserve far more
// than they use (RLIMIT_DATA of 850 MB ends Python at its hundredth thread).
const usageEvery = 250 * time.Millisecond

// RunAlone implements modproc.Alone.
func (s *shim) RunAlone(ctx context.Context, tell func(modproc.Report)) *modproc.Failure {
	// What is ignored here would be ignored by the program, too. What is caught is not.
	signal.Reset(syscall.SIGINT)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)

	cmd := exec.Command(s.assignment.Command[0], s.assignment.Command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return &modproc.Failure{Cause: "cannot start it: " + err.Error()}
	}
	tell(modproc.Report{Started: cmd.Process.Pid})

	ended := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		select {
		case <-ctx.Done():
			if s.assignment.StopAll {
				_ = syscall.Kill(0, syscall.SIGTERM) // does not fail; here it has been heard already
			} else {
				_ = cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
			}
		case <-ended:
		}
	})
	beside.Go(func() { s.limit(ended, tell) })
	beside.Go(func() { reapOrphans(cmd.Process.Pid, ended) })
	err := cmd.Wait()
	close(ended)
	beside.Wait()

	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return &modproc.Failure{Cause: "wait for it: " + err.Error()}
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		tell(modproc.Report{Ended: &modproc.Ended{Signal: int(status.Signal())}})
	default:
		tell(modproc.Report{Ended: &modproc.Ended{Status: cmd.ProcessState.ExitCode()}})
	}
	return nil
}

// limit ends the whole group, this process with it, when the program and what it has started use more memory than they
// may.
func (s *shim) limit(ended <-chan struct{}, tell func(modproc.Report)) {
	limit := s.assignment.MemoryLimit
	if limit == 0 {
		return
	}
	look := time.NewTicker(usageEvery)
	defer look.Stop()
	for {
		select {
		case <-ended:
			return
		case <-look.C:
		}
		if usage(os.Getpid(), limit) > limit {
			tell(modproc.Report{Failure: modproc.MemoryFailure(limit)})
			killAll()
			_ = syscall.Kill(0, syscall.SIGKILL) // does not fail: this process is in its own group
		}
	}
}
