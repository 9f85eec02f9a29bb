//go:build unix

package compile_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/compile"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/module"
)

const (
	agentName = "garden"
	patience  = time.Minute // how long anything may take on a busy machine
)

// needToolchain skips where there is none, and gives the test a cache of its own for what coma builds. Nothing is
// downloaded.
func needToolchain(t testing.TB) {
	t.Helper()
	if _, err := compile.Available(); err != nil {
		t.Skip(err)
	}
	t.Setenv("GOCACHE", goEnv(t, "GOCACHE"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("GOPROXY", "off")
}

// goEnv asks the go command for one of its settings.
func goEnv(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// sumsOf are the lines of coma's own go.sum for a module.
func sumsOf(name string) string {
	text, err := os.ReadFile("../../go.sum")
	if err != nil {
		panic(err)
	}
	var found strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name) {
			found.WriteString(line)
		}
	}
	return found.String()
}

// files are a project: names with slashes, and texts.
type files map[string]string

// write writes a project and returns the module in its folder, or, where folder is "", the single file a.go.
func write(t testing.TB, project files, folder string) compile.Spec {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	for name, text := range project {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spec := compile.Spec{Name: folder, Dir: filepath.Join(dir, folder), ProjectDir: dir, ModulePath: "project", Text: map[string]string{}}
	if project["go.mod"] != "" {
		spec.ModulePath = "example.com/garden"
	}
	for name, text := range project {
		file := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, "_plan9.go"):
			continue
		case folder == "" && name != "a.go":
			continue
		case filepath.Dir(file) == spec.Dir:
			spec.GoFiles = append(spec.GoFiles, file)
		}
		spec.Text[file] = text
	}
	if folder == "" {
		spec.Name = "a"
	}
	return spec
}

// program is a module's file. The body of Run is line 9; "_ path" imports a package for its effects.
func program(name, body string, imports ...string) string {
	var lines strings.Builder
	for i, path := range imports {
		if i > 0 {
			lines.WriteString("; ")
		}
		if rest, ok := strings.CutPrefix(path, "_ "); ok {
			lines.WriteString("_ ")
			path = rest
		}
		fmt.Fprintf(&lines, "%q", path)
	}
	if !strings.Contains(body, "return") && !strings.HasPrefix(body, "panic(") {
		body += "; return nil"
	}
	return "package " + name + "\n\nimport (\n\t\"context\"\n\n\t\"github.com/concurrent-modular-agent/coma\"\n\t" + lines.String() +
		")\nfunc Run(ctx context.Context, agent *coma.Agent) error {\n" + "\t" + body + "\n}\n"
}

func clone(text map[string]string) map[string]string { return maps.Clone(text) }

func moduleSource(spec compile.Spec) module.Source {
	return module.Source{Name: spec.Name, Dir: spec.Dir, GoFiles: spec.GoFiles, ProjectDir: spec.ProjectDir, ModulePath: spec.ModulePath}
}

// newHost opens a backend for one agent with one module.
func newHost(t *testing.T, name string) api.Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "coma-") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	b, err := backend.Open(backend.Options{Folders: folders.Folders{Data: dir + "/d", State: dir + "/s", Runtime: dir + "/r"}, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	host, err := b.Attach(t.Context(), api.Attachment{Agent: agentName, PID: os.Getpid(), Modules: []string{name}}, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	return host
}

// quiet is a console that nobody looks at.
type quiet struct{}

func (quiet) Log(string, api.LogEntry) {}
func (quiet) Print(string, string)     {}
func (quiet) Input(context.Context, string, string) (string, error) {
	return "", api.ErrNoInput
}

// capture keeps the lines that a module writes.
type capture struct {
	mu    sync.Mutex
	lines []string
}

func newCapture() *capture { return &capture{} }

func (c *capture) Line(stream, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, stream+": "+text)
}

func (c *capture) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines...)
}
