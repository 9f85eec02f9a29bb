package backend_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// open starts a backend on fresh folders.
func open(t testing.TB, change ...func(*backend.Options)) *backend.Backend {
	t.Helper()
	dir := t.TempDir()
	opt := backend.Options{Folders: folders.Folders{
		Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run"),
	}}
	for _, c := range change {
		c(&opt)
	}
	b, err := backend.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func socket(t testing.TB, b *backend.Backend) string {
	t.Helper()
	status, err := b.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return "unix://" + status.Socket
}

func seat(t testing.TB, b *backend.Backend, address, module string) api.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := link.Open(ctx, address, "", api.Identity{Agent: "a", Module: module, Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(api.Finished) })
	return s
}

func TestMessagesCrossTheLinkInOrder(t *testing.T) {
	b := open(t)
	from, to := seat(t, b, socket(t, b), "from"), seat(t, b, socket(t, b), "to")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const n = 5000
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := from.Send(ctx, api.Message{To: "to", Text: fmt.Sprint(i)}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range n {
		m, err := to.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Text != fmt.Sprint(i) || m.From != "a/from" {
			t.Fatalf("message %d is %q from %s", i, m.Text, m.From)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}
