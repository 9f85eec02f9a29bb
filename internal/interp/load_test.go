package interp

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/check"
)

func TestLoadTellsWhereItFailed(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		line   int
	}{
		// What the compiler sees in instances only passes the checker.
		"in a function": {"package p\n\nfunc make1[T any]() any { return make(chan T) }\n\nfunc Main() { make1[[1 << 17]byte]() }\n", 3},
		"in a variable": {"package p\n\ntype c[T any] chan T\n\nvar V = make(c[[1 << 17]byte])\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, "p.go", c.source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			packages, errs := check.Check(fset, []check.Package{{Path: "p", Name: "p", Files: []*ast.File{file}}})
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			_, err = Load(fset, packages, Options{})
			var at *LoadError
			if !errors.As(err, &at) {
				t.Fatalf("load: %v", err)
			}
			if at.Refusal == "" || at.Message == "" || fset.Position(at.Pos).Line != c.line {
				t.Errorf("%v: %s (refusal %q)", fset.Position(at.Pos), at.Message, at.Refusal)
			}
		})
	}
}
