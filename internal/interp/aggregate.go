package interp

import (
	"go/types"
	"math/bits"
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// header is a slice's memory.
type header struct {
	data unsafe.Pointer
	len  int
	cap  int
}

// checked reads an index and panics, as compiled code does, if it is not below n.
type checked func(f *frame, n int) int

func indexOf(p place) checked {
	switch p.t.Kind() {
	case reflect.Int:
		return indexBy[int](p.off)
	case reflect.Int8:
		return indexBy[int8](p.off)
	case reflect.Int16:
		return indexBy[int16](p.off)
	case reflect.Int32:
		return indexBy[int32](p.off)
	case reflect.Int64:
		return indexBy[int64](p.off)
	case reflect.Uint8:
		return indexBy[uint8](p.off)
	case reflect.Uint16:
		return indexBy[uint16](p.off)
	case reflect.Uint32:
		return indexBy[uint32](p.off)
	case reflect.Uint64:
		return indexBy[uint64](p.off)
	case reflect.Uint:
		return indexBy[uint](p.off)
	case reflect.Uintptr:
		return indexBy[uintptr](p.off)
	}
	panic(&buildError{text: "index of type " + p.t.String()})
}

func indexBy[T integer](off uintptr) checked {
	return func(f *frame, n int) int {
		i := *(*T)(f.at(off))
		if uint64(i) >= uint64(n) {
			_ = make([]struct{}, n)[i] // the runtime's panic
		}
		return int(i)
	}
}

func (c *compiler) indexAddr(i *ssa.IndexAddr) instruction {
	if c.folded[i] {
		return nil
	}
	dst, x, index := c.off(i), c.off(i.X), indexOf(c.place(i.Index))
	t := c.place(i.X).t
	elem := elemOf(c.typeOf(i.X.Type()))
	size := elem.Size()
	if t.Kind() == reflect.Slice {
		if p := c.place(i.Index); p.t.Kind() == reflect.Int {
			return func(f *frame) {
				*(*unsafe.Pointer)(f.at(dst)) = (*header)(f.at(x)).at(*(*int)(f.at(p.off)), size)
			}
		}
		return func(f *frame) {
			s := (*header)(f.at(x))
			*(*unsafe.Pointer)(f.at(dst)) = unsafe.Add(s.data, uintptr(index(f, s.len))*size)
		}
	}
	n := c.typeOf(i.X.Type()).Elem().Len()
	return func(f *frame) {
		p := *(*unsafe.Pointer)(f.at(x))
		nilCheck(p)
		*(*unsafe.Pointer)(f.at(dst)) = unsafe.Add(p, uintptr(index(f, n))*size)
	}
}

func (c *compiler) index(i *ssa.Index) instruction {
	dst, x, index := c.off(i), c.off(i.X), indexOf(c.place(i.Index))
	switch t := c.place(i.X).t; t.Kind() {
	case reflect.String:
		return func(f *frame) {
			s := *(*string)(f.at(x))
			*(*byte)(f.at(dst)) = s[index(f, len(s))]
		}
	case reflect.Slice:
		size, copy := t.Elem().Size(), copierOf(t.Elem())
		return func(f *frame) {
			s := (*header)(f.at(x))
			copy(f.at(dst), unsafe.Add(s.data, uintptr(index(f, s.len))*size))
		}
	case reflect.Pointer:
		n, size, copy := t.Elem().Len(), t.Elem().Elem().Size(), copierOf(t.Elem().Elem())
		return func(f *frame) {
			p := *(*unsafe.Pointer)(f.at(x))
			nilCheck(p)
			copy(f.at(dst), unsafe.Add(p, uintptr(index(f, n))*size))
		}
	default:
		n, size, copy := t.Len(), t.Elem().Size(), copierOf(t.Elem())
		return func(f *frame) { copy(f.at(dst), unsafe.Add(f.at(x), uintptr(index(f, n))*size)) }
	}
}

// bound reads a bound of a slice expression; nil if the expression leaves it out.
func (c *compiler) bound(v ssa.Value) *bound {
	if v == nil {
		return nil
	}
	p := c.place(v)
	return &bound{intOf(p), p.t.Kind() < reflect.Uint || p.t.Kind() > reflect.Uintptr}
}

// bound is what stands before, between or behind the colons of a slice expression.
type bound struct {
	read   func(f *frame) int
	signed bool
}

func (b *bound) at(f *frame, otherwise int) int {
	if b == nil {
		return otherwise
	}
	return b.read(f)
}

// intOf reads an integer of any type as an int. Unsigned values above the range of int become negative, which is as far
// out of bounds as they are.
func intOf(p place) func(f *frame) int {
	off := p.off
	switch p.t.Kind() {
	case reflect.Int8:
		return func(f *frame) int { return int(*(*int8)(f.at(off))) }
	case reflect.Int16:
		return func(f *frame) int { return int(*(*int16)(f.at(off))) }
	case reflect.Int32:
		return func(f *frame) int { return int(*(*int32)(f.at(off))) }
	case reflect.Uint8:
		return func(f *frame) int { return int(*(*uint8)(f.at(off))) }
	case reflect.Uint16:
		return func(f *frame) int { return int(*(*uint16)(f.at(off))) }
	case reflect.Uint32:
		return func(f *frame) int { return int(*(*uint32)(f.at(off))) }
	}
	return func(f *frame) int { return *(*int)(f.at(off)) }
}

func (c *compiler) slice(i *ssa.Slice) instruction {
	dst, x := c.off(i), c.off(i.X)
	low, high, limit := c.bound(i.Low), c.bound(i.High), c.bound(i.Max)
	wrong := c.outOfRange(i, low, high, limit)
	t := c.place(i.X).t
	if t.Kind() == reflect.String {
		return func(f *frame) {
			s := *(*string)(f.at(x))
			lo, hi := low.at(f, 0), high.at(f, len(s))
			if uint(hi) > uint(len(s)) || uint(lo) > uint(hi) {
				panic(wrong(lo, hi, len(s), len(s)))
			}
			*(*string)(f.at(dst)) = s[lo:hi]
		}
	}
	var array func(f *frame) header
	var size uintptr
	if t.Kind() == reflect.Pointer {
		n := t.Elem().Len()
		size = t.Elem().Elem().Size()
		if isMade(i) && beyondMemory(n, size) {
			return func(f *frame) { panic(wrong(0, high.at(f, n), n, n)) } // whatever the length
		}
		array = func(f *frame) header {
			p := *(*unsafe.Pointer)(f.at(x))
			nilCheck(p)
			return header{p, n, n}
		}
	} else {
		size = t.Elem().Size()
		array = func(f *frame) header { return *(*header)(f.at(x)) }
	}
	return func(f *frame) {
		s := array(f)
		lo := low.at(f, 0)
		hi := high.at(f, s.len)
		end := limit.at(f, s.cap)
		if uint(end) > uint(s.cap) || uint(hi) > uint(end) || uint(lo) > uint(hi) {
			panic(wrong(lo, hi, end, s.cap))
		}
		data := s.data
		if end > lo { // else the address might be past the object
			data = unsafe.Add(data, uintptr(lo)*size)
		}
		*(*[]byte)(f.at(dst)) = *(*[]byte)(unsafe.Pointer(&header{data, hi - lo, end - lo}))
	}
}

// isMade tells whether a slice expression is what go/ssa makes of make with a constant capacity: that of a new array.
func isMade(i *ssa.Slice) bool {
	made, ok := i.X.(*ssa.Alloc)
	return ok && made.Comment == "makeslice"
}

// outOfRange tells, with the order of the compiler's own checks, which bound of a slice expression is wrong: n is the length
// of an array or string, the capacity of a slice.
func (c *compiler) outOfRange(i *ssa.Slice, low, high, limit *bound) func(lo, hi, end, n int) runtime.Error {
	errors := c.p.errors
	if isMade(i) {
		size := c.place(i).t.Elem().Size()
		return func(_, hi, _, n int) runtime.Error { return errors.makeSlice(hi, size) }
	}
	codes := errors.ofArray
	if c.place(i.X).t.Kind() == reflect.Slice {
		codes = errors.ofSlice
	}
	return func(lo, hi, end, n int) runtime.Error {
		switch {
		case limit != nil && uint(end) > uint(n):
			return errors.outOfBounds(boundsError{int64(end), n, limit.signed, codes.limit})
		case limit != nil && uint(hi) > uint(end):
			return errors.outOfBounds(boundsError{int64(hi), end, high.signed, errors.fullHigh})
		case limit != nil:
			return errors.outOfBounds(boundsError{int64(lo), hi, low.signed, errors.fullLow})
		case uint(hi) > uint(end):
			return errors.outOfBounds(boundsError{int64(hi), end, high.signed, codes.high})
		}
		return errors.outOfBounds(boundsError{int64(lo), hi, low.signed, errors.low})
	}
}

func (c *compiler) makeSlice(i *ssa.MakeSlice) instruction {
	dst, length, capacity := c.off(i), intOf(c.place(i.Len)), intOf(c.place(i.Cap))
	t := c.place(i).t
	elem := t.Elem()
	if elem.Size() == 1 && shapeOf(elem) == shape8 {
		return func(f *frame) { *(*[]byte)(f.at(dst)) = make([]byte, length(f), capacity(f)) }
	}
	rtype := rtypeOf(elem)
	size, errors := elem.Size(), c.p.errors
	return func(f *frame) {
		n, m := length(f), capacity(f)
		if n < 0 || m < n || beyondMemory(m, size) {
			panic(errors.makeSlice(n, size))
		}
		*(*[]byte)(f.at(dst)) = *(*[]byte)(unsafe.Pointer(&header{unsafeNewArray(rtype, m), n, m}))
	}
}

//go:linkname unsafeNewArray reflect.unsafe_NewArray
//go:noescape
func unsafeNewArray(t unsafe.Pointer, n int) unsafe.Pointer

// beyondMemory tells whether n elements of a size in bytes are more than the runtime can address, so that it panics rather
// than dies for want of memory. n is not negative.
func beyondMemory(n int, size uintptr) bool {
	const most = 1 << 48 // runtime.maxAlloc on 64-bit systems
	over, bytes := bits.Mul(uint(n), uint(size))
	return over > 0 || bytes > most
}

func (c *compiler) sliceToArrayPointer(i *ssa.SliceToArrayPointer) instruction {
	dst, x := c.off(i), c.off(i.X)
	n, errors := c.place(i).t.Elem().Len(), c.p.errors
	return func(f *frame) {
		s := (*header)(f.at(x))
		if s.len < n {
			panic(errors.conversion(s.len, n))
		}
		*(*unsafe.Pointer)(f.at(dst)) = s.data
	}
}

// tupleOffsets are where the parts of a multiple result are.
func (c *compiler) tupleOffsets(t types.Type) (offs []uintptr, parts []reflect.Type) {
	rt := c.typeOf(t)
	for i := range rt.NumField() {
		offs = append(offs, rt.Field(i).Offset)
		parts = append(parts, rt.Field(i).Type)
	}
	return offs, parts
}
