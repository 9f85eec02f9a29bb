package interp

import (
	"fmt"
	"reflect"
	"unsafe"
)

// nativeFunc is a func value of type t, which compiled code can call as any other.
//
// It is not inlined, so that all that it makes have the same code (see closureAt).
//
//go:noinline
func nativeFunc(t reflect.Type, cl *closure) reflect.Value {
	return reflect.MakeFunc(t, func(args []reflect.Value) []reflect.Value { return cl.fn.fromCompiled(nil, cl, args) })
}

// A func value that reflect.MakeFunc has made points to a record which holds, somewhere, the function that MakeFunc was
// given: a closure of nativeFunc, if the value is ours, which holds cl. So calls among interpreted functions need not go
// through reflection. Where these things are is looked up when the program starts.
var (
	stubCode   uintptr // the code address of every value made by MakeFunc
	literal    uintptr // offset of the function in MakeFunc's record
	nativeCode uintptr // the code address of nativeFunc's closures
)

func init() {
	cl := &closure{}
	v := nativeFunc(reflect.TypeFor[func()](), cl)
	record := (*words)(unsafe.Pointer(&v)).data
	if v.Kind() == reflect.Func && record != nil {
		stubCode = *(*uintptr)(record)
	}
	const size = 48 // of the record
	other := reflect.MakeFunc(reflect.TypeFor[func()](), func([]reflect.Value) []reflect.Value { return nil })
	otherRecord := (*words)(unsafe.Pointer(&other)).data
	for off := uintptr(8); off < size; off += 8 {
		fn := *(*unsafe.Pointer)(unsafe.Add(record, off))
		if fn == nil || fn == *(*unsafe.Pointer)(unsafe.Add(otherRecord, off)) || uintptr(fn) < 1<<12 {
			continue
		}
		if *(**closure)(unsafe.Add(fn, 8)) == cl {
			literal, nativeCode = off, *(*uintptr)(fn)
		}
	}
	if nativeCode == 0 {
		panic(fmt.Sprintf("interp: reflect.MakeFunc is not as this package knows it (%T)", v))
	}
}

// closureAt is the closure behind a func value, nil if it is compiled code.
func closureAt(fn unsafe.Pointer) *closure {
	if *(*uintptr)(fn) != stubCode {
		return nil
	}
	given := *(*unsafe.Pointer)(unsafe.Add(fn, literal))
	if *(*uintptr)(given) != nativeCode {
		return nil
	}
	return *(**closure)(unsafe.Add(given, 8))
}

// fromCompiled runs the function for compiled code. The receiver of a method, if recv is not nil, is at that address.
func (fn *function) fromCompiled(recv unsafe.Pointer, cl *closure, args []reflect.Value) []reflect.Value {
	t := &thread{p: fn.p}
	g := fn.enter(t, nil)
	params := fn.params
	if recv != nil {
		params[0].copy(g.at(params[0].off), recv)
		params = params[1:]
	}
	for n, a := range args {
		valueAt(params[n].t, g.at(params[n].off)).Set(a)
	}
	if cl != nil {
		cl.load(g)
	}
	var ret unsafe.Pointer
	if fn.results != nil {
		ret = unsafeNew(fn.resultRType)
		g.ret = ret
	}
	t.guard(g)
	out := make([]reflect.Value, len(fn.resultOffs))
	for n, off := range fn.resultOffs {
		rt := fn.results
		if len(out) > 1 {
			rt = fn.results.Field(n).Type
		}
		out[n] = valueAt(rt, unsafe.Add(ret, off))
	}
	return out
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
}
