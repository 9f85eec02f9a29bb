package memory

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestPathStaysInTheFolder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"plant", "my-agent_2.0", "日本", "..", ".", "../../etc/passwd", "a/b", `a\b`, "%2F", "a b", "x\x00y"} {
		path, err := Path(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(path) != dir || nameOf(path) != name {
			t.Errorf("%q is at %q, which is called %q", name, path, nameOf(path))
		}
		open(t, path, Options{}).Close()
	}
	if infos, err := List(dir); err != nil || len(infos) != 11 {
		t.Errorf("%v, %v", infos, err)
	}
	for _, name := range []string{"", strings.Repeat("日", 30)} {
		if _, err := Path(dir, name); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestListAndRemove(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string {
		path, err := Path(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	closed := open(t, at("closed"), Options{Embedder: Hashing(8)})
	add(t, closed, api.Record{Text: "new", Time: start.Add(time.Hour)}, api.Record{Text: "old", Time: start})
	closed.Close()
	busy := open(t, at("busy"), Options{})
	add(t, busy, api.Record{Text: "x"})
	for name, content := range map[string]string{at("damaged"): "no database", at("empty"): "", filepath.Join(dir, "note.txt"): "x"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	infos, err := List(dir)
	if err != nil || len(infos) != 4 {
		t.Fatalf("%+v, %v", infos, err)
	}
	if i := infos[0]; i.Name != "busy" || !i.InUse || i.Bytes == 0 || i.Problem != "" {
		t.Errorf("%+v", i)
	}
	if i := infos[1]; i.Name != "closed" || i.Records != 2 || i.Dimension != 8 || !i.Oldest.Equal(start) || !i.Newest.Equal(start.Add(time.Hour)) || i.InUse {
		t.Errorf("%+v", i)
	}
	if i := infos[2]; i.Name != "damaged" || !strings.Contains(i.Problem, "damaged") {
		t.Errorf("%+v", i)
	}
	if i := infos[3]; i.Name != "empty" || i.Records != 0 || i.Problem != "" {
		t.Errorf("%+v", i)
	}

	for name, want := range map[string]error{"closed": nil, "damaged": nil, "empty": nil, "busy": api.ErrInUse, "none": api.ErrNotFound, "../x": api.ErrNotFound} {
		if err := Remove(dir, name); !errors.Is(err, want) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	add(t, busy, api.Record{Text: "still here"})
	busy.Close()
	if err := Remove(dir, "busy"); err != nil {
		t.Error(err)
	}
	if infos, err := List(dir); err != nil || len(infos) != 0 {
		t.Errorf("%+v, %v", infos, err)
	}
	if infos, err := List(filepath.Join(dir, "none")); err != nil || len(infos) != 0 {
		t.Errorf("%+v, %v", infos, err)
	}
}
