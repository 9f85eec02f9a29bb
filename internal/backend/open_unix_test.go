//go:build unix

package backend_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

// TestAnAgentThatIsSlowToOpenStopsNoOther: what it ran with last is read from a pipe here, and so takes as long as the test
// likes.
func TestAnAgentThatIsSlowToOpenStopsNoOther(t *testing.T) {
	dirs := in(t.TempDir())
	b := open(t, func(o *backend.Options) { o.Folders = dirs })
	ctx := within(t)
	path := filepath.Join(dirs.State, "agents", "slow", "agent.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	var slow sync.WaitGroup
	for range 2 { // the second waits for the first
		slow.Go(func() {
			if _, err := b.Mailboxes(ctx, "slow"); err != nil {
				t.Error(err)
			}
		})
	}
	pipe, err := os.OpenFile(path, os.O_WRONLY, 0) // returns when somebody reads it
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("{}"), 0o600)); err != nil { // for the second, if it is late
		t.Fatal(err)
	}

	others := make(chan error, 1)
	go func() {
		h, err := b.Attach(ctx, api.Attachment{Agent: "quick", Modules: []string{"m"}}, newConsole())
		if err != nil {
			others <- err
			return
		}
		err = b.Post(ctx, "cli", api.Message{To: "quick/m", Text: "x"})
		status, statusErr := b.Status(ctx)
		if status.Agents != 1 {
			err = errors.Join(err, fmt.Errorf("%d agents run, want 1", status.Agents))
		}
		others <- errors.Join(err, statusErr, h.Close())
	}()
	select {
	case err = <-others:
	case <-ctx.Done():
		err = errors.New("other agents wait for the one that is slow to open")
	}
	if err != nil {
		t.Error(err)
	}
	if _, err := pipe.WriteString("{}"); err != nil {
		t.Error(err)
	}
	if err := pipe.Close(); err != nil {
		t.Error(err)
	}
	slow.Wait()
}
