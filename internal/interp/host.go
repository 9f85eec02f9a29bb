package interp

import (
	"go/types"
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/tools/go/ssa"

	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// symbol is an exported function, variable or type of a compiled package.
func (p *Program) symbol(path, name string) (reflect.Value, bool) {
	if p.opt.Symbol != nil {
		if v, ok := p.opt.Symbol(path, name); ok {
			return v, true
		}
	}
	v, ok := stdlib.Symbols(path)[name]
	return v, ok
}

// compiled is a function of a compiled package, or any func value that was not made here.
type compiled struct {
	fn       reflect.Value
	variadic bool
	outs     []uintptr // offsets of the results
}

func newCompiled(fn reflect.Value) *compiled {
	t := fn.Type()
	c := &compiled{fn: fn, variadic: t.IsVariadic()}
	if t.NumOut() == 1 {
		c.outs = []uintptr{0}
	} else if t.NumOut() > 1 {
		c.outs = resultOffsets(t)
	}
	return c
}

// resultOffsets are where a function's results are in a struct of them.
func resultOffsets(t reflect.Type) []uintptr {
	offs := make([]uintptr, t.NumOut())
	at := uintptr(0)
	for i := range offs {
		out := t.Out(i)
		align := uintptr(out.Align())
		at = (at + align - 1) &^ (align - 1)
		offs[i] = at
		at += out.Size()
	}
	return offs
}

// call calls the function with a receiver, if it has one, and arguments in f's registers.
func (c *compiled) call(f *frame, recv reflect.Value, args []argument, ret unsafe.Pointer) {
	var few [8]reflect.Value
	in := few[:0]
	if recv.IsValid() {
		in = append(in, recv)
	}
	c.results(c.invoke(f.values(in, args)), ret)
	if f.t.p.halted.Load() { // while it ran
		runtime.Goexit()
	}
}

func (c *compiled) invoke(in []reflect.Value) []reflect.Value {
	if c.variadic {
		return c.fn.CallSlice(in)
	}
	return c.fn.Call(in)
}

func (c *compiled) results(out []reflect.Value, ret unsafe.Pointer) {
	if ret == nil {
		return
	}
	for i, v := range out {
		valueAt(v.Type(), unsafe.Add(ret, c.outs[i])).Set(v)
	}
}

// later evaluates the arguments now for a call that comes later.
func (c *compiled) later(f *frame, recv reflect.Value, args []argument) func() {
	var in []reflect.Value
	if recv.IsValid() {
		in = append(in, recv)
	}
	in = kept(f.values(in, args))
	return func() { c.invoke(in) }
}

// compiledFunction is the compiled function or method that an SSA function without a body stands for.
func (p *Program) compiledFunction(fn *ssa.Function) reflect.Value {
	if recv := fn.Signature.Recv(); recv != nil {
		if v, ok := p.interruption(fn); ok {
			return v
		}
		t := p.types.of(recv.Type())
		if m, ok := t.MethodByName(fn.Name()); ok {
			return m.Func
		}
		panic(&buildError{text: "method " + fn.String() + " is not available to interpreted modules"})
	}
	if fn.Object() == nil || fn.Object().Pkg() == nil {
		panic(&buildError{text: "function " + fn.String() + " has no body"})
	}
	if v, ok := p.interruption(fn); ok {
		return v
	}
	v, ok := p.symbol(fn.Object().Pkg().Path(), fn.Name())
	if !ok {
		panic(&buildError{text: "function " + fn.String() + " is not available to interpreted modules"})
	}
	return v
}

// global is the address of a package-level variable.
func (p *Program) global(g *ssa.Global) unsafe.Pointer {
	if known, ok := p.globals.Load(g); ok {
		return known.(unsafe.Pointer)
	}
	var at unsafe.Pointer
	v, compiled := reflect.Value{}, false
	if !p.own[g.Pkg.Pkg] {
		v, compiled = p.symbol(g.Pkg.Pkg.Path(), g.Name())
	}
	switch {
	case compiled:
		at = v.Addr().UnsafePointer()
	case p.interpreted(g.Pkg.Pkg):
		at = unsafeNew(rtypeOf(p.types.of(deref(g.Type()))))
	default:
		panic(&buildError{text: "variable " + g.String() + " is not available to interpreted modules"})
	}
	known, _ := p.globals.LoadOrStore(g, at)
	return known.(unsafe.Pointer)
}

// compiled is the runtime type of a type that a compiled package declares, nil if it cannot be had.
func (tt *typeTable) compiled(t *types.Named) reflect.Type {
	obj := t.Obj()
	path := obj.Pkg().Path()
	if t.TypeArgs().Len() == 0 {
		if v, ok := tt.p.symbol(path, obj.Name()); ok {
			return v.Type().Elem()
		}
	} else if rt := stdlib.Instance(types.TypeString(t, nil)); rt != nil {
		return rt
	}
	// Unexported types, and instances of generic ones, are seen in the types of what is exported: by their own package,
	// or by one that the program imports.
	tt.learnFrom(obj.Pkg())
	if known, _ := tt.known.At(t).(reflect.Type); known != nil {
		return known
	}
	for _, pkg := range tt.p.prog.AllPackages() {
		if !tt.p.own[pkg.Pkg] {
			tt.learnFrom(pkg.Pkg)
		}
	}
	rt, _ := tt.known.At(t).(reflect.Type)
	return rt
}

// learnFrom walks all that a compiled package exports.
func (tt *typeTable) learnFrom(pkg *types.Package) {
	if tt.learned[pkg] {
		return
	}
	tt.learned[pkg] = true
	for name, v := range stdlib.Symbols(pkg.Path()) {
		o := pkg.Scope().Lookup(name)
		if o == nil {
			continue
		}
		if _, isType := o.(*types.TypeName); isType {
			tt.learn(o.Type(), v.Type().Elem(), 0)
		} else {
			tt.learn(o.Type(), v.Type(), 0)
		}
	}
}

// learn walks a type in both its forms and notes the named types that it meets.
func (tt *typeTable) learn(t types.Type, rt reflect.Type, depth int) {
	const deep = 6
	if depth > deep {
		return
	}
	t = types.Unalias(t)
	if n, ok := t.(*types.Named); ok {
		if n.Obj().Pkg() == nil || tt.p.own[n.Obj().Pkg()] || rt.Name() == "" {
			return
		}
		if known, _ := tt.known.At(t).(reflect.Type); known == nil {
			tt.known.Set(t, rt)
		} else if depth > 0 {
			return
		}
		for i := range n.NumMethods() {
			m := n.Method(i)
			if !m.Exported() {
				continue
			}
			receiver := rt
			if rt.Kind() != reflect.Interface {
				receiver = reflect.PointerTo(rt)
			}
			if rm, ok := receiver.MethodByName(m.Name()); ok {
				tt.learnSignature(m.Signature(), rm.Type, rt.Kind() != reflect.Interface, depth+1)
			}
		}
		t = n.Underlying()
	}
	switch t := t.(type) {
	case *types.Pointer:
		if rt.Kind() == reflect.Pointer {
			tt.learn(t.Elem(), rt.Elem(), depth+1)
		}
	case *types.Slice, *types.Array, *types.Chan:
		switch rt.Kind() {
		case reflect.Slice, reflect.Array, reflect.Chan:
			tt.learn(t.(interface{ Elem() types.Type }).Elem(), rt.Elem(), depth+1)
		}
	case *types.Map:
		if rt.Kind() == reflect.Map {
			tt.learn(t.Key(), rt.Key(), depth+1)
			tt.learn(t.Elem(), rt.Elem(), depth+1)
		}
	case *types.Signature:
		if rt.Kind() == reflect.Func {
			tt.learnSignature(t, rt, false, depth+1)
		}
	case *types.Interface:
		if rt.Kind() != reflect.Interface || rt.NumMethod() != t.NumMethods() {
			return
		}
		for i := range t.NumMethods() { // unexported ones too
			for m := range rt.Methods() {
				if m.Name == t.Method(i).Name() && (m.PkgPath == "" || m.PkgPath == t.Method(i).Pkg().Path()) {
					tt.learnSignature(t.Method(i).Signature(), m.Type, false, depth+1)
				}
			}
		}
	case *types.Struct:
		if rt.Kind() != reflect.Struct {
			return
		}
		for i := range t.NumFields() {
			if f, ok := rt.FieldByName(t.Field(i).Name()); ok && len(f.Index) == 1 {
				tt.learn(t.Field(i).Type(), f.Type, depth+1)
			}
		}
	}
}

func (tt *typeTable) learnSignature(s *types.Signature, rt reflect.Type, method bool, depth int) {
	skip := 0
	if method {
		skip = 1
	}
	if rt.NumIn() != s.Params().Len()+skip || rt.NumOut() != s.Results().Len() {
		return
	}
	for i := range s.Params().Len() {
		tt.learn(s.Params().At(i).Type(), rt.In(i+skip), depth)
	}
	for i := range s.Results().Len() {
		tt.learn(s.Results().At(i).Type(), rt.Out(i), depth)
	}
}
