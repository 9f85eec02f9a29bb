package rtype

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"sync/atomic"
	"unsafe"
)

// Named is a defined type being built. Its life:
//
//	NewNamed    the type exists: *T, []T, chan T and func(T) can be made of it
//	Layout      it has a size: map[string]T, [3]T and struct{ t T } can be made of it
//	Complete    it has its fields or elements
//	SetMethods  it has its methods; at any moment after NewNamed, but before a value of the type meets an interface
//
// Layout may be left out where nothing needs the size before Complete. Types that mention each other are built by
// taking all of them through one step before the next. A Named is used by one goroutine at a time; the type itself,
// once complete and with its methods, by any number.
type Named struct {
	pkgPath string
	h       *header  // T
	pointer *header  // *T
	methods []Method // of T, until the layout is known
	given   bool     // SetMethods has been called
	laidOut bool
	done    bool
	equal   atomic.Pointer[equality] // T's, once it has a layout
}

type equality = func(p, q unsafe.Pointer) bool

// namedRoom is what a defined type takes in the arena, its method list apart: its kind, and with it its size, is not
// known when its address must be. It holds the largest record and its method table, and leaves room for the
// parameters of a func type.
const namedRoom = 256

// maxNamedParams is the number of parameters and results for which namedRoom has room.
const maxNamedParams = (namedRoom - int(unsafe.Sizeof(funcType{})+unsafe.Sizeof(methodTable{}))) / wordSize

const wordSize = int(unsafe.Sizeof(uintptr(0)))

// NewNamed makes a defined type, which differs from every other. Its String is "pkgName.name"; name has the type
// arguments of an instantiated type, as in "List[int]".
func NewNamed(pkgPath, pkgName, name string) *Named {
	n := &Named{pkgPath: pkgPath}
	text := name
	if pkgName != "" {
		text = pkgName + "." + name
	}
	n.h = newHeader(namedRoom)
	n.h.hash = newHash(pkgPath + "." + text)
	n.h.text = nameOffset(plainName(text))
	n.h.flags = hasName
	n.pointer = newPointer(n.h, text)
	isUnfinished(n.h)
	return n
}

// newHeader makes room for a record that will never be moved. When the arena is full it takes the collector's memory,
// where everything but methods works; install tells.
func newHeader(size uintptr) *header {
	at, err := reserve(size)
	if err != nil {
		b := make([]uint64, (size+7)/8)
		keep(b)
		at = unsafe.Pointer(unsafe.SliceData(b))
	}
	return (*header)(at)
}

// newPointer makes the type *T with room for methods, and makes T know it.
func newPointer(elem *header, text string) *header {
	const size = unsafe.Sizeof(elemType{}) + unsafe.Sizeof(methodTable{})
	h := newHeader(size)
	*h = *headerOf(reflect.TypeFor[*unsafe.Pointer]())
	h.flags = h.flags&plainBytes | direct | hasMethods
	h.text = nameOffset(plainName("*" + text))
	h.hash = newHash("*" + text)
	h.pointerTo = 0
	(*elemType)(unsafe.Pointer(h)).elem = elem
	elem.pointerTo = typeOffset(h)
	return h
}

// hashes numbers the types: many have the same text, one generation of a module after the other.
var hashes atomic.Uint32

func newHash(text string) uint32 {
	f := fnv.New32a()
	f.Write([]byte(text))
	return f.Sum32() ^ hashes.Add(1)*2654435761 // Knuth's multiplier spreads the small numbers
}

// Type is the type T. Its identity is fixed; what it knows of itself grows with Layout, Complete and SetMethods.
func (n *Named) Type() reflect.Type { return typeOf(n.h) }

// PointerTo is the type *T, with methods of its own. reflect.PointerTo(n.Type()) is the same.
func (n *Named) PointerTo() reflect.Type { return typeOf(n.pointer) }

// Layout gives T the size and the kind of placeholder: a type like T's real underlying type, but with other types in
// place of those that cannot be made yet. Kinds, sizes, field order, blank names and whether values can be compared
// must be as in the real one.
func (n *Named) Layout(placeholder reflect.Type) error {
	if n.laidOut {
		return fmt.Errorf("lay out type %v: it has a layout", n.Type())
	}
	if err := n.describe(placeholder); err != nil {
		return err
	}
	if n.h.equal != nil {
		// Array types that are made before Complete keep the equality that they find, so it must be one that follows.
		n.equal.Store(&headerOf(placeholder).equal)
		n.h.equal = func(p, q unsafe.Pointer) bool { return (*n.equal.Load())(p, q) }
		keep(n.h.equal)
	}
	return nil
}

// Complete makes T what underlying is: its kind, layout, fields, elements and equality. underlying may be any type, a
// defined one too, that does not hold T by value.
func (n *Named) Complete(underlying reflect.Type) error {
	if n.done {
		return fmt.Errorf("complete type %v: it is complete", n.Type())
	}
	if n.laidOut && !sameLayout(headerOf(underlying), n.h) {
		return fmt.Errorf("complete type %v: its layout was that of another type than %v", n.Type(), underlying)
	}
	if err := n.describe(underlying); err != nil {
		return err
	}
	n.done = true
	return nil
}

func sameLayout(a, b *header) bool {
	return a.kind == b.kind && a.size == b.size && a.ptrBytes == b.ptrBytes && a.align == b.align &&
		(a.equal == nil) == (b.equal == nil)
}

// describe copies what underlying is to T, and puts T's methods in place if they are known.
func (n *Named) describe(underlying reflect.Type) error {
	from, to := headerOf(underlying), n.h
	if underlying.Kind() == reflect.Func && underlying.NumIn()+underlying.NumOut() > maxNamedParams {
		return fmt.Errorf("complete type %v: a defined func type has room for %d parameters and results; pass some in a struct",
			n.Type(), maxNamedParams)
	}
	to.size, to.ptrBytes, to.align, to.fieldAlign, to.kind = from.size, from.ptrBytes, from.align, from.fieldAlign, from.kind
	to.pointers = from.pointers
	to.flags = from.flags&(plainBytes|lazyMask|direct) | hasName | hasMethods
	to.equal = from.equal
	n.equal.Store(&from.equal)
	if err := describeKind(to, underlying, n.pkgPath); err != nil {
		return fmt.Errorf("complete type %v: %w", n.Type(), err)
	}
	if n.laidOut {
		return nil
	}
	n.laidOut = true
	hasLayout(n.h)
	methods := n.methods
	n.methods = nil // what they call is not to live as long as the type
	return install(n.h, n.pkgPath, methods)
}

// describeKind copies the part of a record that depends on the kind.
func describeKind(to *header, underlying reflect.Type, pkgPath string) error {
	from := unsafe.Pointer(headerOf(underlying))
	switch underlying.Kind() {
	case reflect.Array:
		f, t := (*arrayType)(from), (*arrayType)(unsafe.Pointer(to))
		t.elem, t.slice, t.len = f.elem, f.slice, f.len
	case reflect.Chan:
		f, t := (*chanType)(from), (*chanType)(unsafe.Pointer(to))
		t.elem, t.dir = f.elem, f.dir
	case reflect.Func:
		f, t := (*funcType)(from), (*funcType)(unsafe.Pointer(to))
		t.in, t.out = f.in, f.out
		count := underlying.NumIn() + underlying.NumOut()
		copy(to.params(count), headerOf(underlying).params(count))
	case reflect.Interface:
		methods := make([]Method, 0, underlying.NumMethod())
		for m := range underlying.Methods() {
			methods = append(methods, Method{Name: m.Name, PkgPath: m.PkgPath, Type: m.Type})
		}
		return describeInterface(to.asInterface(), pkgPath, methods)
	case reflect.Map:
		f, t := (*mapType)(from), (*mapType)(unsafe.Pointer(to))
		h := t.header
		*t = *f
		t.header = h
	case reflect.Pointer, reflect.Slice:
		f, t := (*elemType)(from), (*elemType)(unsafe.Pointer(to))
		t.elem = f.elem
	case reflect.Struct:
		f, t := (*structType)(from), (*structType)(unsafe.Pointer(to))
		t.pkgPath, t.fields = f.pkgPath, f.fields
	}
	return nil
}

// SetMethods gives T and *T their method sets, or puts new code behind the methods that they have: then names and
// types must be the same. pointer has the methods of T too, for a receiver *T, and those promoted from embedded
// fields. An interface type has its methods by Complete and takes none here.
func (n *Named) SetMethods(value, pointer []Method) error {
	if n.laidOut && n.h.kind == uint8(reflect.Interface) && len(value)+len(pointer) > 0 {
		return fmt.Errorf("set methods of %v: an interface type has methods by Complete alone", n.Type())
	}
	if n.given {
		if err := SetMethods(n.PointerTo(), pointer); err != nil {
			return err
		}
		if !n.laidOut {
			n.methods = value
			return nil
		}
		return SetMethods(n.Type(), value)
	}
	n.given = true
	if !n.laidOut {
		n.methods = value
	} else {
		if err := install(n.h, n.pkgPath, value); err != nil {
			return err
		}
	}
	return install(n.pointer, n.pkgPath, pointer)
}
