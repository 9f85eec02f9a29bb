package interp

import (
	"fmt"
	"reflect"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

type number interface{ integer | float }

func (c *compiler) convert(i *ssa.Convert) instruction {
	dst, x := c.off(i), c.off(i.X)
	to, from := c.place(i).t, c.place(i.X).t
	switch {
	case to.Kind() == reflect.String:
		return toString(dst, x, from)
	case from.Kind() == reflect.String && to.Kind() == reflect.Slice:
		if to.Elem().Kind() == reflect.Uint8 {
			return func(f *frame) { *(*[]byte)(f.at(dst)) = []byte(*(*string)(f.at(x))) }
		}
		return func(f *frame) { *(*[]rune)(f.at(dst)) = []rune(*(*string)(f.at(x))) }
	case isWord(to) && isWord(from):
		return moveOf[unsafe.Pointer](dst, x)
	case isWord(to) || isWord(from): // uintptr and unsafe.Pointer
		return moveOf[uintptr](dst, x)
	case to.Kind() == reflect.Complex64:
		return toComplex[complex64](dst, x, from)
	case to.Kind() == reflect.Complex128:
		return toComplex[complex128](dst, x, from)
	}
	if to.Kind() == from.Kind() {
		return move(dst, x, to)
	}
	convert, ok := conversions[from.Kind()]
	if !ok {
		panic(&buildError{text: fmt.Sprintf("conversion of %v to %v", from, to)})
	}
	return convert(to.Kind(), dst, x)
}

// isWord tells whether a type is a pointer of some kind.
func isWord(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer || t.Kind() == reflect.UnsafePointer
}

func (c *compiler) multiConvert(i *ssa.MultiConvert) instruction {
	panic(&buildError{text: fmt.Sprintf("conversion of %v to %v in generic code", i.X.Type(), i.Type())})
}

func toString(dst, x uintptr, from reflect.Type) instruction {
	switch from.Kind() {
	case reflect.String:
		return moveOf[string](dst, x)
	case reflect.Slice:
		if from.Elem().Kind() == reflect.Uint8 {
			return func(f *frame) { *(*string)(f.at(dst)) = string(*(*[]byte)(f.at(x))) }
		}
		return func(f *frame) { *(*string)(f.at(dst)) = string(*(*[]rune)(f.at(x))) }
	}
	return func(f *frame) { // an integer is a code point
		v := valueAt(from, f.at(x))
		if v.CanInt() {
			n := v.Int()
			if int64(rune(n)) != n {
				n = '\uFFFD'
			}
			*(*string)(f.at(dst)) = string(rune(n))
			return
		}
		n := v.Uint()
		if n > 0x10FFFF {
			n = '\uFFFD'
		}
		*(*string)(f.at(dst)) = string(rune(n))
	}
}

func toComplex[T complexNumber](dst, x uintptr, from reflect.Type) instruction {
	if from.Kind() == reflect.Complex64 {
		return func(f *frame) { *(*T)(f.at(dst)) = T(*(*complex64)(f.at(x))) }
	}
	return func(f *frame) { *(*T)(f.at(dst)) = T(*(*complex128)(f.at(x))) }
}

// conversions are those between numbers, by the kind that is converted.
var conversions = map[reflect.Kind]func(to reflect.Kind, dst, x uintptr) instruction{
	reflect.Int: convertFrom[int], reflect.Int8: convertFrom[int8], reflect.Int16: convertFrom[int16],
	reflect.Int32: convertFrom[int32], reflect.Int64: convertFrom[int64], reflect.Uint: convertFrom[uint],
	reflect.Uint8: convertFrom[uint8], reflect.Uint16: convertFrom[uint16], reflect.Uint32: convertFrom[uint32],
	reflect.Uint64: convertFrom[uint64], reflect.Uintptr: convertFrom[uintptr],
	reflect.Float32: convertFrom[float32], reflect.Float64: convertFrom[float64],
}

func convertFrom[From number](to reflect.Kind, dst, x uintptr) instruction {
	switch to {
	case reflect.Int:
		return converted[int, From](dst, x)
	case reflect.Int8:
		return converted[int8, From](dst, x)
	case reflect.Int16:
		return converted[int16, From](dst, x)
	case reflect.Int32:
		return converted[int32, From](dst, x)
	case reflect.Int64:
		return converted[int64, From](dst, x)
	case reflect.Uint:
		return converted[uint, From](dst, x)
	case reflect.Uint8:
		return converted[uint8, From](dst, x)
	case reflect.Uint16:
		return converted[uint16, From](dst, x)
	case reflect.Uint32:
		return converted[uint32, From](dst, x)
	case reflect.Uint64:
		return converted[uint64, From](dst, x)
	case reflect.Uintptr:
		return converted[uintptr, From](dst, x)
	case reflect.Float32:
		return converted[float32, From](dst, x)
	case reflect.Float64:
		return converted[float64, From](dst, x)
	}
	panic(&buildError{text: "conversion to " + to.String()})
}

func converted[To, From number](dst, x uintptr) instruction {
	return func(f *frame) { *(*To)(f.at(dst)) = To(*(*From)(f.at(x))) }
}
