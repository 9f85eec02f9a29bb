package check

import (
	"go/ast"
	"go/token"
	"strings"
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

func linkname(p *Checked, report func(pos token.Pos, args ...any)) { directive(p, "linkname", report) }

func embed(p *Checked, report func(pos token.Pos, args ...any)) { directive(p, "embed", report) }

// directive finds the lines //go:name.
func directive(p *Checked, name string, report func(pos token.Pos, args ...any)) {
	for _, file := range p.Files {
		for _, group := range file.Comments {
			for _, comment := range group.List {
				if verb, _, _ := strings.Cut(comment.Text, " "); verb == "//go:"+name {
					report(comment.Pos())
				}
			}
		}
	}
}
