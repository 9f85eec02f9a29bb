package backend_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

// TestForget: nothing is left of an agent that nobody runs or uses, and all of one that somebody does.
func TestForget(t *testing.T) {
	dirs := in(t.TempDir())
	b := open(t, func(o *backend.Options) { o.Folders = dirs })
	ctx := within(t)
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"m"}}, newConsole())
	s := sit(t, h, "a", "m", 1)
	if _, err := s.Memory().Add(ctx, []api.Record{{Text: "x", Vector: []float32{1}}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Keep(ctx, "k", []byte("v")), s.Send(ctx, api.Message{To: "m", Text: "x"})); err != nil {
		t.Fatal(err)
	}
	for _, close := range []func() error{
		func() error { return s.Close(api.Stopped) }, // while it runs and has a session
		h.Close, // while it runs
	} {
		if err := b.Forget(ctx, "a"); !errors.Is(err, api.ErrInUse) {
			t.Errorf("forget an agent that is used: %v, want ErrInUse", err)
		}
		if err := close(); err != nil {
			t.Fatal(err)
		}
	}
	waiting, err := b.Waiting(ctx, "a", "m", false)
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d messages, %v, want the one", len(waiting), err)
	}
	if err := b.Forget(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dirs.State, "agents"), filepath.Join(dirs.Data, "memory")} {
		if left, err := os.ReadDir(path); err != nil || len(left) != 0 {
			t.Errorf("%s has %v, %v", path, left, err)
		}
	}
	if err := b.Forget(ctx, "a"); !errors.Is(err, api.ErrUnknown) {
		t.Errorf("forget it again: %v, want ErrUnknown", err)
	}
	h = attach(t, b, api.Attachment{Agent: "a", Modules: []string{"m"}}, newConsole())
	if _, ok, err := sit(t, h, "a", "m", 1).Kept(ctx, "k"); ok || err != nil {
		t.Errorf("a new one has what the old one kept: %t, %v", ok, err)
	}
}

// TestForgetAMemoryAlone: an agent that has never been run may have one, from a backup or of a Chroma client.
func TestForgetAMemoryAlone(t *testing.T) {
	dirs := in(t.TempDir())
	b := open(t, func(o *backend.Options) { o.Folders = dirs })
	ctx := within(t)
	if err := b.CreateMemory(ctx, "a", ""); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dirs.State, "agents", "a")); err != nil {
		t.Fatal(err)
	}
	if err := b.Forget(ctx, "a"); err != nil {
		t.Error(err)
	}
	if memories, err := b.Memories(ctx, false); err != nil || len(memories) != 0 {
		t.Errorf("%+v, %v are left", memories, err)
	}
}
