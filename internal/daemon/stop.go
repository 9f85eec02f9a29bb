package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// ErrNotRunning is Stop's answer where no daemon runs.
var ErrNotRunning = errors.New("no backend runs in the background")

// stopPatience is how long Stop waits for a daemon to end.
const stopPatience = 10 * time.Second

// Stop asks the daemon to stop, waits until it has gone, and returns its process ID.
func Stop(ctx context.Context, f folders.Folders) (pid int, err error) {
	found, ok, pid := Find(ctx, f)
	if !ok && pid == 0 {
		return 0, ErrNotRunning
	}
	if !ok {
		return pid, fmt.Errorf("stop backend: process %d is a backend and does not answer here (another XDG_RUNTIME_DIR?): kill %d ends it", pid, pid)
	}
	err = found.Shutdown(ctx)
	found.Close()
	if err != nil && !errors.Is(err, api.ErrClosed) { // closed: it was gone before it could answer
		return pid, err
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for holder(lockPath(f)) == pid {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return pid, fmt.Errorf("stop backend: process %d has not ended after %s: kill -9 %d ends it, with nothing lost that is on disk", pid, stopPatience, pid)
		}
	}
	return pid, nil
}
