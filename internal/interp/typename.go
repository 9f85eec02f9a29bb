package interp

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// nameOf is a type's name as reflect tells it. That of an instance has its type arguments, and that of a type which a
// generic function declares has the function's before its own: after
//
//	func F[A any]() { type T[B any] struct{} … }
//
// F[int] has T[int;string].
func (tt *typeTable) nameOf(t *types.Named) string {
	n := typeName{tt: tt}
	n.named(t)
	return string(n.text)
}

// typeName writes types as the compiler writes them into the names of others. It differs from both reflect's and
// go/types' way: paths in full, aliases gone, packages at unexported names, numbers at the types that functions declare.
type typeName struct {
	tt   *typeTable
	text []byte
}

func (n *typeName) add(parts ...string) {
	for _, part := range parts {
		n.text = append(n.text, part...)
	}
}

// named writes the name of a defined type, without its package.
func (n *typeName) named(t *types.Named) {
	outer := n.tt.locals.outerArgs(n.tt.p, t.Obj())
	n.add(t.Obj().Name())
	if len(outer)+t.TypeArgs().Len() == 0 {
		return
	}
	for i, arg := range slices.Concat(outer, slices.Collect(t.TypeArgs().Types())) {
		switch i {
		case 0:
			n.add("[")
		case len(outer):
			n.add(";")
		default:
			n.add(",")
		}
		n.write(arg)
	}
	n.add("]")
}

func (n *typeName) write(t types.Type) {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if t.Obj().Pkg() == nil {
			n.add(t.Obj().Name()) // error
			return
		}
		n.add(n.prefix(t.Obj().Pkg()), ".")
		n.named(t)
		if number := n.tt.locals.number(n.tt.p, t.Obj()); number > 0 {
			n.add("·", strconv.Itoa(number))
		}
	case *types.Basic:
		n.add(basicTypes[t.Kind()].String()) // uint8 for byte
	case *types.Pointer:
		n.add("*")
		n.write(t.Elem())
	case *types.Slice:
		n.add("[]")
		n.write(t.Elem())
	case *types.Array:
		n.add("[", strconv.FormatInt(t.Len(), 10), "]")
		n.write(t.Elem())
	case *types.Map:
		n.add("map[")
		n.write(t.Key())
		n.add("]")
		n.write(t.Elem())
	case *types.Chan:
		n.channel(t)
	case *types.Signature:
		n.add("func")
		n.signature(t)
	case *types.Struct:
		n.structure(t)
	case *types.Interface:
		n.iface(t)
	default:
		panic(&buildError{text: fmt.Sprintf("there is no runtime type for %v (%T)", t, t)})
	}
}

func (n *typeName) channel(t *types.Chan) {
	n.add(chanDirs[t.Dir()].String(), " ")
	if elem, ok := types.Unalias(t.Elem()).(*types.Chan); ok && t.Dir() == types.SendRecv && elem.Dir() == types.RecvOnly {
		n.add("(")
		n.write(elem)
		n.add(")")
		return
	}
	n.write(t.Elem())
}

func (n *typeName) signature(s *types.Signature) {
	n.add("(")
	for i := range s.Params().Len() {
		if i > 0 {
			n.add(", ")
		}
		t := s.Params().At(i).Type()
		if s.Variadic() && i == s.Params().Len()-1 {
			n.add("...")
			t = types.Unalias(t).(*types.Slice).Elem()
		}
		n.write(t)
	}
	n.add(")")
	switch results := s.Results(); results.Len() {
	case 0:
	case 1:
		n.add(" ")
		n.write(results.At(0).Type())
	default:
		separator := " ("
		for v := range results.Variables() {
			n.add(separator)
			n.write(v.Type())
			separator = ", "
		}
		n.add(")")
	}
}

func (n *typeName) structure(s *types.Struct) {
	if s.NumFields() == 0 {
		n.add("struct {}")
		return
	}
	separator := "struct { "
	for i := range s.NumFields() {
		f := s.Field(i)
		n.add(separator)
		separator = "; "
		switch {
		case !f.Embedded():
			n.add(n.member(f), " ")
		case !namedAs(f):
			n.add(n.member(f), " = ")
		}
		n.write(f.Type())
		if tag := s.Tag(i); tag != "" {
			n.add(" ", strconv.Quote(tag))
		}
	}
	n.add(" }")
}

// namedAs tells whether an embedded field has just the name that the compiler gives its type, so that it goes without. An
// alias has another, and so do builtin types, which belong to no package, instances and types that functions declare.
func namedAs(f *types.Var) bool {
	t := types.Unalias(f.Type())
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	named, ok := t.(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.TypeArgs().Len() > 0 {
		return false
	}
	obj := named.Obj()
	return obj.Parent() == obj.Pkg().Scope() && obj.Name() == f.Name() && (f.Exported() || obj.Pkg() == f.Pkg())
}

// iface writes an interface, exported methods first.
func (n *typeName) iface(t *types.Interface) {
	if t.NumMethods() == 0 {
		n.add("interface {}")
		return
	}
	place := func(m *types.Func) string {
		if m.Exported() {
			return m.Name()
		}
		return "\xff" + m.Name() + "\x00" + m.Pkg().Path()
	}
	methods := slices.SortedFunc(t.Methods(), func(a, b *types.Func) int { return strings.Compare(place(a), place(b)) })
	separator := "interface { "
	for _, m := range methods {
		n.add(separator, n.member(m))
		n.signature(m.Signature())
		separator = "; "
	}
	n.add(" }")
}

// member is the name of a field or a method, with its package if that counts.
func (n *typeName) member(o types.Object) string {
	if o.Exported() {
		return o.Name()
	}
	return n.prefix(o.Pkg()) + "." + o.Name()
}

// prefix is a package's path as it stands in names: with dots in its last element, and what is not plain ASCII, escaped.
func (n *typeName) prefix(pkg *types.Package) string {
	path := n.tt.p.pathOf(pkg)
	last := strings.LastIndexByte(path, '/')
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '"' || c == '.' && i > last {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// localTypes knows, of the types that functions declare, what neither go/types nor go/ssa tells. It is guarded by its
// table's lock.
type localTypes struct {
	numbers  map[*types.Package]map[token.Pos]int
	outer    map[*types.TypeName][]types.Type
	searched map[*ssa.Function]bool
}

// number is the place of a type among those that its package's functions declare, from 1, as the compiler counts them; 0
// for all others.
func (l *localTypes) number(p *Program, obj *types.TypeName) int {
	known, ok := l.numbers[obj.Pkg()]
	if !ok {
		known = map[token.Pos]int{}
		for _, file := range p.files[obj.Pkg()] {
			numberLocals(file, known)
		}
		if l.numbers == nil {
			l.numbers = map[*types.Package]map[token.Pos]int{}
		}
		l.numbers[obj.Pkg()] = known
	}
	return known[obj.Pos()]
}

func numberLocals(file *ast.File, known map[token.Pos]int) {
	ast.Inspect(file, func(n ast.Node) bool {
		body, ok := n.(*ast.BlockStmt)
		if !ok {
			return true
		}
		ast.Inspect(body, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && !spec.Assign.IsValid() {
				known[spec.Name.Pos()] = len(known) + 1
			}
			return true
		})
		return false
	})
}

// outerArgs are the type arguments of the generic function, or of the generic receiver, within which a type is declared.
//
// For each instance of such a function go/ssa makes an object of its own for the type, and does not say for which. But
// an instance mentions only its own: Go forbids the instances without end that another would take part in. So the
// instances are searched for their types.
func (l *localTypes) outerArgs(p *Program, obj *types.TypeName) []types.Type {
	if obj.Parent() != nil || !p.own[obj.Pkg()] {
		return nil // an object of the checker's
	}
	if args, ok := l.outer[obj]; ok {
		return args
	}
	if l.outer == nil {
		l.outer, l.searched = map[*types.TypeName][]types.Type{}, map[*ssa.Function]bool{}
	}
	for key := range p.functions.Range {
		fn := key.(*ssa.Function)
		for fn.Parent() != nil {
			fn = fn.Parent()
		}
		if fn.Origin() == nil || l.searched[fn] {
			continue
		}
		scope := fn.Origin().Object().(*types.Func).Scope()
		if scope == nil || !scope.Contains(obj.Pos()) {
			continue
		}
		l.searched[fn] = true
		s := localSearch{scope: scope, args: fn.TypeArgs(), outer: l.outer, seen: map[types.Type]bool{}}
		s.function(fn)
		if args, ok := l.outer[obj]; ok {
			return args
		}
	}
	panic(&buildError{text: fmt.Sprintf("the type arguments of type %s, which a generic function declares, are not known", obj.Name())})
}

// localSearch finds the types that an instance of a generic function declares. Others may be compiling it: they change its
// instructions only with the table's lock.
type localSearch struct {
	scope *types.Scope
	args  []types.Type
	outer map[*types.TypeName][]types.Type
	seen  map[types.Type]bool
}

func (s *localSearch) function(fn *ssa.Function) {
	s.find(fn.Signature)
	for _, v := range fn.FreeVars {
		s.find(v.Type())
	}
	var operands []*ssa.Value
	for _, block := range fn.Blocks {
		for _, instr := range block.Instrs {
			if v, ok := instr.(ssa.Value); ok {
				s.find(v.Type())
			}
			operands = instr.Operands(operands[:0])
			for _, operand := range operands {
				if *operand == nil {
					continue
				}
				s.find((*operand).Type())
				if callee, ok := (*operand).(*ssa.Function); ok {
					for _, arg := range callee.TypeArgs() {
						s.find(arg)
					}
				}
			}
		}
	}
	for _, literal := range fn.AnonFuncs {
		s.function(literal)
	}
}

func (s *localSearch) find(t types.Type) {
	t = types.Unalias(t)
	if s.seen[t] {
		return
	}
	s.seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		for arg := range t.TypeArgs().Types() {
			s.find(arg)
		}
		if obj := t.Obj(); obj.Parent() == nil && s.scope.Contains(obj.Pos()) {
			s.outer[obj] = s.args
			s.find(t.Underlying())
		}
	case *types.Map:
		s.find(t.Key())
		s.find(t.Elem())
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		s.find(t.Elem())
	case *types.Struct:
		for f := range t.Fields() {
			s.find(f.Type())
		}
	case *types.Interface:
		for m := range t.Methods() {
			s.find(m.Signature())
		}
	case *types.Signature:
		s.find(t.Params())
		s.find(t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			s.find(v.Type())
		}
	}
}
