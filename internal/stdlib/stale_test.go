package stdlib

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What gen makes is what is here.
func TestGeneratedIsFresh(t *testing.T) {
	if testing.Short() {
		t.Skip("type-checks the standard library for each platform")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go command")
	}
	made := t.TempDir()
	for _, folder := range []string{"symbols", "embed"} {
		if err := os.Mkdir(filepath.Join(made, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(tool, "run", "./gen", "-o", made)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("run gen: %v\n%s", err, out)
	}
	const stale = "is stale, or made by another Go: run go generate ./internal/stdlib and commit what changes"
	byHand := map[string]bool{"symbols/symbols.go": true, "embed/LICENSE-go": true}
	here := map[string]bool{}
	for _, folder := range []string{"symbols", "embed"} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			here[folder+"/"+entry.Name()] = true
		}
	}
	err = fs.WalkDir(os.DirFS(made), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(made, name))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s %s", name, stale)
		}
		delete(here, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range here {
		if !byHand[name] {
			t.Errorf("%s %s", name, stale)
		}
	}
	if out, err := exec.Command(tool, "list", "std").Output(); err != nil {
		t.Errorf("list packages: %v", err)
	} else {
		accounted(t, strings.Fields(string(out)))
	}
}

// accounted fails for a package of the standard library that is neither offered nor said to be absent.
func accounted(t *testing.T, paths []string) {
	known := map[string]bool{}
	for _, path := range Packages() {
		known[path] = true
	}
	for _, missing := range Absent() {
		if known[missing.Path] {
			t.Errorf("%s is said to be absent", missing.Path)
		}
		known[missing.Path] = true
	}
	for _, path := range paths {
		if !known[path] && !strings.HasPrefix(path, "vendor/") && !strings.Contains("/"+path+"/", "/internal/") {
			t.Errorf("%s is not offered, and no reason is given", path)
		}
	}
}
