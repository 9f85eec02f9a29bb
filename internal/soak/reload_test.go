package soak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

const idler = `package idler

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	_, err := agent.Receive(ctx)
	return err
}
`

// TestReloadSoak reloads one module ten thousand times: the host's memory stays flat, and no goroutine, descriptor or
// process is left.
func TestReloadSoak(t *testing.T) {
	for _, isolation := range []string{"process", "none"} {
		t.Run(isolation, func(t *testing.T) { reloads(t, isolation, long(10_000, 150)) })
	}
}

func reloads(t *testing.T, isolation string, n int) {
	h := newHome(t)
	dir := h.project("soak", map[string]string{"idler/idler.go": idler})
	p, err := project.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := backend.Open(backend.Options{Folders: folders.Folders{
		Data: filepath.Join(h.Dir, "data"), State: filepath.Join(h.Dir, "state"), Runtime: filepath.Join(h.Dir, "run"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	events := make(chan supervisor.Event, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := supervisor.Run(ctx, p, supervisor.Options{
			Backend: b, Watch: true, Debounce: time.Millisecond, Isolation: isolation, Executable: []string{binary, "module"},
			Events: func(e supervisor.Event) {
				select {
				case events <- e:
				case <-ctx.Done():
				}
			},
		})
		done <- err
	}()
	await := func(kind supervisor.Kind) {
		t.Helper()
		timeout := time.After(time.Minute)
		for {
			select {
			case e := <-events:
				if e.Kind == kind {
					return
				}
				if e.Err != nil {
					t.Fatalf("%s: %v", e.Kind, e.Err)
				}
			case <-timeout:
				t.Fatalf("no %s within a minute", kind)
			}
		}
	}
	await(supervisor.Started)
	file := filepath.Join(dir, "idler", "idler.go")
	warm := n / 10
	var before usage
	for i := range n {
		if i == warm {
			before = measure(t)
		}
		write(t, file, idler+fmt.Sprintf("\n// %d\n", i))
		await(supervisor.Reloaded)
	}
	after := measure(t)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d reloads: RSS %.1f MiB after %d, %.1f MiB at the end; goroutines %d, %d; descriptors %d, %d; children %d, %d", n,
		before.rss, warm, after.rss, before.goroutines, after.goroutines, before.descriptors, after.descriptors, before.children, after.children)
	if after.goroutines > before.goroutines+5 {
		t.Errorf("goroutines have grown from %d to %d", before.goroutines, after.goroutines)
	}
	if after.descriptors > before.descriptors+5 {
		t.Errorf("descriptors have grown from %d to %d", before.descriptors, after.descriptors)
	}
	if after.children > before.children+1 {
		t.Errorf("child processes have grown from %d to %d", before.children, after.children)
	}
	if after.rss > 1.5*before.rss+20 {
		t.Errorf("memory has grown from %.1f to %.1f MiB", before.rss, after.rss)
	}
}

type usage struct {
	rss                               float64 // MiB
	goroutines, descriptors, children int
}

func measure(t *testing.T) usage {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var u usage
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("needs /proc:", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib float64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
			u.rss = kib / 1024
		}
	}
	u.goroutines = runtime.NumGoroutine()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	u.descriptors = len(descriptors)
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err == nil { // a thread may have ended meanwhile
			u.children += len(strings.Fields(string(children)))
		}
	}
	return u
}
