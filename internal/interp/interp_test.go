package interp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/concurrent-modular-agent/coma/internal/check"
)

// load loads the Go files of an archive as packages below the given path.
func load(t testing.TB, archive *txtar.Archive, root string) (*Program, []check.Error, error) {
	t.Helper()
	fset := token.NewFileSet()
	byDir := map[string][]*ast.File{}
	names := map[string]string{}
	for _, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".go") {
			continue
		}
		file, err := parser.ParseFile(fset, f.Name, f.Data, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		dir := path.Dir(f.Name)
		byDir[dir] = append(byDir[dir], file)
		names[dir] = file.Name.Name
	}
	var packages []check.Package
	for dir, files := range byDir {
		packages = append(packages, check.Package{Path: path.Join(root, dir), Name: names[dir], Files: files})
	}
	checked, errs := check.Check(fset, packages)
	if len(errs) > 0 {
		return nil, errs, nil
	}
	if errs := check.Refused(fset, checked); len(errs) > 0 {
		return nil, errs, nil
	}
	p, err := Load(fset, checked, Options{})
	return p, nil, err
}

func TestCases(t *testing.T) {
	dir := os.Getenv("CASES")
	if dir == "" {
		t.Skip("no CASES")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, valid := "", false
			for _, f := range archive.Files {
				if f.Name == "want" {
					want, valid = string(f.Data), true
				}
			}
			p, errs, err := load(t, archive, "case")
			if err != nil {
				t.Fatal("load: ", err)
			}
			if len(errs) > 0 {
				if valid {
					t.Fatal("refused: ", errs)
				}
				return
			}
			if !valid {
				t.Fatal("accepted")
			}
			p.Init()
			main := p.Lookup("case", "Main")
			got := main.Interface().(func() string)()
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}
