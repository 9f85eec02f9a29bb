package rtype

import (
	"reflect"
	"strings"
	"unsafe"
)

// Most functions and methods that compiled code calls back have one of a few signatures: String, Less, Write, a
// comparison, an http.HandlerFunc. For these there are func values in Go, which put their arguments in a frame without
// help from reflect. What counts of a type is in which registers it goes and which of them hold pointers:
type (
	word  = uintptr        // a bool or an integer; only as many of its bytes count as the type has
	ptr   = unsafe.Pointer // a pointer, map, channel or func; the receiver of a method
	text  = string
	slice = []byte
	iface = struct{ typ, data unsafe.Pointer }
	float = float64
)

// maker makes a func value that runs run on subject.
type maker func(run RawCall, subject ptr) any

// quick has the makers by shape: parameters and results, a letter each.
var quick = map[string]maker{
	// Functions, and methods without parameters.
	">":    in0out0, // sync.Once.Do, time.AfterFunc
	">w":   in0out1[word],
	">p":   in0out1[ptr],
	">t":   in0out1[text],
	">i":   in0out1[iface],
	"w>":   in1out0[word],
	"p>":   in1out0[ptr],
	"t>":   in1out0[text],
	"i>":   in1out0[iface],
	"w>w":  in1out1[word, word], // strings.Map, strings.FieldsFunc, sort.Search, iter.Seq's yield
	"w>i":  in1out1[word, iface],
	"p>w":  in1out1[ptr, word], // Len
	"p>p":  in1out1[ptr, ptr],
	"p>f":  in1out1[ptr, float],
	"p>t":  in1out1[ptr, text],         // String, Error
	"p>i":  in1out1[ptr, iface],        // Unwrap, Pop
	"p>s":  in1out1[ptr, slice],        //
	"p>si": in1out2[ptr, slice, iface], // MarshalJSON
	"p>ti": in1out2[ptr, text, iface],
	"p>tw": in1out2[ptr, text, word],
	"p>wi": in1out2[ptr, word, iface],
	"p>pi": in1out2[ptr, ptr, iface],
	"t>w":  in1out1[text, word],
	"t>t":  in1out1[text, text], // os.Expand, regexp's ReplaceAllStringFunc
	"t>i":  in1out1[text, iface],
	"i>w":  in1out1[iface, word],
	"i>i":  in1out1[iface, iface],
	"s>s":  in1out1[slice, slice],

	// Functions of two parameters, and methods of one.
	"ww>w":  in2out1[word, word, word], // sort.Slice
	"tt>w":  in2out1[text, text, word],
	"ip>":   in2out0[iface, ptr], // http.HandlerFunc
	"ii>w":  in2out1[iface, iface, word],
	"ii>i":  in2out1[iface, iface, iface],
	"ip>i":  in2out1[iface, ptr, iface],
	"pw>":   in2out0[ptr, word],
	"pp>":   in2out0[ptr, ptr],
	"pt>":   in2out0[ptr, text],
	"pi>":   in2out0[ptr, iface], // Push
	"pw>w":  in2out1[ptr, word, word],
	"pp>w":  in2out1[ptr, ptr, word],
	"pp>i":  in2out1[ptr, ptr, iface],
	"pt>t":  in2out1[ptr, text, text],
	"pt>i":  in2out1[ptr, text, iface],        // Set
	"pi>w":  in2out1[ptr, iface, word],        // Is, As
	"pi>i":  in2out1[ptr, iface, iface],       // Scan
	"ps>i":  in2out1[ptr, slice, iface],       // UnmarshalJSON
	"ps>wi": in2out2[ptr, slice, word, iface], // Read, Write
	"pt>wi": in2out2[ptr, text, word, iface],

	// Functions of three parameters, and methods of two.
	"tii>i":  in3out1[text, iface, iface, iface], // fs.WalkDirFunc
	"pww>":   in3out0[ptr, word, word],           // Swap
	"piw>":   in3out0[ptr, iface, word],          // Format
	"pip>":   in3out0[ptr, iface, ptr],           // ServeHTTP
	"pww>w":  in3out1[ptr, word, word, word],     // Less
	"pit>i":  in3out1[ptr, iface, text, iface],
	"pii>i":  in3out1[ptr, iface, iface, iface],
	"pip>i":  in3out1[ptr, iface, ptr, iface],
	"pis>wi": in3out2[ptr, iface, slice, word, iface],
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

// The makers. Each func value's frame is laid out as Frame says, as all of its types are made of whole words.

func in0out0(run RawCall, subject ptr) any { return func() { run(subject, nil) } }

func in0out1[R any](run RawCall, subject ptr) any {
	return func() R {
		var r R
		run(subject, ptr(&r))
		return r
	}
}

func in1out0[A any](run RawCall, subject ptr) any {
	return func(a A) { run(subject, ptr(&a)) }
}

func in1out1[A, R any](run RawCall, subject ptr) any {
	return func(a A) R {
		f := struct {
			a A
			r R
		}{a: a}
		run(subject, ptr(&f))
		return f.r
	}
}

func in1out2[A, R, S any](run RawCall, subject ptr) any {
	return func(a A) (R, S) {
		f := struct {
			a A
			r R
			s S
		}{a: a}
		run(subject, ptr(&f))
		return f.r, f.s
	}
}

func in2out0[A, B any](run RawCall, subject ptr) any {
	return func(a A, b B) {
		f := struct {
			a A
			b B
		}{a, b}
		run(subject, ptr(&f))
	}
}

func in2out1[A, B, R any](run RawCall, subject ptr) any {
	return func(a A, b B) R {
		f := struct {
			a A
			b B
			r R
		}{a: a, b: b}
		run(subject, ptr(&f))
		return f.r
	}
}

func in2out2[A, B, R, S any](run RawCall, subject ptr) any {
	return func(a A, b B) (R, S) {
		f := struct {
			a A
			b B
			r R
			s S
		}{a: a, b: b}
		run(subject, ptr(&f))
		return f.r, f.s
	}
}

func in3out0[A, B, C any](run RawCall, subject ptr) any {
	return func(a A, b B, c C) {
		f := struct {
			a A
			b B
			c C
		}{a, b, c}
		run(subject, ptr(&f))
	}
}

func in3out1[A, B, C, R any](run RawCall, subject ptr) any {
	return func(a A, b B, c C) R {
		f := struct {
			a A
			b B
			c C
			r R
		}{a: a, b: b, c: c}
		run(subject, ptr(&f))
		return f.r
	}
}

func in3out2[A, B, C, R, S any](run RawCall, subject ptr) any {
	return func(a A, b B, c C) (R, S) {
		f := struct {
			a A
			b B
			c C
			r R
			s S
		}{a: a, b: b, c: c}
		run(subject, ptr(&f))
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
