package interp

import (
	"reflect"
	"unsafe"
)

// The runtime's own operations on memory of a type known at run time only. They are what reflect itself calls; the Go
// project keeps them reachable because widely used packages need them (see go.dev/issue/67401).

//go:linkname unsafeNew reflect.unsafe_New
//go:noescape
func unsafeNew(t unsafe.Pointer) unsafe.Pointer

//go:linkname typedmemmove reflect.typedmemmove
//go:noescape
func typedmemmove(t, dst, src unsafe.Pointer)

//go:linkname typedmemclr reflect.typedmemclr
//go:noescape
func typedmemclr(t, p unsafe.Pointer)

//go:linkname ifaceE2I reflect.ifaceE2I
//go:noescape
func ifaceE2I(t unsafe.Pointer, src any, dst unsafe.Pointer)

//go:linkname mapaccess reflect.mapaccess
//go:noescape
func mapaccess(t, m, key unsafe.Pointer) unsafe.Pointer

//go:linkname mapassign reflect.mapassign0
//go:noescape
func mapassign(t, m, key, val unsafe.Pointer)

//go:linkname mapdelete reflect.mapdelete
//go:noescape
func mapdelete(t, m, key unsafe.Pointer)

//go:linkname chanrecv reflect.chanrecv
//go:noescape
func chanrecv(ch unsafe.Pointer, nb bool, val unsafe.Pointer) (selected, received bool)

//go:linkname chansend reflect.chansend0
//go:noescape
func chansend(ch, val unsafe.Pointer, nb bool) bool

// words is an interface value: type (or itab) and data.
type words struct{ tab, data unsafe.Pointer }

// rtypeOf is the runtime's address of a type.
func rtypeOf(t reflect.Type) unsafe.Pointer { return (*words)(unsafe.Pointer(&t)).data }

// typeAt is the reflect.Type at the runtime's address of a type.
func typeAt(rtype unsafe.Pointer) reflect.Type {
	var e any
	(*words)(unsafe.Pointer(&e)).tab = rtype
	return reflect.TypeOf(e)
}

// itab is the part of the runtime's method table that is read here.
type itab struct{ inter, rtype unsafe.Pointer }

// dynamic is the runtime type in a non-empty interface's table, nil for nil.
func dynamic(tab unsafe.Pointer) unsafe.Pointer {
	if tab == nil {
		return nil
	}
	return (*itab)(tab).rtype
}

// pointerShaped tells whether an interface holds the value itself rather than the address of a copy.
func pointerShaped(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return true
	case reflect.Struct:
		return t.NumField() == 1 && pointerShaped(t.Field(0).Type)
	case reflect.Array:
		return t.Len() == 1 && pointerShaped(t.Elem())
	}
	return false
}

// copier copies one value between two addresses that do not overlap, or are the same.
type copier func(dst, src unsafe.Pointer)

func copyOf[T any](dst, src unsafe.Pointer) { *(*T)(dst) = *(*T)(src) }

// shape groups types whose values are copied alike.
type shape int

const (
	shapeNone shape = iota // no bytes
	shape8
	shape16
	shape32
	shape64
	shapePointer
	shapeString
	shapeInterface
	shapeSlice
	shapeOther
)

func shapeOf(t reflect.Type) shape {
	if t.Size() == 0 {
		return shapeNone
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Uint8:
		return shape8
	case reflect.Int16, reflect.Uint16:
		return shape16
	case reflect.Int32, reflect.Uint32, reflect.Float32:
		return shape32
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64, reflect.Uintptr, reflect.Float64:
		return shape64
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return shapePointer
	case reflect.String:
		return shapeString
	case reflect.Interface:
		return shapeInterface
	case reflect.Slice:
		return shapeSlice
	}
	return shapeOther
}

func copierOf(t reflect.Type) copier {
	switch shapeOf(t) {
	case shapeNone:
		return func(dst, src unsafe.Pointer) {}
	case shape8:
		return copyOf[uint8]
	case shape16:
		return copyOf[uint16]
	case shape32:
		return copyOf[uint32]
	case shape64:
		return copyOf[uint64]
	case shapePointer:
		return copyOf[unsafe.Pointer]
	case shapeString:
		return copyOf[string]
	case shapeInterface:
		return copyOf[words]
	case shapeSlice:
		return copyOf[[]byte]
	}
	rtype := rtypeOf(t)
	return func(dst, src unsafe.Pointer) { typedmemmove(rtype, dst, src) }
}

// valueAt is the value of type t at p, addressable.
func valueAt(t reflect.Type, p unsafe.Pointer) reflect.Value { return reflect.NewAt(t, p).Elem() }

// boxed is the value of type t at p as an interface holds it.
func boxed(rtype unsafe.Pointer, direct bool, p unsafe.Pointer) (data unsafe.Pointer) {
	if direct {
		return *(*unsafe.Pointer)(p)
	}
	data = unsafeNew(rtype)
	typedmemmove(rtype, data, p)
	return data
}
