package check

import (
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// TestRefusals checks that each entry of the table has an example that shows it, and each example an entry.
func TestRefusals(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	for _, name := range files {
		examples = append(examples, strings.TrimSuffix(filepath.Base(name), ".txtar"))
	}
	for _, r := range Refusals() {
		if r.What == "" || r.Message == "" || r.Reason == "" || r.WayOut == "" {
			t.Errorf("refusal %s lacks a text: %+v", r.ID, r)
		}
		if !slices.Contains(examples, r.ID) {
			t.Errorf("refusal %s has no example in testdata/refused", r.ID)
		}
	}
	for i, id := range examples {
		t.Run(id, func(t *testing.T) {
			entry := slices.IndexFunc(Refusals(), func(r Refusal) bool { return r.ID == id })
			if entry < 0 {
				t.Fatalf("no refusal of that ID is in the table")
			}
			if Refusals()[entry].always {
				id = "" // its errors are like any other
			}
			text, err := txtar.ParseFile(files[i])
			if err != nil {
				t.Fatal(err)
			}
			p := &program{name: id, files: text.Files[:len(text.Files)-1]}
			fset, errors := refusedOf(p)
			if !slices.ContainsFunc(errors, func(e Error) bool { return e.Refusal == id }) {
				t.Error("the example is not refused by the entry of its name")
			}
			for _, e := range errors {
				if e.Refusal == "" && id != "" {
					t.Errorf("the example is wrong Go: %s", e.Message)
				}
			}
			want := &text.Files[len(text.Files)-1]
			got := say(fset, errors)
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(files[i], txtar.Format(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(want.Data) {
				t.Errorf("got\n%s\nwant\n%s", got, want.Data)
			}
		})
	}
}

// refusedOf is all that is refused in a program, by Check or by Refused.
func refusedOf(p *program) (*token.FileSet, []Error) {
	fset, pkg, wrong := parsed(p)
	if len(wrong) > 0 {
		return fset, wrong
	}
	checked, wrong := Check(fset, []Package{pkg})
	if len(wrong) > 0 {
		return fset, wrong
	}
	return fset, Refused(fset, checked)
}

// TestStandardLibrary checks that every public package of the standard library is either available or known to be absent.
func TestStandardLibrary(t *testing.T) {
	out, err := exec.Command("go", "list", "std").Output()
	if err != nil {
		t.Skipf("no Go toolchain to ask: %v", err)
	}
	for _, path := range strings.Fields(string(out)) {
		if slices.Contains(strings.Split(path, "/"), "internal") || strings.HasPrefix(path, "vendor/") {
			continue
		}
		available := slices.Contains(stdlib.Packages(), path)
		absent := slices.ContainsFunc(stdlib.Absent(), func(m stdlib.Missing) bool { return m.Path == path })
		if available == absent {
			t.Errorf("%s: available: %v, said to be absent: %v", path, available, absent)
		}
	}
}

// TestPage says when docs/interpreter.md is not what the table says.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/interpreter.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != Page() {
		t.Error("docs/interpreter.md is stale: go generate ./internal/check")
	}
}
