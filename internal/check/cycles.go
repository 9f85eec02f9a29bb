package check

import (
	"go/ast"
	"go/types"
)

// anonymousCycles finds interfaces without a name whose methods mention them again, by way of an alias. go/types accepts
// them and the compiler does not (go.dev/issue/56103); types that are built at run time could not be finished.
func anonymousCycles(p *Checked) []Error {
	var found []Error
	f := cycles{open: map[*types.Interface]bool{}, done: map[*types.Interface]bool{}}
	for _, file := range p.Files {
		ast.Inspect(file, func(node ast.Node) bool {
			literal, ok := node.(*ast.InterfaceType)
			if !ok {
				return true
			}
			if t := p.Info.TypeOf(literal); t != nil && f.reaches(t) {
				found = append(found, Error{
					Pos:     literal.Pos(),
					Message: "invalid recursive type: anonymous interface refers to itself (see https://go.dev/issue/56103)",
				})
			}
			return false
		})
	}
	return found
}

// cycles walks through types that have no name; those with one may mention themselves.
type cycles struct {
	open, done map[*types.Interface]bool
}

// reaches tells whether the walk from t comes back to an interface that it is in.
func (c *cycles) reaches(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		return c.reaches(t.Elem())
	case *types.Slice:
		return c.reaches(t.Elem())
	case *types.Array:
		return c.reaches(t.Elem())
	case *types.Chan:
		return c.reaches(t.Elem())
	case *types.Map:
		return c.reaches(t.Key()) || c.reaches(t.Elem())
	case *types.Struct:
		for field := range t.Fields() {
			if c.reaches(field.Type()) {
				return true
			}
		}
	case *types.Tuple:
		for v := range t.Variables() {
			if c.reaches(v.Type()) {
				return true
			}
		}
	case *types.Signature:
		return c.reaches(t.Params()) || c.reaches(t.Results())
	case *types.Interface:
		if c.open[t] {
			return true
		}
		if c.done[t] {
			return false
		}
		c.open[t] = true
		defer func() { delete(c.open, t); c.done[t] = true }()
		for method := range t.Methods() {
			if c.reaches(method.Type()) {
				return true
			}
		}
	}
	return false
}
