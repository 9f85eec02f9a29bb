package embedded

import (
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var folder = fstest.MapFS{
	"chat.go":              {Data: []byte("package chat")},
	"prompt.txt":           {Data: []byte("be kind")},
	"prompts/a.txt":        {Data: []byte("a")},
	"prompts/b-c.txt":      {Data: []byte("b")},
	"prompts/b/d.txt":      {Data: []byte("d")},
	"prompts/.hidden":      {Data: []byte("h")},
	"prompts/_draft/e.txt": {Data: []byte("e")},
	"prompts/mod/go.mod":   {Data: []byte("module x")},
	"prompts/mod/f.txt":    {Data: []byte("f")},
	"odd/it's.txt":         {Data: []byte("odd")},
	"empty/.keep":          {Data: []byte("")},
}

func TestFind(t *testing.T) {
	for _, c := range []struct{ patterns, want string }{
		{"prompt.txt", "prompt.txt"},
		{"prompt.txt *.txt", "prompt.txt"},
		{"prompts", "prompts/ prompts/a.txt prompts/b/ prompts/b-c.txt prompts/b/d.txt"},
		{"all:prompts", "prompts/ prompts/.hidden prompts/_draft/ prompts/a.txt prompts/b/ prompts/b-c.txt prompts/_draft/e.txt prompts/b/d.txt"},
		{"prompts/.hidden", "prompts/ prompts/.hidden"},
		{"prompts/*.txt chat.go", "chat.go prompts/ prompts/a.txt prompts/b-c.txt"},
		{"missing.txt", "error: pattern missing.txt: no matching files found"},
		{"../x", "error: pattern ../x: invalid pattern syntax"},
		{".", "error: pattern .: invalid pattern syntax"},
		{"[", "error: pattern [: invalid pattern syntax"},
		{"prompts/mod", "error: pattern prompts/mod: cannot embed directory prompts/mod: in different module"},
		{"empty", "error: pattern empty: cannot embed directory empty: contains no embeddable files"},
		{"odd/*", "error: pattern odd/*: cannot embed file odd/it's.txt: invalid name it's.txt"},
	} {
		files, err := Find(folder, strings.Fields(c.patterns))
		var names []string
		for _, f := range files {
			names = append(names, f.Name)
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.patterns, got, c.want)
		}
	}
}

// TestLikeGo compares with what the go command embeds from the same folder.
func TestLikeGo(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain to compare with")
	}
	dir := t.TempDir()
	for name, f := range folder {
		write(t, filepath.Join(dir, name), string(f.Data))
	}
	write(t, filepath.Join(dir, "go.mod"), "module chat\ngo 1.26\n")
	for _, pattern := range []string{"prompts", "all:prompts", "prompts/.hidden", "prompts/*.txt", "missing.txt", "prompts/mod", "empty", "odd/*"} {
		write(t, filepath.Join(dir, "chat.go"), "package chat\n\nimport \"embed\"\n\n//go:embed "+pattern+"\nvar files embed.FS\n")
		command := exec.Command("go", "list", "-e", "-f", "{{range .EmbedFiles}}{{.}}\n{{end}}{{with .Error}}{{.Err}}{{end}}", ".")
		command.Dir = dir
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		files, err := Find(os.DirFS(dir), []string{pattern})
		got := []string{}
		for _, f := range files {
			if !strings.HasSuffix(f.Name, "/") {
				got = append(got, f.Name)
			}
		}
		if err != nil {
			got = append(got, err.Error())
		}
		slices.Sort(got)
		want := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, the go command says %q", pattern, got, want)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFS(t *testing.T) {
	files, err := Find(folder, []string{"prompts", "prompt.txt"})
	if err != nil {
		t.Fatal(err)
	}
	made := FS(files)
	if err := fstest.TestFS(made, "prompt.txt", "prompts/a.txt", "prompts/b/d.txt"); err != nil {
		t.Error(err)
	}
	data, err := fs.ReadFile(made, "prompts/b/d.txt")
	if err != nil || string(data) != "d" {
		t.Errorf("read %q, %v", data, err)
	}
}

// TestLayout compares the fields of embed.FS, by name and type, with those that FS writes.
func TestLayout(t *testing.T) {
	real, ours := reflect.TypeFor[embed.FS](), reflect.TypeFor[layout]()
	if real.NumField() != 1 || real.Field(0).Name != "files" {
		t.Fatalf("embed.FS is now %v", real)
	}
	a, b := real.Field(0).Type.Elem().Elem(), ours.Field(0).Type.Elem().Elem()
	if a.NumField() != b.NumField() || a.Size() != b.Size() {
		t.Fatalf("a file of embed.FS is now %v", a)
	}
	for i := range a.NumField() {
		if a.Field(i).Name != b.Field(i).Name || a.Field(i).Offset != b.Field(i).Offset || a.Field(i).Type != b.Field(i).Type {
			t.Errorf("field %d of a file of embed.FS is now %v", i, a.Field(i))
		}
	}
}

func TestSingle(t *testing.T) {
	if got, ok := Single([]File{{Name: "a/"}, {Name: "a/b.txt", Data: "text"}}); got != "text" || !ok {
		t.Errorf("Single = %q, %v", got, ok)
	}
	if got, ok := Single([]File{{Name: "a.txt"}, {Name: "b.txt"}}); ok {
		t.Errorf("Single of two files = %q", got)
	}
}
