package interp

import (
	"fmt"
	"go/types"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// anyAt is the interface value at p as an any.
func anyAt(p unsafe.Pointer, hasMethods bool) any {
	w := *(*words)(p)
	if hasMethods {
		w.tab = dynamic(w.tab)
	}
	return *(*any)(unsafe.Pointer(&w))
}

// itabOf is the method table of a concrete type for an interface type. It panics, as a conversion does, if there is none.
func itabOf(target, rtype unsafe.Pointer) unsafe.Pointer {
	var src any
	(*words)(unsafe.Pointer(&src)).tab = rtype
	var into words
	ifaceE2I(target, src, unsafe.Pointer(&into))
	return into.tab
}

func (c *compiler) makeInterface(i *ssa.MakeInterface) instruction {
	dst, x, t := c.off(i), c.off(i.X), c.place(i.X).t
	target := c.typeOf(i.Type())
	rtype := rtypeOf(t)
	tab := rtype
	if target.NumMethod() > 0 {
		if !t.Implements(target) {
			panic(&buildError{text: fmt.Sprintf("an interpreted %v does not have all unexported methods of %v, which it would be converted to", t, target)})
		}
		tab = itabOf(rtypeOf(target), rtype)
	}
	if pointerShaped(t) {
		return func(f *frame) { *(*words)(f.at(dst)) = words{tab, *(*unsafe.Pointer)(f.at(x))} }
	}
	return func(f *frame) {
		data := unsafeNew(rtype)
		typedmemmove(rtype, data, f.at(x))
		*(*words)(f.at(dst)) = words{tab, data}
	}
}

// tabs finds the method tables of dynamic types for one interface type.
type tabs struct {
	target reflect.Type
	rtype  unsafe.Pointer
	known  sync.Map // unsafe.Pointer to unsafe.Pointer; nil if the type does not implement the interface
}

func newTabs(target reflect.Type) *tabs { return &tabs{target: target, rtype: rtypeOf(target)} }

// find returns nil if the type does not implement the interface.
func (t *tabs) find(rtype unsafe.Pointer) unsafe.Pointer {
	if tab, ok := t.known.Load(rtype); ok {
		return tab.(unsafe.Pointer)
	}
	var tab unsafe.Pointer
	if typeAt(rtype).Implements(t.target) {
		tab = itabOf(t.rtype, rtype)
	}
	t.known.Store(rtype, tab)
	return tab
}

func (c *compiler) changeInterface(i *ssa.ChangeInterface) instruction {
	dst, x := c.off(i), c.off(i.X)
	from, to := c.place(i.X).t, c.place(i).t
	switch {
	case !from.Implements(to):
		return nil // for a comparison alone, which looks at the operand
	case from == to, from.NumMethod() == 0:
		return moveOf[words](dst, x)
	case to.NumMethod() == 0:
		return func(f *frame) {
			w := *(*words)(f.at(x))
			*(*words)(f.at(dst)) = words{dynamic(w.tab), w.data}
		}
	}
	tabs := newTabs(to)
	return func(f *frame) {
		w := *(*words)(f.at(x))
		if w.tab != nil {
			w.tab = tabs.find(dynamic(w.tab))
		}
		*(*words)(f.at(dst)) = w
	}
}

// assertionError has the layout of runtime.TypeAssertionError, whose fields cannot be set from outside.
type assertionError struct {
	iface, concrete, asserted unsafe.Pointer
	missingMethod             string
}

func (c *compiler) typeAssert(i *ssa.TypeAssert) instruction {
	dst, x := c.off(i), c.off(i.X)
	from, to := c.typeOf(i.X.Type()), c.typeOf(i.AssertedType)
	if len(*i.Referrers()) == 0 && !i.CommaOk {
		return c.nilMethodValue(i)
	}
	okAt, value := uintptr(0), dst
	if i.CommaOk {
		offs, _ := c.tupleOffsets(i.Type())
		value, okAt = dst+offs[0], dst+offs[1]
	}
	hasMethods := from.NumMethod() > 0
	dynamicOf := func(w words) unsafe.Pointer {
		if hasMethods {
			return dynamic(w.tab)
		}
		return w.tab
	}
	rtype := rtypeOf(to)
	if types.IsInterface(i.AssertedType) {
		tabs := newTabs(to)
		empty := to.NumMethod() == 0
		return func(f *frame) {
			w := *(*words)(f.at(x))
			dyn := dynamicOf(w)
			var tab unsafe.Pointer
			switch {
			case dyn == nil:
			case empty:
				tab = dyn
			default:
				tab = tabs.find(dyn)
			}
			if i.CommaOk {
				*(*bool)(f.at(okAt)) = tab != nil
				if tab == nil {
					w.data = nil
				}
			} else if tab == nil {
				if dyn == nil || empty {
					panic((*runtime.TypeAssertionError)(unsafe.Pointer(&assertionError{asserted: rtype})))
				}
				itabOf(rtype, dyn) // panics with the runtime's error
			}
			*(*words)(f.at(value)) = words{tab, w.data}
		}
	}
	copy, direct := copierOf(to), pointerShaped(to)
	fromRType := rtypeOf(from)
	return func(f *frame) {
		w := *(*words)(f.at(x))
		dyn := dynamicOf(w)
		if dyn == rtype {
			if direct {
				*(*unsafe.Pointer)(f.at(value)) = w.data
			} else {
				copy(f.at(value), w.data)
			}
		} else if i.CommaOk {
			typedmemclr(rtype, f.at(value))
		} else {
			panic((*runtime.TypeAssertionError)(unsafe.Pointer(&assertionError{fromRType, dyn, rtype, ""})))
		}
		if i.CommaOk {
			*(*bool)(f.at(okAt)) = dyn == rtype
		}
	}
}

// nilMethodValue compiles the check that go/ssa puts before a method value of an interface is made: that it is not nil.
func (c *compiler) nilMethodValue(i *ssa.TypeAssert) instruction {
	x := c.off(i.X)
	return func(f *frame) { nilCheck((*words)(f.at(x)).tab) }
}

// invoker calls a method of an interface value.
type invoker struct {
	p       *Program
	method  *types.Func
	value   uintptr
	args    []argument
	wrapper bool                   // the call stands in a wrapper
	known   sync.Map               // unsafe.Pointer (dynamic type) to *target
	last    atomic.Pointer[target] // of known
}

// target is a method of one dynamic type.
type target struct {
	fn       *function // interpreted; else
	compiled *compiled
	rtype    unsafe.Pointer
	t        reflect.Type // the dynamic type
	direct   bool         // the interface's data word is the receiver
	copy     copier
}

func (v *invoker) target(f *frame) (*target, unsafe.Pointer) {
	w := *(*words)(f.at(v.value))
	nilCheck(w.tab)
	rtype := dynamic(w.tab)
	if last := v.last.Load(); last != nil && last.rtype == rtype {
		return last, w.data
	}
	if known, ok := v.known.Load(rtype); ok {
		v.last.Store(known.(*target))
		return known.(*target), w.data
	}
	t := typeAt(rtype)
	found := &target{rtype: rtype, t: t, direct: pointerShaped(t), copy: copierOf(t)}
	if declared := v.p.types.declared(rtype); declared != nil {
		found.fn = v.p.function(v.p.method(declared, v.method))
	} else {
		m, ok := t.MethodByName(v.method.Name())
		if !ok {
			panic(&buildError{text: "method " + v.method.Name() + " of " + t.String()})
		}
		found.compiled = newCompiled(m.Func)
	}
	v.known.Store(rtype, found)
	return found, w.data
}

// receiver is where the receiver is, given the interface's data word.
func (t *target) receiver(data *unsafe.Pointer) unsafe.Pointer {
	if t.direct {
		return unsafe.Pointer(data)
	}
	return *data
}

func (v *invoker) call(f *frame, ret unsafe.Pointer) {
	to, data := v.target(f)
	if to.fn == nil {
		to.compiled.call(f, valueAt(to.t, to.receiver(&data)), v.args, ret)
		return
	}
	g := v.enter(to, &data, f, f.t)
	g.ret = ret
	if v.wrapper {
		g.deferredBy = f.deferredBy
	}
	g.call()
}

func (v *invoker) enter(to *target, data *unsafe.Pointer, f *frame, t *thread) *frame {
	g := to.fn.enter(t, f)
	to.copy(g.at(to.fn.params[0].off), to.receiver(data))
	for n, a := range v.args {
		a.copy(g.at(to.fn.params[n+1].off), f.at(a.off))
	}
	return g
}

func (v *invoker) later(f *frame, t *thread) (*frame, func()) {
	to, data := v.target(f)
	if to.fn == nil {
		return nil, to.compiled.later(f, valueAt(to.t, to.receiver(&data)), v.args)
	}
	return v.enter(to, &data, f, t), nil
}
