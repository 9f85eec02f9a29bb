package interp

import (
	"go/types"
	"reflect"
	"sync"
	"unsafe"

	"github.com/concurrent-modular-agent/coma/internal/rtype"
)

// nativeFuncs makes func values of type t, which compiled code can call as any other, from closures of the function.
func (fn *function) nativeFuncs(t reflect.Type) func(cl *closure) unsafe.Pointer {
	funcs := rtype.FuncsOf(t)
	frame := sync.OnceValue(func() []uintptr {
		_, offs := rtype.Frame(t)
		return offs
	})
	run := func(cl, args unsafe.Pointer) { fn.fromCompiled((*closure)(cl), nil, args, frame()) }
	return func(cl *closure) unsafe.Pointer { return funcs.Make(run, unsafe.Pointer(cl)) }
}

// closureAt is the closure behind a func value, nil if it is compiled code: calls among interpreted functions need no
// detour.
func closureAt(fn unsafe.Pointer) *closure { return (*closure)(rtype.Subject(fn)) }

// methodStub is what compiled code calls: the method of type t that a selection means, found when it is first called.
func (p *Program) methodStub(sel *types.Selection, t reflect.Type) rtype.RawCall {
	find := sync.OnceValues(func() (*function, []uintptr) {
		_, offs := rtype.Frame(t)
		return p.function(p.prog.MethodValue(sel)), offs
	})
	return func(recv, args unsafe.Pointer) {
		fn, offs := find()
		fn.fromCompiled(nil, recv, args, offs)
	}
}

// fromCompiled runs the function for compiled code. The receiver of a method, if recv is not nil, is at that address;
// args has arguments and room for the results, at offs.
func (fn *function) fromCompiled(cl *closure, recv, args unsafe.Pointer, offs []uintptr) {
	t := fn.p.newThread()
	g := fn.enter(t, nil)
	params := fn.params
	if recv != nil {
		params[0].copy(g.at(params[0].off), recv)
		params = params[1:]
	}
	for n, param := range params {
		param.copy(g.at(param.off), unsafe.Add(args, offs[n]))
	}
	if cl != nil {
		cl.load(g)
	}
	if fn.results == nil {
		t.guard(g)
		return
	}
	offs = offs[len(params):]
	if fn.resultsAre(offs) {
		g.ret = unsafe.Add(args, offs[0])
		t.guard(g)
		return
	}
	ret := unsafeNew(fn.resultRType)
	g.ret = ret
	t.guard(g)
	for n, off := range fn.resultOffs {
		rt := fn.results.Field(n).Type
		typedmemmove(rtypeOf(rt), unsafe.Add(args, offs[n]), unsafe.Add(ret, off))
	}
}

// resultsAre tells whether the function's results lie at these distances, from the first one on.
func (fn *function) resultsAre(offs []uintptr) bool {
	for n, off := range fn.resultOffs {
		if offs[n]-offs[0] != off {
			return false
		}
	}
	return true
}

// guard runs a frame that compiled code has called. A panic passes on to that code, with a note of where it was; where
// nothing there could recover it, it is dealt with at once.
func (t *thread) guard(g *frame) {
	done := false
	defer func() {
		if done {
			return
		}
		if value := recover(); value != nil {
			p := t.caught(value)
			if nobodyRecovers() {
				t.p.uncaught(p)
			}
			t.p.passing.note(p)
			panic(value)
		}
	}()
	g.call()
	done = true
	t.leave()
}
