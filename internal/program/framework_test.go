package program_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/program"
)

func TestUsesComa(t *testing.T) {
	for source, want := range map[string]bool{
		"import coma\n":                             true,
		"import os, coma\n":                         true,
		"import coma as c\n":                        true,
		"x = 1\nfrom coma import connect\n":         true,
		"import concurrent_modular_agent as coma\n": false,
		"import comatose\n":                         false,
		"'''\nimport coma\n'''\n":                   false,
		"# import coma\n":                           false,
		"":                                          false,
	} {
		path := filepath.Join(t.TempDir(), "x.py")
		if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := program.UsesComa(path); got != want {
			t.Errorf("%q: %t", source, got)
		}
	}
}
