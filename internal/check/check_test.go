package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// source is a package of one file.
func source(t testing.TB, fset *token.FileSet, path, text string) Package {
	t.Helper()
	file, wrong := Parse(fset, path+"/a.go", []byte(text))
	if len(wrong) > 0 {
		t.Fatalf("parse %s: %s", path, say(fset, wrong))
	}
	return Package{Path: path, Name: file.Name.Name, Files: []*ast.File{file}}
}

func TestDependenciesFirst(t *testing.T) {
	fset := token.NewFileSet()
	checked, wrong := Check(fset, []Package{
		source(t, fset, "garden/chat", `package chat; import ("garden/words"; "garden/mood"); var A = words.Polite + mood.Now()`),
		source(t, fset, "garden/mood", `package mood; import ("garden/words"; "strings"); func Now() string { return strings.ToUpper(words.Polite) }`),
		source(t, fset, "garden/words", `package words; const Polite = "please"`),
	})
	if len(wrong) > 0 {
		t.Fatal(say(fset, wrong))
	}
	var order []string
	for _, c := range checked {
		order = append(order, c.Path)
		if !c.Types.Complete() || len(c.Info.Defs) == 0 || len(c.Files) != 1 {
			t.Errorf("%s is not whole", c.Path)
		}
	}
	if want := []string{"garden/words", "garden/mood", "garden/chat"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if checked[2].Types.Imports()[0] != checked[0].Types && checked[2].Types.Imports()[1] != checked[0].Types {
		t.Error("an import of the project is another package than the one checked")
	}
}

// TestErrors is of errors that a single program for the compiler does not show.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name     string
		packages []string // path, a space, text
		want     string
	}{
		{
			"cycle",
			[]string{`p/a package a; import "p/b"; var X = b.X`, `p/b package b; import "p/a"; var X = a.X`},
			"p/b/a.go:1:19: import cycle not allowed\n",
		},
		{
			"itself",
			[]string{`p/a package a; import "p/a"`},
			"p/a/a.go:1:19: import cycle not allowed\n",
		},
		{
			"errors of all packages, and none that follow from one in another",
			[]string{`p/a package a; import "p/b"; var X int = b.X; var Y int = "a"`, `p/b package b; var X = missing; var Y string = 1`},
			"p/a/a.go:1:55: cannot use \"a\" (untyped string constant) as int value in variable declaration\n" +
				"p/b/a.go:1:20: undefined: missing\n" +
				"p/b/a.go:1:44: cannot use 1 (untyped int constant) as string value in variable declaration\n",
		},
		{
			"not in std",
			[]string{`p package p; import "strngs"; import "./x"; import "internal/abi"; import "math/randy"`},
			"p/a.go:1:19: package strngs is not in std; did you mean \"strings\"?\n" +
				"p/a.go:1:36: \"./x\" is relative, but relative import paths are not supported in module mode\n" +
				"p/a.go:1:50: use of internal package internal/abi not allowed\n" +
				"p/a.go:1:73: package math/randy is not in std; did you mean \"math/rand\" or \"math/rand/v2\" or \"math\"?\n",
		},
		{
			"names of packages that are not there are no errors",
			[]string{`p package p; import ("github.com/x/go-y"; z "github.com/x/z"); var a = y.New(z.Option); var b int = "x"`},
			"p/a.go:1:20: package github.com/x/go-y is not available to interpreted modules: engine: go compiles this module with it\n" +
				"p/a.go:1:43: package github.com/x/z is not available to interpreted modules: engine: go compiles this module with it\n" +
				"p/a.go:1:99: cannot use \"x\" (untyped string constant) as int value in variable declaration\n",
		},
		{
			"did you mean",
			[]string{`p package p; import "strings"; func f() { number := 1; _ = numbr; strings.Tolower("A"); _ = lenn("x"); number++ }`},
			"p/a.go:1:58: undefined: numbr; did you mean \"number\"?\n" +
				"p/a.go:1:73: undefined: strings.Tolower (but have ToLower)\n" +
				"p/a.go:1:91: undefined: lenn; did you mean \"len\"?\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			fset := token.NewFileSet()
			var packages []Package
			for _, p := range c.packages {
				path, text, _ := strings.Cut(p, " ")
				packages = append(packages, source(t, fset, path, text))
			}
			checked, wrong := Check(fset, packages)
			var got strings.Builder
			for _, e := range wrong {
				fmt.Fprintf(&got, "%s: %s\n", fset.Position(e.Pos), e.Message)
			}
			if got.String() != c.want || checked != nil {
				t.Errorf("got\n%s\nwant\n%s", got.String(), c.want)
			}
		})
	}
}

func TestLanguageVersion(t *testing.T) {
	for _, c := range []struct{ version, want string }{
		{"", ""},
		{"go1.22", ""},
		{"go1.21", "p/a.go:1:33: cannot range over 10 (untyped int constant): requires go1.22 or later (-lang was set to go1.21; check go.mod)\n"},
		{"go1.999", "p/a.go:1:1: package requires newer Go version go1.999 (application built with " + GoVersion() + ")\n"},
	} {
		fset := token.NewFileSet()
		p := source(t, fset, "p", `package p; func f() { for range 10 {} }`)
		p.GoVersion = c.version
		_, wrong := Check(fset, []Package{p})
		if got := say(fset, wrong); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.version, got, c.want)
		}
	}
}

func TestTooManyErrors(t *testing.T) {
	var text strings.Builder
	text.WriteString("package p\n")
	for i := range 2 * MaxErrors {
		fmt.Fprintf(&text, "var v%d = missing%d\n", i, i)
	}
	fset := token.NewFileSet()
	_, wrong := Check(fset, []Package{source(t, fset, "p", text.String())})
	if len(wrong) != MaxErrors+1 {
		t.Fatalf("%d errors, want %d and one that says that there are more", len(wrong), MaxErrors)
	}
	last := wrong[MaxErrors]
	if want := fmt.Sprintf("too many errors: %d more from here on", MaxErrors); last.Message != want {
		t.Errorf("the last says %q, want %q", last.Message, want)
	}
}

// TestInfo checks that the maps are filled that go/ssa reads.
func TestInfo(t *testing.T) {
	fset := token.NewFileSet()
	checked, wrong := Check(fset, []Package{source(t, fset, "p", `package p
import "slices"
type T struct{ n int }
func (t T) N() int { return t.n }
func f(v any) { switch x := v.(type) { case int: _ = x }; slices.Sort([]int{T{}.N()}) }`)})
	if len(wrong) > 0 {
		t.Fatal(say(fset, wrong))
	}
	info := checked[0].Info
	for name, n := range map[string]int{
		"Types": len(info.Types), "Defs": len(info.Defs), "Uses": len(info.Uses), "Implicits": len(info.Implicits),
		"Instances": len(info.Instances), "Scopes": len(info.Scopes), "Selections": len(info.Selections), "FileVersions": len(info.FileVersions),
	} {
		if n == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if _, ok := checked[0].Types.Scope().Lookup("T").(*types.TypeName); !ok {
		t.Error("T is no type of the package")
	}
}

func FuzzCheck(f *testing.F) {
	for _, a := range archives(f) {
		for _, p := range a.programs {
			f.Add(p.files[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fset := token.NewFileSet()
		file, wrong := Parse(fset, "a.go", text)
		if file != nil {
			var checked []*Checked
			checked, wrong = Check(fset, []Package{{Path: "p", Name: file.Name.Name, Files: []*ast.File{file}}})
			if (checked == nil) == (len(wrong) == 0) {
				t.Fatalf("checked %v, wrong %v", checked, wrong)
			}
			if checked != nil {
				wrong = Refused(fset, checked)
				if run, errors := Run(checked[0]); (run == nil) == (len(errors) == 0) {
					t.Fatalf("run %v, errors %v", run, errors)
				}
			}
		}
		for _, e := range wrong {
			if at := fset.Position(e.Pos); !at.IsValid() || e.Message == "" {
				t.Errorf("error without a place or words: %v %q", at, e.Message)
			}
		}
	})
}
