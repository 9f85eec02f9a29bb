//go:build unix

package module

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/program"
)

// The test program is also a module's process, a host that is to be killed, and a process that a module starts.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "module":
		os.Exit(ChildMain(func(_ context.Context, _, _ string, id api.Identity) (api.Session, error) {
			return &testSession{id: id}, nil
		}))
	case os.Getenv("COMA_TEST_HOST") != "":
		hostMain()
	}
	if os.Getenv("GORACE") == "" { // processes that run with the race detector rest for a second before they end
		os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	os.Exit(m.Run())
}

// hasHardLimit tells whether one huge allocation is refused.
var hasHardLimit = runtime.GOOS == "linux"

// testSession is a seat at a host that holds nothing: Receive waits, Print and Log go to standard output.
type testSession struct {
	api.Session
	id api.Identity

	mu     sync.Mutex
	closed []api.Outcome
}

func (s *testSession) Identity() api.Identity { return s.id }
func (s *testSession) Memory() api.Memory     { return nil }
func (s *testSession) Receive(ctx context.Context) (api.Message, error) {
	<-ctx.Done()
	return api.Message{}, ctx.Err()
}
func (s *testSession) Log(_ context.Context, e api.LogEntry) error {
	_, err := os.Stdout.WriteString("log: " + e.String() + "\n")
	return err
}
func (s *testSession) Close(outcome api.Outcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = append(s.closed, outcome)
	return nil
}

// capture is an Output that keeps what it is given.
type capture struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // has a place for each line
}

func newCapture() *capture { return &capture{more: make(chan struct{}, 1<<16)} }

func (c *capture) Line(stream, text string) {
	c.mu.Lock()
	c.lines = append(c.lines, stream+": "+text)
	c.mu.Unlock()
	c.more <- struct{}{}
}

func (c *capture) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// await waits for a line that contains part and returns it.
func (c *capture) await(t *testing.T, part string) string {
	t.Helper()
	for i := 0; ; {
		c.mu.Lock()
		for ; i < len(c.lines); i++ {
			if strings.Contains(c.lines[i], part) {
				defer c.mu.Unlock()
				return c.lines[i]
			}
		}
		c.mu.Unlock()
		select {
		case <-c.more:
		case <-time.After(20 * time.Second):
			t.Fatalf("no line with %q; there are:\n%s", part, c.text())
		}
	}
}

// project writes files (path: text) into a new folder and returns it.
func project(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// source is the module in a folder of the project.
func source(t testing.TB, dir, folder string) Source {
	t.Helper()
	src := Source{Name: folder, Dir: filepath.Join(dir, folder), ProjectDir: dir, ModulePath: "example.com/proj"}
	entries, err := os.ReadDir(src.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") {
			src.GoFiles = append(src.GoFiles, filepath.Join(src.Dir, e.Name()))
		}
	}
	return src
}

// wrap makes a module of imports and a body for Run, which begins at line 14.
func wrap(imports []string, body string, more ...string) string {
	lines := []string{"package chat", "", "import ("}
	for i := range 7 {
		if i < len(imports) {
			lines = append(lines, "\t\""+imports[i]+"\"")
		} else {
			lines = append(lines, "")
		}
	}
	lines = append(lines, "\t\"context\"; \"github.com/concurrent-modular-agent/coma\"", ")",
		"func Run(ctx context.Context, agent *coma.Agent) error {", body, "}")
	return strings.Join(append(lines, more...), "\n") + "\n"
}

func spec(src Source) Spec {
	return Spec{Source: src, Agent: "proj", Generation: 1, API: "nowhere", Broker: "nowhere", Token: "t"}
}

// start starts a module of one file, in its own process or not, and lets it run.
func start(t *testing.T, isolation, text string, change func(*Spec)) (Instance, *capture) {
	t.Helper()
	s := spec(source(t, project(t, map[string]string{"chat/chat.go": text}), "chat"))
	if change != nil {
		change(&s)
	}
	out := newCapture()
	var i Instance
	var err error
	if isolation == "none" {
		i, err = StartGoroutines(t.Context(), s, out, func() (api.Session, error) { return &testSession{id: s.identity()}, nil })
	} else {
		i, err = StartProcess(t.Context(), s, out)
	}
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { i.Stop(0); <-i.Done() })
	if err := i.Start(); err != nil {
		t.Fatal(err)
	}
	return i, out
}

// end waits for an instance's end.
func end(t *testing.T, i Instance) Exit {
	t.Helper()
	select {
	case <-i.Done():
	case <-time.After(60 * time.Second):
		t.Fatal("has not ended")
	}
	return i.Exit()
}

func failureOf(t *testing.T, e Exit) *Failure {
	t.Helper()
	var f *Failure
	if !errors.As(e.Err, &f) {
		t.Fatalf("exit %+v: no failure", e)
	}
	return f
}

// hostMain is a host with one module, until it is killed.
func hostMain() {
	dir := os.Getenv("COMA_TEST_HOST")
	s := spec(Source{Name: "chat", Dir: filepath.Join(dir, "chat"), ProjectDir: dir, GoFiles: []string{filepath.Join(dir, "chat", "chat.go")}})
	if file := os.Getenv("COMA_TEST_PROGRAM"); file != "" {
		path := filepath.Join(dir, file)
		p := program.Find(path, nil, filepath.Dir(path), dir, func(string, bool) bool { return false })
		s.GoFiles, s.Dir, s.Program = nil, p.Dir, &p
	}
	i, err := StartProcess(context.Background(), s, lineFunc(func(text string) { os.Stdout.WriteString(text + "\n") }))
	if err == nil {
		err = i.Start()
	}
	if err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	<-i.Done()
	os.Exit(0)
}

type lineFunc func(text string)

func (f lineFunc) Line(_, text string) { f(text) }

// running lists the processes whose environment has the variable.
func running(t *testing.T, variable string) []string {
	t.Helper()
	var pids []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("needs /proc")
	}
	for _, e := range entries {
		environ, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(environ, []byte(variable)) {
			pids = append(pids, e.Name())
		}
	}
	return pids
}
