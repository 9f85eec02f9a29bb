package interp

import (
	"go/types"
	"reflect"
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

// bound reads a bound of a slice expression, as an int64 or, beyond that, as what is out of any range.
func (c *compiler) bound(v ssa.Value) func(f *frame) int {
	if v == nil {
		return nil
	}
	p := c.place(v)
	return intOf(p)
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
	at := func(f *frame, b func(*frame) int, otherwise int) int {
		if b == nil {
			return otherwise
		}
		return b(f)
	}
	t := c.place(i.X).t
	if t.Kind() == reflect.String {
		return func(f *frame) {
			s := *(*string)(f.at(x))
			*(*string)(f.at(dst)) = s[at(f, low, 0):at(f, high, len(s))]
		}
	}
	var array func(f *frame) header
	var size uintptr
	fixed := t.Kind() == reflect.Pointer
	if fixed {
		n := t.Elem().Len()
		size = t.Elem().Elem().Size()
		array = func(f *frame) header {
			p := *(*unsafe.Pointer)(f.at(x))
			nilCheck(p)
			return header{p, n, n}
		}
	} else {
		size = t.Elem().Size()
		array = func(f *frame) header { return *(*header)(f.at(x)) }
	}
	errors := c.p.errors
	return func(f *frame) {
		s := array(f)
		lo := at(f, low, 0)
		hi := at(f, high, s.len)
		end := at(f, limit, s.cap)
		if uint(end) > uint(s.cap) || uint(hi) > uint(end) || uint(lo) > uint(hi) {
			if fixed && uint(end) > uint(s.cap) {
				panic(errors.limit(end, s.cap))
			}
			sliceOutOfRange(s, lo, hi, end, limit != nil, fixed)
		}
		data := s.data
		if end > lo { // else the address might be past the object
			data = unsafe.Add(data, uintptr(lo)*size)
		}
		*(*[]byte)(f.at(dst)) = *(*[]byte)(unsafe.Pointer(&header{data, hi - lo, end - lo}))
	}
}

// sliceOutOfRange panics with the runtime's own error.
func sliceOutOfRange(s header, lo, hi, end int, full, fixed bool) {
	dummy := make([]struct{}, s.len, s.cap)
	switch {
	case full:
		_ = dummy[lo:hi:end]
	case fixed: // an array, whose length is told, as a string's is
		_ = unsafe.String((*byte)(s.data), s.len)[lo:hi]
	default:
		_ = dummy[lo:hi]
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
	size := elem.Size()
	return func(f *frame) {
		n, m := length(f), capacity(f)
		if n < 0 || m < n || size > 0 && uintptr(m) > (1<<47)/size {
			tooLarge(n, m, size)
		}
		*(*[]byte)(f.at(dst)) = *(*[]byte)(unsafe.Pointer(&header{unsafeNewArray(rtype, m), n, m}))
	}
}

//go:linkname unsafeNewArray reflect.unsafe_NewArray
//go:noescape
func unsafeNewArray(t unsafe.Pointer, n int) unsafe.Pointer

// tooLarge panics as make does.
func tooLarge(n, m int, size uintptr) {
	type big [1 << 20]byte
	switch {
	case n < 0 || size > 0 && uintptr(n) > (1<<47)/size:
		_ = make([]big, 1<<47|n&0, 1<<47|n&0|1) // len out of range
	default:
		_ = make([]byte, n, m) // cap out of range
		_ = make([]big, 0, m|1<<46)
	}
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
