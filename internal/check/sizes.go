package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"runtime"
	"slices"
)

const (
	maxElement = 1 << 16 // bytes, of an element of a channel
	maxSize    = 1 << 50 // bytes, of any type
)

// tooLarge finds types of sizes that the compiler refuses and go/types accepts. They must be whole.
func tooLarge(p *Checked) []Error {
	var found []Error
	s := sizes{sizes: types.SizesFor("gc", runtime.GOARCH)}
	for _, file := range p.Files {
		ast.PreorderStack(file, nil, func(node ast.Node, around []ast.Node) bool {
			e, ok := node.(ast.Expr)
			if !ok {
				return true
			}
			t := p.Info.Types[e]
			if !t.IsType() {
				return true
			}
			if message := s.wrong(t.Type, types.RelativeTo(p.Types)); message != "" {
				wrong := Error{Pos: declaredAt(around, e), Message: message}
				if !slices.Contains(found, wrong) {
					found = append(found, wrong)
				}
				return false
			}
			return true
		})
	}
	return found
}

type sizes struct{ sizes types.Sizes }

// wrong says what is wrong with the size of a type that is written out, without those that have names of their own.
func (s sizes) wrong(t types.Type, qualifier types.Qualifier) string {
	switch t := t.(type) {
	case *types.Chan:
		if s.known(t.Elem()) {
			if size := s.sizes.Sizeof(t.Elem()); size >= maxElement || size < 0 {
				return "channel element type too large (>64kB)"
			}
		}
	case *types.Array:
		if !s.known(t.Elem()) {
			return ""
		}
		if size := s.sizes.Sizeof(t.Elem()); size > 0 && t.Len() > (maxSize-1)/size {
			return fmt.Sprintf("type %s larger than address space", types.TypeString(t, qualifier))
		}
	case *types.Struct:
		if s.known(t) {
			if size := s.sizes.Sizeof(t); size >= maxSize || size < 0 {
				return fmt.Sprintf("type %s too large", types.TypeString(t, qualifier))
			}
		}
	}
	return ""
}

// known tells whether a type has one size, which those with type parameters do not have.
func (s sizes) known(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.TypeParam:
		return false
	case *types.Named:
		return s.known(t.Underlying())
	case *types.Array:
		return s.known(t.Elem())
	case *types.Struct:
		for field := range t.Fields() {
			if !s.known(field.Type()) {
				return false
			}
		}
	}
	return true
}

// declaredAt is where the compiler reports the size of a type: at what is being declared around it, or the
// function.
func declaredAt(around []ast.Node, e ast.Expr) token.Pos {
	for i := len(around) - 1; i >= 0; i-- {
		switch n := around[i].(type) {
		case *ast.FuncDecl:
			return n.Name.Pos()
		case *ast.ValueSpec:
			return n.Names[0].Pos()
		case *ast.TypeSpec:
			return n.Name.Pos()
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				return n.Pos()
			}
		}
	}
	return e.Pos()
}
