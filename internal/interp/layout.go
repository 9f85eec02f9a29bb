package interp

import (
	"reflect"
	"strconv"
	"unsafe"
)

// layout says where the registers of a function are in its frames: behind the frame itself, in one piece of memory of a
// type made for the function, so that the collector knows what are pointers. Registers of the same shape are elements of
// one array, which keeps that type small.
type layout struct {
	types []reflect.Type // of the registers
	offs  []uintptr      // where they are, once frame has been called
}

// add makes a register and returns its number.
func (l *layout) add(t reflect.Type) int {
	l.types = append(l.types, t)
	return len(l.types) - 1
}

// area is a part of a frame for registers of one kind.
type area struct {
	elem      reflect.Type
	count     int
	registers []int
}

// frame is the type of the frames.
func (l *layout) frame() reflect.Type {
	const word = unsafe.Sizeof(uintptr(0))
	pointers := area{elem: reflect.TypeFor[unsafe.Pointer]()}
	strings := area{elem: reflect.TypeFor[string]()}
	slices := area{elem: reflect.TypeFor[[]byte]()}
	scalars := area{elem: reflect.TypeFor[uint64]()}
	var areas []*area
	for n, t := range l.types {
		a, size := &scalars, max(1, int((t.Size()+word-1)/word))
		switch shapeOf(t) {
		case shapePointer, shapeInterface:
			a = &pointers
		case shapeString:
			a, size = &strings, 1
		case shapeSlice:
			a, size = &slices, 1
		case shapeOther:
			if hasPointers(t) {
				a, size = &area{elem: t}, 1
				areas = append(areas, a)
			}
		}
		a.count += size
		a.registers = append(a.registers, n)
	}
	fields := []reflect.StructField{{Name: "Frame", Type: reflect.TypeFor[frame]()}}
	areas = append([]*area{&pointers, &strings, &slices, &scalars}, areas...)
	used := areas[:0]
	for _, a := range areas {
		if a.count > 0 {
			name := "F" + strconv.Itoa(len(fields))
			fields = append(fields, reflect.StructField{Name: name, Type: reflect.ArrayOf(a.count, a.elem)})
			used = append(used, a)
		}
	}
	t := reflect.StructOf(fields)
	l.offs = make([]uintptr, len(l.types))
	for i, a := range used {
		off := t.Field(i + 1).Offset
		for _, n := range a.registers {
			l.offs[n] = off
			switch {
			case a.elem.Size() != word:
				off += a.elem.Size()
			default:
				off += max(word, (l.types[n].Size()+word-1)&^(word-1))
			}
		}
	}
	return t
}

// hasPointers tells whether the collector has to look into values of a type.
func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	}
	switch shapeOf(t) {
	case shapePointer, shapeString, shapeInterface, shapeSlice:
		return true
	}
	return false
}
