package backend

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// eventful is a broker at which something happens when a module leaves.
type eventful struct {
	broker
	then func()
}

func (e eventful) leave(agent, module string) {
	e.then()
	e.broker.leave(agent, module)
}

// TestForgetWhileSomebodyComes: who comes in the middle waits, and does not go on with an agent that is removed when it ends.
func TestForgetWhileSomebodyComes(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(Options{
		Version: "test", Offline: true, Log: slog.New(slog.DiscardHandler),
		Folders: folders.Folders{Data: dir + "/d", State: dir + "/s", Runtime: dir + "/r"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := b.use("a", &api.Attachment{Agent: "a"})
	if err != nil {
		t.Fatal(err)
	}
	a.boxes.Box("m")
	came := make(chan error, 1)
	b.broker = eventful{b.broker, func() {
		go func() {
			other, err := b.use("a", nil)
			if err == nil {
				err = other.done()
			}
			came <- err
		}()
		for waits := false; !waits; runtime.Gosched() {
			b.mu.Lock()
			waits = b.places["a"].uses == 2
			b.mu.Unlock()
		}
	}}
	if err := a.forget(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder when it has been forgotten: %v", err)
	}
	if err := <-came; !errors.Is(err, api.ErrUnknown) {
		t.Errorf("who came meanwhile: %v, want ErrUnknown", err)
	}
}
