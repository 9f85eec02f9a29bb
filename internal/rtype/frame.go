package rtype

import (
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// RawCall is the code of a method that works on memory in place of reflect.Values; see Method.Raw and Frame.
type RawCall func(recv, frame unsafe.Pointer)

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
func viaRaw(raw RawCall, signature reflect.Type, recv unsafe.Pointer, args []reflect.Value) []reflect.Value {
	layout, offsets := Frame(signature)
	memory := reflect.New(layout).UnsafePointer()
	for i, a := range args {
		reflect.NewAt(a.Type(), unsafe.Add(memory, offsets[i])).Elem().Set(a)
	}
	raw(recv, memory)
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

// Most methods that compiled code calls have one of a few signatures: String, Less, Write, MarshalJSON. For these
// there is a func value in Go, which puts its arguments in a frame without help from reflect. What counts of a type
// is in which registers it goes and which of them hold pointers:
type (
	word  = uintptr        // a bool or an integer; only as many of its bytes count as the type has
	ptr   = unsafe.Pointer // a pointer, map, channel or func
	text  = string
	slice = []byte
	iface = struct{ typ, data unsafe.Pointer }
	float = float64
)

// quick has the makers of func values by shape: parameters and results, a letter each.
var quick = map[string]func(run RawCall, direct bool) any{
	">":     in0out0,
	">w":    in0out1[word], // Len
	">p":    in0out1[ptr],
	">f":    in0out1[float],
	">t":    in0out1[text],         // String, Error
	">i":    in0out1[iface],        // Unwrap, Pop
	">s":    in0out1[slice],        //
	">si":   in0out2[slice, iface], // MarshalJSON
	">ti":   in0out2[text, iface],
	">tw":   in0out2[text, word],
	">wi":   in0out2[word, iface],
	"w>":    in1out0[word],
	"p>":    in1out0[ptr],
	"t>":    in1out0[text],
	"i>":    in1out0[iface], // Push
	"w>w":   in1out1[word, word],
	"p>i":   in1out1[ptr, iface],
	"t>t":   in1out1[text, text],
	"t>i":   in1out1[text, iface],        // Set
	"i>w":   in1out1[iface, word],        // Is, As
	"i>i":   in1out1[iface, iface],       // Scan
	"s>i":   in1out1[slice, iface],       // UnmarshalJSON
	"s>wi":  in1out2[slice, word, iface], // Read, Write
	"t>wi":  in1out2[text, word, iface],
	"ww>":   in2out0[word, word],       // Swap
	"iw>":   in2out0[iface, word],      // Format
	"ip>":   in2out0[iface, ptr],       // ServeHTTP
	"ww>w":  in2out1[word, word, word], // Less
	"it>i":  in2out1[iface, text, iface],
	"ii>i":  in2out1[iface, iface, iface],
	"ip>i":  in2out1[iface, ptr, iface],
	"is>wi": in2out2[iface, slice, word, iface],
}

// shape is a signature in the letters of quick's keys; ok if each type has one.
func shape(signature reflect.Type) (s string, ok bool) {
	var b strings.Builder
	add := func(t reflect.Type) bool {
		switch t.Kind() {
		case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
			reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
			b.WriteByte('w')
		case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
			b.WriteByte('p')
		case reflect.String:
			b.WriteByte('t')
		case reflect.Slice:
			b.WriteByte('s')
		case reflect.Interface:
			b.WriteByte('i')
		case reflect.Float64:
			b.WriteByte('f')
		default:
			return false
		}
		return true
	}
	for t := range signature.Ins() {
		if !add(t) {
			return "", false
		}
	}
	b.WriteByte('>')
	for t := range signature.Outs() {
		if !add(t) {
			return "", false
		}
	}
	return b.String(), true
}

// The makers. Each func value's frame is laid out as Frame says, as all of its types are made of whole words. After
// it comes room for a receiver that has come in the interface's data word and needs an address.

func in0out0(run RawCall, direct bool) any {
	return func(recv ptr) {
		f := struct{ recv ptr }{recv}
		run(receiver(&f.recv, direct), nil)
	}
}

func in0out1[R any](run RawCall, direct bool) any {
	return func(recv ptr) R {
		f := struct {
			r    R
			recv ptr
		}{recv: recv}
		run(receiver(&f.recv, direct), ptr(&f))
		return f.r
	}
}

func in0out2[R, S any](run RawCall, direct bool) any {
	return func(recv ptr) (R, S) {
		f := struct {
			r    R
			s    S
			recv ptr
		}{recv: recv}
		run(receiver(&f.recv, direct), ptr(&f))
		return f.r, f.s
	}
}

func in1out0[A any](run RawCall, direct bool) any {
	return func(recv ptr, a A) {
		f := struct {
			a    A
			recv ptr
		}{a, recv}
		run(receiver(&f.recv, direct), ptr(&f))
	}
}

func in1out1[A, R any](run RawCall, direct bool) any {
	return func(recv ptr, a A) R {
		f := struct {
			a    A
			r    R
			recv ptr
		}{a: a, recv: recv}
		run(receiver(&f.recv, direct), ptr(&f))
		return f.r
	}
}

func in1out2[A, R, S any](run RawCall, direct bool) any {
	return func(recv ptr, a A) (R, S) {
		f := struct {
			a    A
			r    R
			s    S
			recv ptr
		}{a: a, recv: recv}
		run(receiver(&f.recv, direct), ptr(&f))
		return f.r, f.s
	}
}

func in2out0[A, B any](run RawCall, direct bool) any {
	return func(recv ptr, a A, b B) {
		f := struct {
			a    A
			b    B
			recv ptr
		}{a, b, recv}
		run(receiver(&f.recv, direct), ptr(&f))
	}
}

func in2out1[A, B, R any](run RawCall, direct bool) any {
	return func(recv ptr, a A, b B) R {
		f := struct {
			a    A
			b    B
			r    R
			recv ptr
		}{a: a, b: b, recv: recv}
		run(receiver(&f.recv, direct), ptr(&f))
		return f.r
	}
}

func in2out2[A, B, R, S any](run RawCall, direct bool) any {
	return func(recv ptr, a A, b B) (R, S) {
		f := struct {
			a    A
			b    B
			r    R
			s    S
			recv ptr
		}{a: a, b: b, recv: recv}
		run(receiver(&f.recv, direct), ptr(&f))
		return f.r, f.s
	}
}

// receiver is the address of the receiver whose word, as an interface holds it, is at p.
func receiver(p *ptr, direct bool) ptr {
	if direct {
		return ptr(p)
	}
	return *p
}
