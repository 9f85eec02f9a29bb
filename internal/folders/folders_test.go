package folders_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	tests := []struct {
		name                         string
		data, state, runtime         string // variables
		wantData, wantState, wantRun string
	}{
		{"defaults", "", "", "", home + "/.local/share/coma", home + "/.local/state/coma", filepath.Join(os.TempDir(), "coma-")},
		{"set", "/d", "/s", "/r", "/d/coma", "/s/coma", "/r/coma"},
		{"relative ones are ignored", "d", "s", "r", home + "/.local/share/coma", home + "/.local/state/coma", filepath.Join(os.TempDir(), "coma-")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("HOME", home)
			t.Setenv("XDG_DATA_HOME", test.data)
			t.Setenv("XDG_STATE_HOME", test.state)
			t.Setenv("XDG_RUNTIME_DIR", test.runtime)
			f, err := folders.FromEnv()
			if err != nil || f.Data != test.wantData || f.State != test.wantState || !strings.HasPrefix(f.Runtime, test.wantRun) {
				t.Errorf("folders are %+v, %v", f, err)
			}
		})
	}
}

func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	f := folders.Folders{Data: filepath.Join(dir, "d/e"), State: filepath.Join(dir, "s"), Runtime: filepath.Join(dir, "r")}
	if err := os.Mkdir(f.Runtime, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Ensure(); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{f.Data, f.State, f.Runtime} {
		if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s is %v, %v", path, info.Mode(), err)
		}
	}
	// A link that another user may have put there leads anywhere.
	other := f
	other.Runtime = filepath.Join(dir, "link")
	if err := os.Symlink(f.Runtime, other.Runtime); err != nil {
		t.Fatal(err)
	}
	if err := other.Ensure(); err == nil || !strings.Contains(err.Error(), "XDG_RUNTIME_DIR") {
		t.Errorf("a symbolic link as runtime folder: %v", err)
	}
	if os.Getuid() != 0 {
		return // cannot give a folder away
	}
	foreign := f
	foreign.Runtime = filepath.Join(dir, "foreign")
	if err := os.Mkdir(foreign.Runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(foreign.Runtime, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := foreign.Ensure(); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("another user's runtime folder: %v", err)
	}
}
