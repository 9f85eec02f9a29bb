package interp

import (
	"errors"
	"fmt"
	"go/token"
	"go/types"
	"reflect"
	"sync"
	"unsafe"

	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/types/typeutil"

	"github.com/concurrent-modular-agent/coma/internal/rtype"
)

// typeTable knows the runtime type of each type of the program. Types that the source declares are built when they are
// first needed.
type typeTable struct {
	p *Program

	mu       sync.Mutex
	known    typeutil.Map            // types.Type to reflect.Type
	learned  map[*types.Package]bool // packages whose unexported types have been looked for
	pending  []func()                // what is to be done once the types under construction have their layout
	busy     bool                    // pending is being worked off, further out
	building typeutil.Map            // unnamed structs whose methods are being looked up
	made     []*madeType             // that the program has, its own and adopted ones
	closed   bool                    // nothing is taken from the pool any more
	locals   localTypes
	source   sync.Map // unsafe.Pointer (rtype) to types.Type, of types whose methods are interpreted
}

// of is the runtime type of t. It panics with a *buildError where there is none.
func (tt *typeTable) of(t types.Type) reflect.Type {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	rt := tt.find(t)
	for !tt.busy && len(tt.pending) > 0 {
		tt.workOff()
	}
	return rt
}

func (tt *typeTable) workOff() {
	tt.busy = true
	defer func() { tt.busy = false }()
	next := tt.pending[0]
	tt.pending = tt.pending[1:]
	next()
}

// errClosed is what becomes of calls into a program that is closed.
var errClosed = errors.New("the module that declared this type has ended")

// must and built turn errors of package rtype into those of loading.
func must(err error) {
	if errors.Is(err, rtype.ErrFull) {
		panic(&buildError{text: "this process has no room for more types and methods, which changed with every load and cannot be freed: restart the host, or run this module with isolation: process"})
	}
	if err != nil {
		panic(&buildError{text: err.Error()})
	}
}

func built(t reflect.Type, err error) reflect.Type {
	must(err)
	return t
}

// declared is the types.Type of a runtime type whose methods are interpreted, nil for all others.
func (tt *typeTable) declared(rt unsafe.Pointer) types.Type {
	if t, ok := tt.source.Load(rt); ok {
		return t.(types.Type)
	}
	return nil
}

// buildError is something that the checker should have refused.
type buildError struct {
	text string
	pos  token.Pos // of the function that is being compiled

	refusal string // see LoadError
}

func (e *buildError) Error() string { return e.text }

func (tt *typeTable) find(t types.Type) reflect.Type {
	t = types.Unalias(t)
	if rt, ok := tt.known.At(t).(reflect.Type); ok {
		return rt
	}
	var rt reflect.Type
	switch t := t.(type) {
	case *types.Named:
		return tt.named(t) // keeps it itself, since it may be recursive
	case *types.Basic:
		rt = basicTypes[t.Kind()]
	case *types.Pointer:
		rt = reflect.PointerTo(tt.find(t.Elem()))
	case *types.Slice:
		rt = reflect.SliceOf(tt.find(t.Elem()))
	case *types.Array:
		rt = reflect.ArrayOf(int(t.Len()), tt.find(t.Elem()))
	case *types.Map:
		rt = reflect.MapOf(tt.find(t.Key()), tt.find(t.Elem()))
	case *types.Chan:
		rt = reflect.ChanOf(chanDirs[t.Dir()], tt.find(t.Elem()))
	case *types.Signature:
		rt = tt.signature(t)
	case *types.Struct:
		rt = tt.structure(t)
	case *types.Interface:
		rt = tt.iface(t)
	case *types.Tuple:
		fields := make([]reflect.StructField, t.Len())
		for i := range fields {
			fields[i] = reflect.StructField{Name: fmt.Sprintf("R%d", i), Type: tt.find(t.At(i).Type())}
		}
		rt = reflect.StructOf(fields)
	}
	if rt == nil {
		panic(&buildError{text: fmt.Sprintf("there is no runtime type for %v (%T)", t, t)})
	}
	tt.known.Set(t, rt)
	return rt
}

var chanDirs = map[types.ChanDir]reflect.ChanDir{
	types.SendRecv: reflect.BothDir, types.SendOnly: reflect.SendDir, types.RecvOnly: reflect.RecvDir,
}

var basicTypes = map[types.BasicKind]reflect.Type{
	types.Bool: reflect.TypeFor[bool](), types.Int: reflect.TypeFor[int](), types.Int8: reflect.TypeFor[int8](),
	types.Int16: reflect.TypeFor[int16](), types.Int32: reflect.TypeFor[int32](), types.Int64: reflect.TypeFor[int64](),
	types.Uint: reflect.TypeFor[uint](), types.Uint8: reflect.TypeFor[uint8](), types.Uint16: reflect.TypeFor[uint16](),
	types.Uint32: reflect.TypeFor[uint32](), types.Uint64: reflect.TypeFor[uint64](), types.Uintptr: reflect.TypeFor[uintptr](),
	types.Float32: reflect.TypeFor[float32](), types.Float64: reflect.TypeFor[float64](),
	types.Complex64: reflect.TypeFor[complex64](), types.Complex128: reflect.TypeFor[complex128](),
	types.String: reflect.TypeFor[string](), types.UnsafePointer: reflect.TypeFor[unsafe.Pointer](),
	types.UntypedBool: reflect.TypeFor[bool](), types.UntypedInt: reflect.TypeFor[int](), types.UntypedRune: reflect.TypeFor[rune](),
	types.UntypedFloat: reflect.TypeFor[float64](), types.UntypedComplex: reflect.TypeFor[complex128](),
	types.UntypedString: reflect.TypeFor[string](), types.UntypedNil: reflect.TypeFor[unsafe.Pointer](),
	types.Invalid: reflect.TypeFor[unsafe.Pointer](), // what SSA gives to values of its own, such as iterators
}

// signature is the type of functions without their receiver.
func (tt *typeTable) signature(s *types.Signature) reflect.Type {
	in := make([]reflect.Type, s.Params().Len())
	for i := range in {
		in[i] = tt.find(s.Params().At(i).Type())
	}
	out := make([]reflect.Type, s.Results().Len())
	for i := range out {
		out[i] = tt.find(s.Results().At(i).Type())
	}
	return reflect.FuncOf(in, out, s.Variadic())
}

func (tt *typeTable) structure(s *types.Struct) reflect.Type {
	for f := range s.Fields() {
		if f.Embedded() {
			return tt.withMethods(s, tt.fields(s))
		}
	}
	return built(rtype.Struct(tt.fields(s), nil, nil))
}

func (tt *typeTable) fields(s *types.Struct) []rtype.Field {
	fields := make([]rtype.Field, s.NumFields())
	for i := range fields {
		v := s.Field(i)
		fields[i] = rtype.Field{Name: v.Name(), Type: tt.find(v.Type()), Tag: s.Tag(i), Embedded: v.Embedded()}
		if !v.Exported() {
			fields[i].PkgPath = tt.p.pathOf(v.Pkg())
		}
	}
	return fields
}

// underlying is the type that a defined type is completed with, which has no methods of its own.
func (tt *typeTable) underlying(t *types.Named) reflect.Type {
	if s, ok := t.Underlying().(*types.Struct); ok {
		return built(rtype.Struct(tt.fields(s), nil, nil))
	}
	return tt.find(t.Underlying())
}

// withMethods is the type of a struct that has the methods of what it embeds.
func (tt *typeTable) withMethods(s *types.Struct, fields []rtype.Field) reflect.Type {
	if tt.p.prog.MethodSets.MethodSet(types.NewPointer(s)).Len() == 0 {
		return built(rtype.Struct(fields, nil, nil))
	}
	if rt := tt.lasting(s); rt != nil {
		return rt
	}
	must(typesLeft.maySpend())
	rt, setMethods, err := rtype.StructLater(fields)
	must(err)
	tt.known.Set(s, rt) // since a method may mention it
	m := &madeType{owner: tt, rt: rt, pointer: reflect.PointerTo(rt)}
	m.key, m.list = tt.identify(s)
	tt.keep(s, m)
	tt.pending = append(tt.pending, func() {
		value, pointer := tt.methods(s)
		must(setMethods(value, pointer))
		m.value, m.methods = withoutCode(value), withoutCode(pointer)
		m.complete = true
	})
	return rt
}

// lasting is the type for t that an earlier program has left; nil if there is none.
func (tt *typeTable) lasting(t types.Type) reflect.Type {
	if tt.closed {
		return nil
	}
	key, list := tt.identify(t)
	if m := typesLeft.take(tt, key, list); m != nil {
		return m.rt
	}
	return nil
}

func (tt *typeTable) iface(t *types.Interface) reflect.Type {
	if t.NumMethods() == 0 {
		return reflect.TypeFor[any]()
	}
	methods := make([]rtype.Method, t.NumMethods())
	pkgPath := ""
	for i := range methods {
		m := t.Method(i)
		methods[i] = rtype.Method{Name: m.Name(), Type: tt.signature(m.Signature())}
		if !m.Exported() {
			pkgPath = tt.p.pathOf(m.Pkg())
			methods[i].PkgPath = pkgPath
		}
	}
	return built(rtype.Interface(pkgPath, methods))
}

// named is the runtime type of a defined type: that of the compiled package which declares it, or one that is built.
func (tt *typeTable) named(t *types.Named) reflect.Type {
	obj := t.Obj()
	if obj.Pkg() == nil {
		if obj.Name() == "error" {
			return reflect.TypeFor[error]()
		}
		return tt.find(t.Underlying())
	}
	if obj.Pkg().Path() == "$ssa" { // a type of go/ssa's own
		return tt.find(t.Underlying())
	}
	if !tt.p.own[obj.Pkg()] {
		if rt := tt.compiled(t); rt != nil {
			tt.known.Set(t, rt)
			return rt
		}
		if t.TypeArgs().Len() == 0 {
			panic(&buildError{text: fmt.Sprintf("type %v of the standard library cannot be used here", t)})
		}
	}
	if rt := tt.lasting(t); rt != nil {
		return rt
	}
	must(typesLeft.maySpend())
	n := rtype.NewNamed(tt.p.pathOf(obj.Pkg()), obj.Pkg().Name(), tt.nameOf(t))
	rt := n.Type()
	tt.known.Set(t, rt)
	must(n.Layout(tt.outline(t.Underlying())))
	m := &madeType{owner: tt, rt: rt, pointer: n.PointerTo()}
	m.key, m.list = tt.identify(t)
	tt.keep(t, m)
	tt.pending = append(tt.pending, func() {
		must(n.Complete(tt.underlying(t)))
		if rt.Kind() != reflect.Interface {
			value, pointer := tt.methods(t)
			must(n.SetMethods(value, pointer))
			m.value, m.methods = withoutCode(value), withoutCode(pointer)
		}
		m.complete = true
	})
	return rt
}

// outline is a type of the same size, alignment, pointers and equality as t, which does not mention t.
func (tt *typeTable) outline(t types.Type) reflect.Type {
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil && !tt.p.own[n.Obj().Pkg()] && n.TypeArgs().Len() == 0 {
		return tt.find(n) // a compiled type mentions none of ours
	}
	switch t := t.Underlying().(type) {
	case *types.Basic:
		return basicTypes[t.Kind()]
	case *types.Pointer:
		return reflect.TypeFor[*byte]()
	case *types.Slice:
		return reflect.TypeFor[[]byte]()
	case *types.Map:
		return reflect.TypeFor[map[string]byte]()
	case *types.Chan:
		return reflect.TypeFor[chan byte]()
	case *types.Signature:
		return reflect.TypeFor[func()]()
	case *types.Interface:
		if t.NumMethods() == 0 {
			return reflect.TypeFor[any]()
		}
		return reflect.TypeFor[error]()
	case *types.Array:
		return reflect.ArrayOf(int(t.Len()), tt.outline(t.Elem()))
	case *types.Struct:
		fields := make([]rtype.Field, t.NumFields())
		for i := range fields {
			v := t.Field(i)
			fields[i] = rtype.Field{Name: v.Name(), Type: tt.outline(v.Type())}
			if !v.Exported() {
				fields[i].PkgPath = tt.p.pathOf(v.Pkg())
			}
		}
		return built(rtype.Struct(fields, nil, nil))
	}
	panic(&buildError{text: fmt.Sprintf("there is no runtime type for %v", t)})
}

// methods are the method sets of t and of *t, calling interpreted functions. A method that a compiled type has for its own
// package alone, and that is promoted here, is left out if its signature has types that cannot be had: nothing outside
// that package can call it.
func (tt *typeTable) methods(t types.Type) (value, pointer []rtype.Method) {
	set := func(t types.Type) []rtype.Method {
		sels := tt.p.prog.MethodSets.MethodSet(t)
		methods := make([]rtype.Method, 0, sels.Len())
		for sel := range sels.Methods() {
			fn := sel.Obj().(*types.Func)
			find := tt.find
			if !fn.Exported() && !tt.p.own[fn.Pkg()] {
				find = tt.tryToFind
			}
			rt := find(withoutReceiver(sel.Type().(*types.Signature)))
			if rt == nil {
				continue
			}
			m := rtype.Method{Name: fn.Name(), Type: rt, Raw: tt.p.methodStub(sel, rt)}
			if !fn.Exported() {
				m.PkgPath = tt.p.pathOf(fn.Pkg())
			}
			methods = append(methods, m)
		}
		return methods
	}
	return set(t), set(types.NewPointer(t))
}

// tryToFind is find for what need not be there.
func (tt *typeTable) tryToFind(t types.Type) (rt reflect.Type) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(*buildError); !ok {
				panic(r)
			}
		}
	}()
	return tt.find(t)
}

func withoutReceiver(s *types.Signature) *types.Signature {
	return types.NewSignatureType(nil, nil, nil, s.Params(), s.Results(), s.Variadic())
}

// method is the function that a method of a type, by name, is; nil if the type does not have it.
func (p *Program) method(t types.Type, m *types.Func) *ssa.Function {
	sel := p.prog.MethodSets.MethodSet(t).Lookup(m.Pkg(), m.Name())
	if sel == nil {
		return nil
	}
	return p.prog.MethodValue(sel)
}
