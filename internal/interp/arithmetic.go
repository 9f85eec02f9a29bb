package interp

import (
	"fmt"
	"go/constant"
	"go/token"
	"reflect"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

type integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

type float interface{ ~float32 | ~float64 }

type complexNumber interface{ ~complex64 | ~complex128 }

// arithmetic compiles operations on one kind of number. Each closure is the compiler's own code for that kind, so that
// overflow, division by zero, rounding and NaN are as in a compiled program.
type arithmetic struct {
	unary   func(op token.Token, dst, x uintptr) instruction
	binary  func(op token.Token, dst, x, y uintptr) instruction
	shiftBy func(op token.Token, dst, x uintptr, n uint) instruction
	shift   func(op token.Token, dst, x uintptr, count func(f *frame) uint64) instruction
}

var arithmetics = map[reflect.Kind]arithmetic{
	reflect.Int: integers[int](), reflect.Int8: integers[int8](), reflect.Int16: integers[int16](),
	reflect.Int32: integers[int32](), reflect.Int64: integers[int64](), reflect.Uint: integers[uint](),
	reflect.Uint8: integers[uint8](), reflect.Uint16: integers[uint16](), reflect.Uint32: integers[uint32](),
	reflect.Uint64: integers[uint64](), reflect.Uintptr: integers[uintptr](),
	reflect.Float32: floats[float32](), reflect.Float64: floats[float64](),
	reflect.Complex64: complexes[complex64](), reflect.Complex128: complexes[complex128](),
	reflect.String: {binary: stringBinary},
}

func arithmeticFor(k reflect.Kind) arithmetic {
	a, ok := arithmetics[k]
	if !ok {
		panic(&buildError{text: "arithmetic on " + k.String()})
	}
	return a
}

func integers[T integer]() arithmetic {
	return arithmetic{integerUnary[T], integerBinary[T], integerShiftBy[T], integerShift[T]}
}

func integerUnary[T integer](op token.Token, dst, x uintptr) instruction {
	switch op {
	case token.SUB:
		return func(f *frame) { *(*T)(f.at(dst)) = -*(*T)(f.at(x)) }
	case token.XOR:
		return func(f *frame) { *(*T)(f.at(dst)) = ^*(*T)(f.at(x)) }
	}
	panic(&buildError{text: "operator " + op.String()})
}

func integerBinary[T integer](op token.Token, dst, x, y uintptr) instruction {
	switch op {
	case token.ADD:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) + *(*T)(f.at(y)) }
	case token.SUB:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) - *(*T)(f.at(y)) }
	case token.MUL:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) * *(*T)(f.at(y)) }
	case token.QUO:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) / *(*T)(f.at(y)) }
	case token.REM:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) % *(*T)(f.at(y)) }
	case token.AND:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) & *(*T)(f.at(y)) }
	case token.OR:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) | *(*T)(f.at(y)) }
	case token.XOR:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) ^ *(*T)(f.at(y)) }
	case token.AND_NOT:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) &^ *(*T)(f.at(y)) }
	}
	return ordered[T](op, dst, x, y)
}

// integerShiftBy shifts by a constant below 64.
func integerShiftBy[T integer](op token.Token, dst, x uintptr, n uint) instruction {
	if op == token.SHL {
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) << (n & 63) }
	}
	return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) >> (n & 63) }
}

func integerShift[T integer](op token.Token, dst, x uintptr, count func(f *frame) uint64) instruction {
	if op == token.SHL {
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) << count(f) }
	}
	return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) >> count(f) }
}

// ordered compiles comparisons.
func ordered[T integer | float | ~string](op token.Token, dst, x, y uintptr) instruction {
	switch op {
	case token.EQL:
		return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) == *(*T)(f.at(y)) }
	case token.NEQ:
		return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) != *(*T)(f.at(y)) }
	case token.LSS:
		return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) < *(*T)(f.at(y)) }
	case token.LEQ:
		return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) <= *(*T)(f.at(y)) }
	case token.GTR:
		return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) > *(*T)(f.at(y)) }
	case token.GEQ:
		return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) >= *(*T)(f.at(y)) }
	}
	panic(&buildError{text: "operator " + op.String()})
}

func floats[T float]() arithmetic {
	return arithmetic{
		unary: func(op token.Token, dst, x uintptr) instruction {
			return func(f *frame) { *(*T)(f.at(dst)) = -*(*T)(f.at(x)) }
		},
		binary: func(op token.Token, dst, x, y uintptr) instruction {
			switch op {
			case token.ADD:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) + *(*T)(f.at(y)) }
			case token.SUB:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) - *(*T)(f.at(y)) }
			case token.MUL:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) * *(*T)(f.at(y)) }
			case token.QUO:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) / *(*T)(f.at(y)) }
			}
			return ordered[T](op, dst, x, y)
		},
	}
}

func complexes[T complexNumber]() arithmetic {
	return arithmetic{
		unary: func(op token.Token, dst, x uintptr) instruction {
			return func(f *frame) { *(*T)(f.at(dst)) = -*(*T)(f.at(x)) }
		},
		binary: func(op token.Token, dst, x, y uintptr) instruction {
			switch op {
			case token.ADD:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) + *(*T)(f.at(y)) }
			case token.SUB:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) - *(*T)(f.at(y)) }
			case token.MUL:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) * *(*T)(f.at(y)) }
			case token.QUO:
				return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(x)) / *(*T)(f.at(y)) }
			case token.EQL:
				return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) == *(*T)(f.at(y)) }
			case token.NEQ:
				return func(f *frame) { *(*bool)(f.at(dst)) = *(*T)(f.at(x)) != *(*T)(f.at(y)) }
			}
			panic(&buildError{text: "operator " + op.String()})
		},
	}
}

func stringBinary(op token.Token, dst, x, y uintptr) instruction {
	if op == token.ADD {
		return func(f *frame) { *(*string)(f.at(dst)) = *(*string)(f.at(x)) + *(*string)(f.at(y)) }
	}
	return ordered[string](op, dst, x, y)
}

func (c *compiler) binary(i *ssa.BinOp) instruction {
	dst, x, y := c.off(i), c.off(i.X), c.off(i.Y)
	t := c.place(i.X).t
	switch i.Op {
	case token.SHL, token.SHR:
		if n, ok := i.Y.(*ssa.Const); ok {
			if count, exact := constant.Uint64Val(constant.ToInt(n.Value)); exact && count < 64 {
				return arithmeticFor(t.Kind()).shiftBy(i.Op, dst, x, uint(count))
			}
		}
		return arithmeticFor(t.Kind()).shift(i.Op, dst, x, shiftCount(c.place(i.Y)))
	case token.EQL, token.NEQ:
		if _, ok := arithmetics[t.Kind()]; !ok {
			return c.equal(i)
		}
	}
	return arithmeticFor(t.Kind()).binary(i.Op, dst, x, y)
}

// shiftCount reads the count of a shift. A negative one panics as it does in compiled code.
func shiftCount(p place) func(f *frame) uint64 {
	signed := func(n int64) uint64 {
		if n < 0 {
			return 1 << n // the runtime's panic
		}
		return uint64(n)
	}
	off := p.off
	switch p.t.Kind() {
	case reflect.Int:
		return func(f *frame) uint64 { return signed(int64(*(*int)(f.at(off)))) }
	case reflect.Int8:
		return func(f *frame) uint64 { return signed(int64(*(*int8)(f.at(off)))) }
	case reflect.Int16:
		return func(f *frame) uint64 { return signed(int64(*(*int16)(f.at(off)))) }
	case reflect.Int32:
		return func(f *frame) uint64 { return signed(int64(*(*int32)(f.at(off)))) }
	case reflect.Int64:
		return func(f *frame) uint64 { return signed(*(*int64)(f.at(off))) }
	case reflect.Uint8:
		return func(f *frame) uint64 { return uint64(*(*uint8)(f.at(off))) }
	case reflect.Uint16:
		return func(f *frame) uint64 { return uint64(*(*uint16)(f.at(off))) }
	case reflect.Uint32:
		return func(f *frame) uint64 { return uint64(*(*uint32)(f.at(off))) }
	}
	return func(f *frame) uint64 { return *(*uint64)(f.at(off)) }
}

// beforeComparison is an operand of a comparison before go/ssa has made it an interface of the other operand's type, which
// its dynamic type may not implement.
func beforeComparison(v ssa.Value) ssa.Value {
	if change, ok := v.(*ssa.ChangeInterface); ok {
		return change.X
	}
	return v
}

// equal compiles == and != on what is not a number or a string.
func (c *compiler) equal(i *ssa.BinOp) instruction {
	left, right := beforeComparison(i.X), beforeComparison(i.Y)
	dst, x, y := c.off(i), c.off(left), c.off(right)
	want := i.Op == token.EQL
	t, other := c.place(left).t, c.place(right).t
	// An interface compares with a value of another type only after conversion, which SSA has made explicit; a nil
	// constant may have either side's type.
	if t.Kind() != other.Kind() {
		panic(&buildError{text: fmt.Sprintf("comparison of %v and %v", t, other)})
	}
	switch t.Kind() {
	case reflect.Bool:
		return func(f *frame) { *(*bool)(f.at(dst)) = (*(*bool)(f.at(x)) == *(*bool)(f.at(y))) == want }
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Slice:
		// Slices, maps and functions compare with nil alone.
		return func(f *frame) {
			*(*bool)(f.at(dst)) = (*(*unsafe.Pointer)(f.at(x)) == *(*unsafe.Pointer)(f.at(y))) == want
		}
	case reflect.Interface:
		left, right := t.NumMethod() > 0, other.NumMethod() > 0
		return func(f *frame) {
			*(*bool)(f.at(dst)) = (anyAt(f.at(x), left) == anyAt(f.at(y), right)) == want
		}
	}
	rtype := rtypeOf(t)
	direct := pointerShaped(t)
	return func(f *frame) {
		a := words{rtype, boxedView(direct, f.at(x))}
		b := words{rtype, boxedView(direct, f.at(y))}
		*(*bool)(f.at(dst)) = (*(*any)(unsafe.Pointer(&a)) == *(*any)(unsafe.Pointer(&b))) == want
	}
}

// boxedView is the data word of an interface that looks at the value at p, for as long as nobody changes it.
func boxedView(direct bool, p unsafe.Pointer) unsafe.Pointer {
	if direct {
		return *(*unsafe.Pointer)(p)
	}
	return p
}
