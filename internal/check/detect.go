package check

import (
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"

	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// bodyless finds functions and methods that are declared and not written.
func bodyless(p *Checked, report func(pos token.Pos, args ...any)) {
	for _, file := range p.Files {
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Body == nil {
				report(function.Name.Pos(), function.Name.Name)
			}
		}
	}
}

func linkname(p *Checked, report func(pos token.Pos, args ...any)) { directed(p, "linkname", report) }

// directed finds the lines //go:verb.
func directed(p *Checked, verb string, report func(pos token.Pos, args ...any)) {
	for _, file := range p.Files {
		for _, d := range directivesOf(file) {
			if d.verb == verb {
				report(d.pos)
			}
		}
	}
}

// unsupported finds uses of what package stdlib cannot give although it has the package.
func unsupported(p *Checked, report func(pos token.Pos, args ...any)) {
	missing := stdlib.Unsupported()
	for name, object := range p.Info.Uses {
		if object.Pkg() == nil || object.Parent() != object.Pkg().Scope() {
			continue
		}
		i := slices.IndexFunc(missing, func(m stdlib.Missing) bool { return m.Path == object.Pkg().Path() && m.Name == object.Name() })
		if i >= 0 {
			report(name.Pos(), qualified(missing[i]), missing[i].Reason)
		}
	}
}

// stackWatchers are names of the standard library that tell the file or function of their caller.
var stackWatchers = map[string]bool{
	"log/slog.AddSource": true,
	"runtime.Callers":    true, "runtime.CallersFrames": true, "runtime.FuncForPC": true,
}

// watchers are the stack watchers as the page lists them.
func watchers() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(stackWatchers)) {
		names = append(names, "`"+path.Base(name)+"`")
	}
	return names
}

// callers finds uses of what looks at the Go stack.
func callers(p *Checked, report func(pos token.Pos, args ...any)) {
	for name, object := range p.Info.Uses {
		if object.Pkg() != nil && stackWatchers[object.Pkg().Path()+"."+object.Name()] {
			report(name.Pos(), path.Base(object.Pkg().Path())+"."+object.Name())
		}
	}
}
