package rtype

import (
	"reflect"
	"unsafe"
)

// Funcs makes func values of one type, for which compiled code cannot tell that they were made at run time. It is
// reflect.MakeFunc for code that works on memory, and several times as fast for the commonest signatures; and what was
// made can be asked for its subject.
type Funcs struct {
	typ   reflect.Type
	quick maker // nil: by way of reflect
}

// FuncsOf is the maker for a func type.
func FuncsOf(typ reflect.Type) Funcs {
	f := Funcs{typ: typ}
	if shape, ok := shape(typ); ok {
		f.quick = quick[shape]
	}
	return f
}

// funcValue is what a func value of ours points to. Like every func value it begins with the address of code, which
// finds the rest in the context register: that code goes on to target, as if target had been called. Since it is one
// and the same for all, it tells that a func value is ours.
type funcValue struct {
	code    uintptr // of forward
	target  unsafe.Pointer
	subject unsafe.Pointer
}

// forwardCode is the code address that all of them have.
var forwardCode = uintptr(forwardBase())

// Make returns a func value: the one word that a variable of the type holds. Calling it calls run with subject, which is
// kept alive. Panics pass through.
func (f Funcs) Make(run RawCall, subject unsafe.Pointer) unsafe.Pointer {
	var target any
	if f.quick != nil {
		target = f.quick(run, subject)
	} else {
		target = reflect.MakeFunc(f.typ, func(args []reflect.Value) []reflect.Value { return viaRaw(run, f.typ, subject, args) }).Interface()
	}
	return unsafe.Pointer(&funcValue{code: forwardCode, target: closureOf(target), subject: subject})
}

// Subject is what the func value was made for; nil if it was not made by Funcs. fn is the word that a variable of a func
// type holds, and not nil.
func Subject(fn unsafe.Pointer) unsafe.Pointer {
	if *(*uintptr)(fn) != forwardCode {
		return nil
	}
	return (*funcValue)(fn).subject
}
