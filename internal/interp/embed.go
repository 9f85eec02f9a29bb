package interp

import (
	"reflect"

	"golang.org/x/tools/go/ssa"

	"github.com/concurrent-modular-agent/coma/internal/check"
)

// embed gives the variables that //go:embed fills their values.
func (p *Program) embed(pkg *check.Checked) {
	for _, e := range check.Embeds(pkg) {
		if p.opt.Folder == nil {
			panic(&buildError{text: "//go:embed: this package has no folder", pos: e.Pos})
		}
		value, wrong := e.Value(p.opt.Folder(pkg.Path))
		if wrong != nil {
			panic(&buildError{text: wrong.Message, pos: wrong.Pos})
		}
		variable, ok := p.source[pkg.Types].Members[e.Var.Name()].(*ssa.Global)
		if !ok {
			continue // a local variable, which Go refuses and so has the checker
		}
		at := valueAt(p.types.of(e.Var.Type()), p.global(variable))
		at.Set(reflect.ValueOf(value).Convert(at.Type()))
	}
}
