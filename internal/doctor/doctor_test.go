package doctor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		got  Finding
		want Verdict
		text string
	}{
		{"there", folder("f", dir), OK, "MiB free"},
		{"not there yet", folder("f", filepath.Join(dir, "a", "b")), OK, "not there yet"},
		{"a file", folder("f", file), Fail, "is not a folder"},
		{"below a file", folder("f", filepath.Join(file, "a")), Fail, "is not a folder"},
		{"runtime: not there yet", runtimeFolder("/tmp/coma-of-nobody"), OK, "not there yet"},
		{"runtime: a file", runtimeFolder(shortLink(t, file)), Fail, "is not a folder"},
		{"runtime: too long", runtimeFolder("/" + strings.Repeat("x", 100)), Fail, "bytes"},
	} {
		if test.got.Verdict != test.want || !strings.Contains(test.got.Text, test.text) {
			t.Errorf("%s: %+v, want %s with %q", test.name, test.got, test.want, test.text)
		}
		if (test.got.Do == "") != (test.want == OK) {
			t.Errorf("%s: %s, and what to do is %q", test.name, test.want, test.got.Do)
		}
	}
}

// shortLink returns a path to target that is short enough for a socket to lie in.
func shortLink(t *testing.T, target string) string {
	dir, err := os.MkdirTemp("", "coma")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	number := listener.Addr().(*net.TCPAddr).Port
	if f := port(t.Context(), "p", number, nil); f.Verdict != Warn || !strings.Contains(f.Text, "taken by another program") {
		t.Errorf("taken: %+v", f)
	}
	ours := []string{"mqtt://" + listener.Addr().String()}
	if f := port(t.Context(), "p", number, ours); f.Verdict != OK || !strings.Contains(f.Text, "coma backend's") {
		t.Errorf("ours: %+v", f)
	}
}

func TestLeftovers(t *testing.T) {
	dir, err := os.MkdirTemp("", "coma")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	dirs := folders.Folders{Runtime: dir}
	if f := leftovers(t.Context(), dirs); f.Verdict != OK {
		t.Errorf("empty: %+v", f)
	}
	if err := os.WriteFile(filepath.Join(dir, "7.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := leftovers(t.Context(), dirs); f.Verdict != Warn || !strings.Contains(f.Text, "7.sock") {
		t.Errorf("one that nobody listens at: %+v", f)
	}
}
