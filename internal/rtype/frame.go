package rtype

import (
	"reflect"
	"strconv"
	"sync"
	"unsafe"
)

// RawCall is code that works on memory in place of reflect.Values: of a method, whose receiver is at subject (see
// Method.Raw), or of a func value, which was made for that subject (see Funcs). Frame says what frame is.
type RawCall func(subject, frame unsafe.Pointer)

// Frame is how a RawCall gets its arguments and leaves its results: one piece of memory of type layout, with the
// parameters of signature, then the results, each at its offset. Every one begins at a multiple of eight bytes.
func Frame(signature reflect.Type) (layout reflect.Type, offsets []uintptr) {
	if f, ok := frames.Load(signature); ok {
		return f.(frame).layout, f.(frame).offsets
	}
	var fields []reflect.StructField
	add := func(t reflect.Type) {
		i := strconv.Itoa(len(fields))
		align := reflect.StructField{Name: "Align" + i, Type: reflect.TypeFor[[0]uint64]()}
		fields = append(fields, align, reflect.StructField{Name: "Value" + i, Type: t})
	}
	for t := range signature.Ins() {
		add(t)
	}
	for t := range signature.Outs() {
		add(t)
	}
	made := frame{layout: reflect.StructOf(fields), offsets: make([]uintptr, len(fields)/2)}
	for i := range made.offsets {
		made.offsets[i] = made.layout.Field(2*i + 1).Offset
	}
	frames.Store(signature, made)
	return made.layout, made.offsets
}

type frame struct {
	layout  reflect.Type
	offsets []uintptr
}

// frames has what Frame found: signature → frame.
var frames sync.Map

// viaRaw runs raw for arguments that came as reflect.Values.
func viaRaw(raw RawCall, signature reflect.Type, subject unsafe.Pointer, args []reflect.Value) []reflect.Value {
	layout, offsets := Frame(signature)
	memory := reflect.New(layout).UnsafePointer()
	for i, a := range args {
		reflect.NewAt(a.Type(), unsafe.Add(memory, offsets[i])).Elem().Set(a)
	}
	raw(subject, memory)
	results := make([]reflect.Value, 0, signature.NumOut())
	for t := range signature.Outs() {
		at := unsafe.Add(memory, offsets[len(args)+len(results)])
		results = append(results, reflect.NewAt(t, at).Elem())
	}
	return results
}

// viaCall runs call for arguments that came in a frame.
func viaCall(call Call, signature reflect.Type, recv, memory unsafe.Pointer) {
	_, offsets := Frame(signature)
	args := make([]reflect.Value, 0, signature.NumIn())
	for t := range signature.Ins() {
		args = append(args, reflect.NewAt(t, unsafe.Add(memory, offsets[len(args)])).Elem())
	}
	for i, r := range call(recv, args) {
		reflect.NewAt(signature.Out(i), unsafe.Add(memory, offsets[len(args)+i])).Elem().Set(r)
	}
}
