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
	return loadWith(t, archive, root, Options{})
}

func loadWith(t testing.TB, archive *txtar.Archive, root string, opt Options) (*Program, []check.Error, error) {
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
	p, err := Load(fset, checked, opt)
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

// run loads a program of one file and returns what its Main returns.
func run(t *testing.T, source string) string {
	t.Helper()
	p, errs, err := load(t, &txtar.Archive{Files: []txtar.File{{Name: "case.go", Data: []byte(source)}}}, "case")
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	p.Init()
	return p.Lookup("case", "Main").Interface().(func() string)()
}

// TestStackFunctions looks at what the functions that tell of their callers say.
func TestStackFunctions(t *testing.T) {
	got := run(t, `package program

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

func where() string {
	_, file, line, ok := runtime.Caller(1)
	return fmt.Sprint(file, line, ok)
}

func breaks() {
	panic("broken")
}

func guarded() (stack string) {
	defer func() {
		if recover() != nil {
			stack = string(debug.Stack())
		}
	}()
	breaks()
	return ""
}

func Main() string {
	return where() + "\n" + strings.ReplaceAll(guarded(), "\n\t", " ")
}
`)
	want := `case.go30 true
goroutine 1 [running]:
program.guarded.func1(...) case.go:22
program.breaks(...) case.go:16
program.guarded(...) case.go:25
program.Main(...) case.go:30
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
