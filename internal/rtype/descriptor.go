package rtype

import (
	"reflect"
	"unsafe"
)

// The records that describe types, as Go 1.26 lays them out (internal/abi/type.go). Check compares them with the
// types of the running program.

// header begins the description of every type.
type header struct {
	size       uintptr
	ptrBytes   uintptr // how far into a value the last pointer reaches
	hash       uint32
	flags      flags
	align      uint8
	fieldAlign uint8
	kind       uint8
	equal      func(p, q unsafe.Pointer) bool // nil: values cannot be compared
	pointers   *byte                          // for the garbage collector: a bit for each word that is a pointer
	text       offset                         // a name: what String returns
	pointerTo  offset                         // the type *T; 0: reflect makes it when asked
}

type flags uint8

const (
	hasMethods flags = 1 << iota // a methodTable follows the record ("uncommon")
	extraStar                    // the text begins with a star that does not belong to it
	hasName                      //
	plainBytes                   // equal bytes are equal values ("regular memory")
	lazyMask                     // header.pointers is where the runtime keeps a mask that it makes on demand
	direct                       // a value is one pointer, and is held in an interface's data word itself
)

// An offset stands for a name, a type or a piece of code. For the types that the linker made it is a distance; for
// others a key into the runtime's table, which also keeps alive what it refers to.
type offset int32

type arrayType struct {
	header
	elem, slice *header
	len         uintptr
}

type chanType struct {
	header
	elem *header
	dir  int
}

type elemType struct { // a pointer or a slice
	header
	elem *header
}

type funcType struct {
	header
	in  uint16
	out uint16 // the top bit says variadic
	// After the record, and after its methodTable if there is one: the types of parameters, then of results.
}

type mapType struct {
	header
	key, elem, group             *header
	hasher                       func(unsafe.Pointer, uintptr) uintptr
	groupSize, slotSize, elemOff uintptr
	flags                        uint32
}

type interfaceType struct {
	header
	pkgPath name
	methods []interfaceMethod
}

type interfaceMethod struct {
	name offset
	typ  offset
}

type structType struct {
	header
	pkgPath name // of the unexported fields
	fields  []structField
}

type structField struct {
	name   name
	typ    *header
	offset uintptr
}

// methodTable follows the record of a type that has a name or methods.
type methodTable struct {
	pkgPath  offset
	count    uint16
	exported uint16 // how many of them are exported; they come first
	distance uint32 // from this record to the first method
	_        uint32
}

type method struct {
	name  offset
	typ   offset // without the receiver
	iface offset // code that takes the receiver as an interface holds it: one word
	plain offset // code that takes the receiver as a first parameter
}

// recordSize is the size of the record that begins with a header, for each kind.
func recordSize(kind reflect.Kind) uintptr {
	switch kind {
	case reflect.Array:
		return unsafe.Sizeof(arrayType{})
	case reflect.Chan:
		return unsafe.Sizeof(chanType{})
	case reflect.Func:
		return unsafe.Sizeof(funcType{})
	case reflect.Interface:
		return unsafe.Sizeof(interfaceType{})
	case reflect.Map:
		return unsafe.Sizeof(mapType{})
	case reflect.Pointer, reflect.Slice:
		return unsafe.Sizeof(elemType{})
	case reflect.Struct:
		return unsafe.Sizeof(structType{})
	default:
		return unsafe.Sizeof(header{})
	}
}

// table is the methodTable of a type that has the flag hasMethods.
func (h *header) table() *methodTable {
	return (*methodTable)(unsafe.Add(unsafe.Pointer(h), recordSize(reflect.Kind(h.kind))))
}

func (h *header) asStruct() *structType       { return (*structType)(unsafe.Pointer(h)) }
func (h *header) asInterface() *interfaceType { return (*interfaceType)(unsafe.Pointer(h)) }

// params are the types of a function's parameters and results.
func (h *header) params(count int) []*header {
	at := unsafe.Add(unsafe.Pointer(h), unsafe.Sizeof(funcType{}))
	if h.flags&hasMethods != 0 {
		at = unsafe.Add(at, unsafe.Sizeof(methodTable{}))
	}
	return unsafe.Slice((**header)(at), count)
}

// words are the two words of an interface value.
type words struct {
	typ  unsafe.Pointer // of an empty interface: its type's header
	data unsafe.Pointer
}

// headerOf is the description behind a reflect.Type: what the interface value points to.
func headerOf(t reflect.Type) *header {
	return (*header)((*words)(unsafe.Pointer(&t)).data)
}

// typeOf is the inverse of headerOf: the type of an interface value that is made to hold nothing else.
func typeOf(h *header) reflect.Type {
	var v any
	(*words)(unsafe.Pointer(&v)).typ = unsafe.Pointer(h)
	return reflect.TypeOf(v)
}
