package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"math/bits"
	"runtime"
	"slices"
)

// Limits of the compiler that are not the language's.
const (
	maxElement = 1<<16 - 1 // bytes that a channel's element may have
	maxType    = 1<<50 - 1 // bytes that an array may have, where pointers have 64 bits
)

// tooLarge finds types that the compiler has no room for. It tells of each declaration once, at its name.
func tooLarge(p *Checked) []Error {
	sizes := types.SizesFor("gc", runtime.GOARCH)
	var errors []Error
	for _, file := range p.Files {
		var within []ast.Node // the nodes around the one that is visited
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				within = within[:len(within)-1]
				return true
			}
			within = append(within, n)
			var message string
			switch n.(type) {
			case *ast.ChanType, *ast.ArrayType:
				t := p.Info.Types[n.(ast.Expr)].Type
				if t == nil || dependent(t) {
					return true
				}
				switch t := t.(type) {
				case *types.Chan:
					if !roomFor(sizes, t.Elem(), maxElement) {
						message = "channel element type too large (>64kB)"
					}
				case *types.Array:
					if !roomFor(sizes, t, maxType) && roomFor(sizes, t.Elem(), maxType) {
						message = fmt.Sprintf("type %s larger than address space", types.TypeString(t, types.RelativeTo(p.Types)))
					}
				}
				if message != "" {
					e := Error{Pos: declares(within), Message: message}
					if !slices.Contains(errors, e) {
						errors = append(errors, e)
					}
				}
			}
			return true
		})
	}
	return errors
}

// roomFor tells whether a type has at most so many bytes.
func roomFor(sizes types.Sizes, t types.Type, most uint64) bool {
	if array, ok := t.Underlying().(*types.Array); ok {
		if !roomFor(sizes, array.Elem(), most) {
			return array.Len() == 0
		}
		over, bytes := bits.Mul64(uint64(sizes.Sizeof(array.Elem())), uint64(array.Len()))
		return over == 0 && bytes <= most
	}
	if s, ok := t.Underlying().(*types.Struct); ok {
		for field := range s.Fields() {
			if !roomFor(sizes, field.Type(), most) {
				return false
			}
		}
	}
	n := sizes.Sizeof(t)
	return n >= 0 && uint64(n) <= most
}

// dependent tells whether a type's size depends on type parameters.
func dependent(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.TypeParam:
		return true
	case *types.Named:
		for arg := range t.TypeArgs().Types() {
			if dependent(arg) {
				return true
			}
		}
	case *types.Chan:
		return dependent(t.Elem())
	case *types.Array:
		return dependent(t.Elem())
	case *types.Struct:
		for field := range t.Fields() {
			if dependent(field.Type()) {
				return true
			}
		}
	}
	return false
}

// declares is where the innermost declaration around the last node has its name; where the node itself is, if there is none.
func declares(within []ast.Node) token.Pos {
	for i := len(within) - 1; i > 0; i-- {
		switch n := within[i].(type) {
		case *ast.ValueSpec:
			return n.Names[0].Pos()
		case *ast.TypeSpec:
			return n.Name.Pos()
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				return n.Lhs[0].Pos()
			}
		case *ast.FuncType:
			if function, ok := within[i-1].(*ast.FuncDecl); ok {
				return function.Name.Pos()
			}
		}
	}
	return within[len(within)-1].Pos()
}
