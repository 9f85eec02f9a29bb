package scaffold

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/project"
)

func source(t *testing.T) string {
	_, file, _, _ := runtime.Caller(0)
	root := Source(file)
	if root == "" {
		t.Fatalf("%s is in no checkout", file)
	}
	return root
}

func TestNewProjectLoads(t *testing.T) {
	for _, name := range []string{"garden", "two words", "Größe", "日本"} {
		dir := filepath.Join(t.TempDir(), name)
		made, err := New(dir, Options{Source: source(t)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := project.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if made.Name != name || p.Agent != name || len(p.Modules) != 2 || len(p.Problems) != 0 {
			t.Errorf("made %+v, loaded as %s with %d modules, problems %v", made, p.Agent, len(p.Modules), p.Problems)
		}
	}
}

func TestNewTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir, Options{}); !errors.Is(err, ErrTaken) {
		t.Errorf("in a folder that is not empty: %v", err)
	}
	for _, name := range []string{"a+b", "a#", "$a"} {
		dir := filepath.Join(t.TempDir(), name)
		if _, err := New(dir, Options{}); err == nil {
			t.Errorf("made %q", name)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestDependencies(t *testing.T) {
	for _, test := range []struct {
		version       string
		requires      string // part of go.mod
		needs, absent string
	}{
		{"v1.2.3", "require " + coma + " v1.2.3\n", "go mod tidy", "replace"},
		{"v0.0.0-20261121070000-0123456789ab", " v0.0.0-20261121070000-0123456789ab\n", "go mod tidy", "replace"},
		{"v0.0.0-20261121070000-0123456789ab+dirty", "go 1.", "go get " + coma + "@latest", "require"},
		{"(devel)", "go 1.", "go get " + coma + "@latest", "require"},
	} {
		goMod, _, needs, err := dependencies("garden", Options{Version: test.version})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(goMod, test.requires) || strings.Contains(goMod, test.absent) || needs != test.needs {
			t.Errorf("%s: needs %q, go.mod is\n%s", test.version, needs, goMod)
		}
	}
}

func TestModulePath(t *testing.T) {
	for name, want := range map[string]string{
		"garden": "example.com/garden", "Two Words": "example.com/two-words", "日本": "example.com/agent", "-a-": "example.com/a",
	} {
		if got := modulePath(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestSourceIsNotTheModuleCache(t *testing.T) {
	for _, file := range []string{
		"github.com/concurrent-modular-agent/coma/cmd/coma/new.go", // built with -trimpath
		"/root/go/pkg/mod/github.com/concurrent-modular-agent/coma@v1.2.3/cmd/coma/new.go",
		filepath.Join(t.TempDir(), "cmd/coma/new.go"),
	} {
		if got := Source(file); got != "" {
			t.Errorf("%s: %s", file, got)
		}
	}
}
