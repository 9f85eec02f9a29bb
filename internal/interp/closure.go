package interp

import (
	"reflect"
	"strconv"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// onlyCalled tells whether a closure is only ever called where its function's code is known, so that it need not exist.
func onlyCalled(m *ssa.MakeClosure) bool {
	for _, r := range *m.Referrers() {
		call, ok := r.(ssa.CallInstruction)
		if !ok || call.Common().Value != ssa.Value(m) {
			if _, debug := r.(*ssa.DebugRef); debug {
				continue
			}
			return false
		}
		for _, a := range call.Common().Args {
			if a == ssa.Value(m) {
				return false
			}
		}
	}
	return true
}

// closure is a function with captured variables, behind a native func value.
type closure struct {
	fn  *function
	env unsafe.Pointer // a struct of the captured variables; nil if there are none
	lay *envLayout
}

// envLayout is how a function's captured variables lie in memory.
type envLayout struct {
	rtype unsafe.Pointer
	offs  []uintptr
	copy  []copier
}

func (p *Program) envOf(fn *ssa.Function) *envLayout {
	if known, ok := p.envs.Load(fn); ok {
		return known.(*envLayout)
	}
	fields := make([]reflect.StructField, len(fn.FreeVars))
	for i, v := range fn.FreeVars {
		fields[i] = reflect.StructField{Name: "F" + strconv.Itoa(i), Type: p.types.of(v.Type())}
	}
	t := reflect.StructOf(fields)
	lay := &envLayout{rtype: rtypeOf(t)}
	for i := range fields {
		lay.offs = append(lay.offs, t.Field(i).Offset)
		lay.copy = append(lay.copy, copierOf(fields[i].Type))
	}
	known, _ := p.envs.LoadOrStore(fn, lay)
	return known.(*envLayout)
}

// load puts the captured variables into a frame.
func (cl *closure) load(g *frame) {
	if cl.env == nil {
		return
	}
	for n, at := range cl.fn.captured {
		cl.lay.copy[n](g.at(at.off), unsafe.Add(cl.env, cl.lay.offs[n]))
	}
}

func (c *compiler) makeClosure(i *ssa.MakeClosure) instruction {
	fn := c.p.function(i.Fn.(*ssa.Function))
	c.p.compileLater(fn)
	if onlyCalled(i) {
		return nil
	}
	dst, native := c.off(i), fn.nativeFuncs(c.typeOf(i.Type()))
	lay := c.p.envOf(fn.ssa)
	bindings := c.arguments(i.Bindings)
	return func(f *frame) {
		cl := &closure{fn: fn, lay: lay, env: unsafeNew(lay.rtype)}
		for n, b := range bindings {
			b.copy(unsafe.Add(cl.env, lay.offs[n]), f.at(b.off))
		}
		*(*unsafe.Pointer)(f.at(dst)) = native(cl)
	}
}

// native is the function as a func value of type t.
func (fn *function) native(t reflect.Type) reflect.Value {
	fn.valueOnce.Do(func() {
		if fn.ssa.Blocks == nil {
			fn.value = fn.p.compiledFunction(fn.ssa)
			return
		}
		fn.p.compileLater(fn)
		word := fn.nativeFuncs(t)(&closure{fn: fn})
		fn.value = valueAt(t, unsafe.Pointer(&word))
	})
	return fn.value
}
