package interp

import (
	"fmt"
	"go/types"
	"math/bits"
	"reflect"
	"strconv"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// builtin compiles a call of a builtin function. result is nil where nothing takes what it returns.
func (c *compiler) builtin(b *ssa.Builtin, call *ssa.CallCommon, result *ssa.Call) instruction {
	dst := uintptr(0)
	if result != nil {
		if _, ok := c.slots[result]; ok {
			dst = c.off(result)
		}
	}
	switch b.Name() {
	case "Sizeof", "Alignof", "Offsetof": // where a type parameter decides
		n := c.sizeBuiltin(b.Name(), result)
		return func(f *frame) { *(*uintptr)(f.at(dst)) = n }
	}
	args := c.arguments(call.Args)
	switch b.Name() {
	case "append":
		return c.append(dst, args)
	case "cap", "len":
		return length(b.Name(), dst, args[0])
	case "clear":
		return func(f *frame) { valueAt(args[0].t, f.at(args[0].off)).Clear() }
	case "close":
		return func(f *frame) { valueAt(args[0].t, f.at(args[0].off)).Close() }
	case "complex":
		return complexOf(dst, args)
	case "copy":
		return func(f *frame) {
			n := reflect.Copy(valueAt(args[0].t, f.at(args[0].off)), valueAt(args[1].t, f.at(args[1].off)))
			if result != nil {
				*(*int)(f.at(dst)) = n
			}
		}
	case "delete":
		rtype := rtypeOf(args[0].t)
		return func(f *frame) { mapdelete(rtype, *(*unsafe.Pointer)(f.at(args[0].off)), f.at(args[1].off)) }
	case "imag", "real":
		return partOf(b.Name(), dst, args[0])
	case "max", "min":
		return c.extreme(b.Name() == "min", dst, args)
	case "panic":
		return func(f *frame) { panic(anyAt(f.at(args[0].off), args[0].t.NumMethod() > 0)) }
	case "print", "println":
		return func(f *frame) { f.print(args, b.Name() == "println") }
	case "recover":
		if result == nil {
			return func(f *frame) { // deferred itself, by a function which is deferred that recovers the panic of a third
				if by := f.caller; by != nil && by.panic == nil {
					by.recovered()
				}
			}
		}
		return func(f *frame) {
			value := f.recovered()
			*(*any)(f.at(dst)) = value
		}
	case "ssa:wrapnilchk":
		wrapped := c.p.errors.plain(c.nilReceiver())
		return func(f *frame) {
			p := *(*unsafe.Pointer)(f.at(args[0].off))
			if p == nil {
				panic(wrapped)
			}
			*(*unsafe.Pointer)(f.at(dst)) = p
		}
	case "ssa:deferstack":
		return func(f *frame) { *(*unsafe.Pointer)(f.at(dst)) = unsafe.Pointer(f) }
	case "Add":
		n := intOf(place{off: args[1].off, t: args[1].t})
		return func(f *frame) {
			*(*unsafe.Pointer)(f.at(dst)) = unsafe.Add(*(*unsafe.Pointer)(f.at(args[0].off)), n(f))
		}
	case "Slice":
		return c.unsafeSlice(dst, args[0], place{off: args[1].off, t: args[1].t})
	case "String":
		n := intOf(place{off: args[1].off, t: args[1].t})
		return func(f *frame) { *(*string)(f.at(dst)) = unsafe.String(*(**byte)(f.at(args[0].off)), n(f)) }
	case "SliceData":
		return func(f *frame) { *(*unsafe.Pointer)(f.at(dst)) = (*header)(f.at(args[0].off)).data }
	case "StringData":
		return func(f *frame) { *(**byte)(f.at(dst)) = unsafe.StringData(*(*string)(f.at(args[0].off))) }
	}
	panic(&buildError{text: "builtin " + b.Name()})
}

// unsafeSlice compiles unsafe.Slice.
func (c *compiler) unsafeSlice(dst uintptr, pointer argument, length place) instruction {
	n, size, errors := intOf(length), pointer.t.Elem().Size(), c.p.errors
	return func(f *frame) {
		p, l := *(*unsafe.Pointer)(f.at(pointer.off)), n(f)
		over, bytes := bits.Mul(uint(size), uint(l))
		switch beyond := over > 0 || bytes > -uint(uintptr(p)); {
		case l < 0:
			panic(errors.textual("unsafe.Slice: len out of range"))
		case p == nil && l > 0:
			panic(errors.textual("unsafe.Slice: ptr is nil and len is not zero"))
		case p != nil && beyond:
			panic(errors.textual("unsafe.Slice: len out of range"))
		}
		*(*[]byte)(f.at(dst)) = *(*[]byte)(unsafe.Pointer(&header{p, l, l}))
	}
}

// nilReceiver is what the compiler's wrapper of a value method says when it is called by a nil pointer. The function that is
// compiled is such a wrapper.
func (c *compiler) nilReceiver() string {
	method := c.fn.ssa.Object()
	t := types.Unalias(method.(*types.Func).Signature().Recv().Type()).(*types.Named)
	name := t.Obj().Name()
	if t.TypeArgs().Len() > 0 || t.TypeParams().Len() > 0 {
		name += "[...]"
	}
	return fmt.Sprintf("value method %s.%s.%s called using nil *%s pointer", c.p.pathOf(t.Obj().Pkg()), name, method.Name(), name)
}

func length(name string, dst uintptr, x argument) instruction {
	switch x.t.Kind() {
	case reflect.String:
		return func(f *frame) { *(*int)(f.at(dst)) = len(*(*string)(f.at(x.off))) }
	case reflect.Slice:
		if name == "cap" {
			return func(f *frame) { *(*int)(f.at(dst)) = (*header)(f.at(x.off)).cap }
		}
		return func(f *frame) { *(*int)(f.at(dst)) = (*header)(f.at(x.off)).len }
	case reflect.Pointer:
		n := x.t.Elem().Len()
		return func(f *frame) { *(*int)(f.at(dst)) = n }
	}
	if name == "cap" {
		return func(f *frame) { *(*int)(f.at(dst)) = valueAt(x.t, f.at(x.off)).Cap() }
	}
	return func(f *frame) { *(*int)(f.at(dst)) = valueAt(x.t, f.at(x.off)).Len() }
}

func (c *compiler) append(dst uintptr, args []argument) instruction {
	if len(args) == 1 {
		return move(dst, args[0].off, args[0].t)
	}
	to, from := args[0], args[1]
	elem := to.t.Elem()
	if shapeOf(elem) == shape8 {
		if from.t.Kind() == reflect.String {
			return func(f *frame) {
				*(*[]byte)(f.at(dst)) = append(*(*[]byte)(f.at(to.off)), *(*string)(f.at(from.off))...)
			}
		}
		return appendOf[byte](dst, to.off, from.off)
	}
	// Slices of the same shape grow alike, so each shape has the compiler's own append.
	switch shapeOf(elem) {
	case shapeNone:
		return appendOf[struct{}](dst, to.off, from.off)
	case shape16:
		return appendOf[uint16](dst, to.off, from.off)
	case shape32:
		return appendOf[uint32](dst, to.off, from.off)
	case shape64:
		return appendOf[uint64](dst, to.off, from.off)
	case shapePointer:
		return appendOf[unsafe.Pointer](dst, to.off, from.off)
	case shapeString:
		return appendOf[string](dst, to.off, from.off)
	case shapeInterface:
		return appendOf[words](dst, to.off, from.off)
	case shapeSlice:
		return appendOf[[]byte](dst, to.off, from.off)
	}
	slice := reflect.SliceOf(elem)
	return func(f *frame) {
		grown := reflect.AppendSlice(valueAt(slice, f.at(to.off)), valueAt(slice, f.at(from.off)))
		valueAt(slice, f.at(dst)).Set(grown)
	}
}

func appendOf[T any](dst, to, from uintptr) instruction {
	return func(f *frame) { *(*[]T)(f.at(dst)) = append(*(*[]T)(f.at(to)), *(*[]T)(f.at(from))...) }
}

func complexOf(dst uintptr, args []argument) instruction {
	re, im := args[0], args[1]
	if re.t.Kind() == reflect.Float32 {
		return func(f *frame) {
			*(*complex64)(f.at(dst)) = complex(*(*float32)(f.at(re.off)), *(*float32)(f.at(im.off)))
		}
	}
	return func(f *frame) {
		*(*complex128)(f.at(dst)) = complex(*(*float64)(f.at(re.off)), *(*float64)(f.at(im.off)))
	}
}

func partOf(name string, dst uintptr, x argument) instruction {
	second := uintptr(0)
	if x.t.Kind() == reflect.Complex64 {
		if name == "imag" {
			second = 4
		}
		return moveOf[float32](dst, x.off+second)
	}
	if name == "imag" {
		second = 8
	}
	return moveOf[float64](dst, x.off+second)
}

// extreme compiles min and max.
func (c *compiler) extreme(least bool, dst uintptr, args []argument) instruction {
	switch args[0].t.Kind() {
	case reflect.Int:
		return extremeOf[int](least, dst, args)
	case reflect.Int8:
		return extremeOf[int8](least, dst, args)
	case reflect.Int16:
		return extremeOf[int16](least, dst, args)
	case reflect.Int32:
		return extremeOf[int32](least, dst, args)
	case reflect.Int64:
		return extremeOf[int64](least, dst, args)
	case reflect.Uint:
		return extremeOf[uint](least, dst, args)
	case reflect.Uint8:
		return extremeOf[uint8](least, dst, args)
	case reflect.Uint16:
		return extremeOf[uint16](least, dst, args)
	case reflect.Uint32:
		return extremeOf[uint32](least, dst, args)
	case reflect.Uint64:
		return extremeOf[uint64](least, dst, args)
	case reflect.Uintptr:
		return extremeOf[uintptr](least, dst, args)
	case reflect.Float32:
		return extremeOf[float32](least, dst, args)
	case reflect.Float64:
		return extremeOf[float64](least, dst, args)
	case reflect.String:
		return extremeOf[string](least, dst, args)
	}
	panic(&buildError{text: "min or max of " + args[0].t.String()})
}

func extremeOf[T integer | float | ~string](least bool, dst uintptr, args []argument) instruction {
	return func(f *frame) {
		best := *(*T)(f.at(args[0].off))
		for _, a := range args[1:] {
			if least {
				best = min(best, *(*T)(f.at(a.off)))
			} else {
				best = max(best, *(*T)(f.at(a.off)))
			}
		}
		*(*T)(f.at(dst)) = best
	}
}

// print writes as the builtins print and println do.
func (f *frame) print(args []argument, line bool) {
	var text []byte
	for n, a := range args {
		if line && n > 0 {
			text = append(text, ' ')
		}
		text = appendPrinted(text, valueAt(a.t, f.at(a.off)))
	}
	if line {
		text = append(text, '\n')
	}
	_, _ = f.t.p.opt.Stderr.Write(text) // the builtins tell no errors
}

func appendPrinted(text []byte, v reflect.Value) []byte {
	switch {
	case v.Kind() == reflect.Bool:
		return fmt.Append(text, v.Bool())
	case v.CanInt():
		return fmt.Append(text, v.Int())
	case v.CanUint():
		return fmt.Append(text, v.Uint())
	case v.CanFloat():
		return strconv.AppendFloat(text, v.Float(), 'g', -1, v.Type().Bits())
	case v.CanComplex():
		return fmt.Append(text, strconv.FormatComplex(v.Complex(), 'g', -1, v.Type().Bits()))
	case v.Kind() == reflect.String:
		return append(text, v.String()...)
	case v.Kind() == reflect.Interface:
		w := (*words)(v.Addr().UnsafePointer())
		return fmt.Appendf(text, "(%#x,%#x)", uintptr(w.tab), uintptr(w.data))
	case v.Kind() == reflect.Slice:
		return fmt.Appendf(text, "[%d/%d]%#x", v.Len(), v.Cap(), v.Pointer())
	}
	return fmt.Appendf(text, "%#x", uintptr(*(*unsafe.Pointer)(v.Addr().UnsafePointer())))
}
