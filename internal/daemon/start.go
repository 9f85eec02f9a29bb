package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// word is the first and only thing that a daemon says on its standard output: that it answers, or why it will not.
type word struct {
	Status  *api.Status `json:"status,omitempty"`
	Error   string      `json:"error,omitempty"`
	Invalid bool        `json:"invalid,omitempty"` // the error is api.ErrInvalid
}

// Announce is a Service's Ready for a process that Start has started.
func Announce(out io.WriteCloser) func(api.Status) error {
	return func(s api.Status) error {
		// Whoever started the daemon may have gone meanwhile; the daemon lives on.
		say(out, word{Status: &s})
		return nil
	}
}

// Excuse tells whoever called Start why the daemon has not started. After Announce nobody hears it.
func Excuse(out io.WriteCloser, err error) {
	say(out, word{Error: err.Error(), Invalid: errors.Is(err, api.ErrInvalid)})
}

func say(out io.WriteCloser, w word) {
	json.NewEncoder(out).Encode(w)
	out.Close()
}

// Start starts a daemon in the background by the command line given (the first is the program), which must run a Service with
// Announce or Excuse on its standard output. It returns when the daemon answers, or with the daemon's own error.
func Start(ctx context.Context, f folders.Folders, command []string) (api.Status, error) {
	if err := f.Ensure(); err != nil {
		return api.Status{}, err
	}
	log, err := os.OpenFile(LogPath(f), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return api.Status{}, fmt.Errorf("open backend's log: %w", err)
	}
	defer log.Close() // the daemon has its own
	reader, writer, err := os.Pipe()
	if err != nil {
		return api.Status{}, fmt.Errorf("start backend: %w", err)
	}
	defer reader.Close()
	daemon := exec.Command(command[0], command[1:]...) // not CommandContext: it outlives this process
	daemon.Dir = "/"                                   // so that no folder is kept from being removed or unmounted
	daemon.Stdout, daemon.Stderr = writer, log
	detach(daemon)
	err = daemon.Start()
	writer.Close()
	if err != nil {
		return api.Status{}, fmt.Errorf("start backend: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { reader.Close() })
	defer stop()
	said, err := io.ReadAll(reader)
	if ctx.Err() != nil {
		daemon.Process.Kill()
		daemon.Wait()
		return api.Status{}, fmt.Errorf("start backend: %w", ctx.Err())
	}
	var w word
	if err != nil || json.Unmarshal(said, &w) != nil || w.Status == nil && w.Error == "" {
		daemon.Wait() // its standard output has been closed without a word: it has ended
		return api.Status{}, fmt.Errorf("start backend: it ended at once (%s): its log says why: %s%s", daemon.ProcessState, LogPath(f), quoted(said))
	}
	if w.Status == nil {
		daemon.Wait()
		if w.Invalid {
			return api.Status{}, invalidError(w.Error)
		}
		return api.Status{}, errors.New(w.Error)
	}
	return *w.Status, daemon.Process.Release()
}

// invalidError is an api.ErrInvalid that another process has met.
type invalidError string

func (e invalidError) Error() string { return string(e) }
func (e invalidError) Unwrap() error { return api.ErrInvalid }

func quoted(said []byte) string {
	if said = bytes.TrimSpace(said); len(said) == 0 {
		return ""
	}
	return fmt.Sprintf("; it said %.200q", said)
}

// Find connects to the daemon that runs. With ok false and a pid, a process holds the daemon's lock and does not answer.
func Find(ctx context.Context, f folders.Folders) (found backend.Found, ok bool, pid int) {
	if found, ok = backend.Daemon(ctx, f); ok {
		return found, true, found.Status.PID
	}
	return backend.Found{}, false, holder(lockPath(f))
}
