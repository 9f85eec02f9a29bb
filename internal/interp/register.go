package interp

import (
	"go/constant"
	"go/types"
	"reflect"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// place is where a value is in its function's frames.
type place struct {
	off  uintptr
	t    reflect.Type
	copy copier
}

// alias is a value that is a part of another's register.
type alias struct {
	of  ssa.Value
	off uintptr
}

type fill struct {
	slot  int
	write func(p unsafe.Pointer)
}

// assign gives an instruction's result, and the constants among its operands, their registers.
func (c *compiler) assign(i ssa.Instruction) {
	var operands [16]*ssa.Value
	for _, op := range i.Operands(operands[:0]) {
		if *op != nil {
			c.constant(*op)
		}
	}
	switch i.(type) {
	case *ssa.Defer, *ssa.RunDefers:
		c.fn.defers = true
	}
	v, ok := i.(ssa.Value)
	if !ok {
		return
	}
	switch v := v.(type) {
	case *ssa.ChangeType:
		c.alias[v] = alias{of: v.X}
		return
	case *ssa.Extract:
		c.alias[v] = alias{of: v.Tuple, off: c.typeOf(v.Tuple.Type()).Field(v.Index).Offset}
		return
	case *ssa.Field:
		c.alias[v] = alias{of: v.X, off: c.typeOf(v.X.Type()).Field(v.Field).Offset}
		return
	case *ssa.Range:
		c.slots[v] = c.layout.add(reflect.TypeFor[unsafe.Pointer]())
		return
	case *ssa.Phi:
		c.slots[v] = c.layout.add(c.typeOf(v.Type()))
		if _, several := v.Block().Instrs[1].(*ssa.Phi); several || v.Block().Instrs[0] != ssa.Instruction(v) {
			c.extra[v] = c.layout.add(c.typeOf(v.Type()))
		}
		return
	case *ssa.Alloc:
		c.slots[v] = c.layout.add(c.typeOf(v.Type()))
		if !v.Heap {
			c.extra[v] = c.layout.add(c.typeOf(deref(v.Type())))
		}
		return
	}
	if t, ok := v.Type().(*types.Tuple); ok && t.Len() == 0 {
		return
	}
	if b, ok := v.Type().(*types.Basic); ok && b.Kind() == types.Invalid {
		c.slots[v] = c.layout.add(reflect.TypeFor[unsafe.Pointer]())
		return
	}
	c.slots[v] = c.layout.add(c.typeOf(v.Type()))
}

func deref(t types.Type) types.Type { return t.Underlying().(*types.Pointer).Elem() }

// constant gives a value that is known before the function runs its register.
func (c *compiler) constant(v ssa.Value) {
	if _, known := c.slots[v]; known {
		return
	}
	var write func(p unsafe.Pointer)
	var t reflect.Type
	switch v := v.(type) {
	case *ssa.Const:
		t = c.typeOf(v.Type())
		if v.Value != nil {
			write = func(p unsafe.Pointer) { setConstant(valueAt(t, p), v.Value) }
		}
	case *ssa.Global:
		t = c.typeOf(v.Type())
		write = func(p unsafe.Pointer) { *(*unsafe.Pointer)(p) = c.p.global(v) }
	case *ssa.Function:
		if v.Signature.Recv() != nil {
			return // only ever called
		}
		if !c.valued[v] {
			return
		}
		t = c.typeOf(v.Signature)
		write = func(p unsafe.Pointer) { valueAt(t, p).Set(c.p.function(v).native(t)) }
	default:
		return
	}
	c.slots[v] = c.layout.add(t)
	if write != nil {
		c.fills = append(c.fills, fill{c.slots[v], write})
	}
}

// findValued finds the functions that are more than called by name in the function that is being compiled.
func (c *compiler) findValued() {
	c.valued = map[*ssa.Function]bool{}
	var few [16]*ssa.Value
	for _, b := range c.fn.ssa.Blocks {
		for _, i := range b.Instrs {
			var callee *ssa.Value
			operands := i.Operands(few[:0])
			switch i := i.(type) {
			case *ssa.DebugRef:
				continue
			case ssa.CallInstruction:
				callee = &i.Common().Value
			case *ssa.MakeClosure:
				callee = &i.Fn
			}
			for _, op := range operands {
				if fn, ok := (*op).(*ssa.Function); ok && op != callee {
					c.valued[fn] = true
				}
			}
		}
	}
}

func setConstant(v reflect.Value, c constant.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(constant.BoolVal(c))
	case reflect.String:
		if c.Kind() == constant.Int { // string(rune) of a constant
			n, _ := constant.Int64Val(c)
			v.SetString(string(rune(n)))
			return
		}
		v.SetString(constant.StringVal(c))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, _ := constant.Int64Val(constant.ToInt(c))
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, _ := constant.Uint64Val(constant.ToInt(c))
		v.SetUint(n)
	case reflect.Float32:
		n, _ := constant.Float32Val(c)
		v.SetFloat(float64(n))
	case reflect.Float64:
		n, _ := constant.Float64Val(c)
		v.SetFloat(n)
	case reflect.Complex64, reflect.Complex128:
		re, _ := constant.Float64Val(constant.Real(c))
		im, _ := constant.Float64Val(constant.Imag(c))
		v.SetComplex(complex(re, im))
	case reflect.UnsafePointer:
		n, _ := constant.Uint64Val(constant.ToInt(c))
		*(*uintptr)(v.Addr().UnsafePointer()) = uintptr(n)
	default:
		panic(&buildError{text: "a constant of type " + v.Type().String()})
	}
}

func (c *compiler) assignResults() {
	results := c.fn.ssa.Signature.Results()
	switch results.Len() {
	case 0:
		return
	case 1:
		c.fn.results = c.typeOf(results.At(0).Type())
		c.fn.resultOffs = []uintptr{0}
	default:
		c.fn.results = c.typeOf(results)
		for i := range results.Len() {
			c.fn.resultOffs = append(c.fn.resultOffs, c.fn.results.Field(i).Offset)
		}
	}
	c.fn.resultRType = rtypeOf(c.fn.results)
}

// layOut makes the memory of a fresh frame.
func (c *compiler) layOut() {
	c.fn.frameRType = rtypeOf(c.layout.frame())
	c.fn.template = unsafeNew(c.fn.frameRType)
	constant := map[int]bool{}
	for _, f := range c.fills {
		f.write(unsafe.Add(c.fn.template, c.layout.offs[f.slot]))
		constant[f.slot] = true
	}
	for n, t := range c.layout.types {
		c.fn.holds = c.fn.holds || !constant[n] && hasPointers(t)
	}
}

// place is where a value is.
func (c *compiler) place(v ssa.Value) place {
	if p, ok := c.places[v]; ok {
		return p
	}
	var p place
	if a, ok := c.alias[v]; ok {
		p = c.place(a.of)
		p.off += a.off
		p.t = c.typeOf(v.Type())
	} else if i, ok := c.slots[v]; ok {
		p = place{off: c.layout.offs[i], t: c.layout.types[i]}
	} else {
		panic(&buildError{text: "no register for " + v.Name() + " = " + v.String()})
	}
	p.copy = copierOf(p.t)
	c.places[v] = p
	return p
}

func (c *compiler) off(v ssa.Value) uintptr { return c.place(v).off }

// spare is the second register of an instruction.
func (c *compiler) spare(v ssa.Value) uintptr { return c.layout.offs[c.extra[v]] }

func moveOf[T any](dst, src uintptr) instruction {
	return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(src)) }
}

// move copies one register to another.
func move(dst, src uintptr, t reflect.Type) instruction {
	switch shapeOf(t) {
	case shape8:
		return moveOf[uint8](dst, src)
	case shape16:
		return moveOf[uint16](dst, src)
	case shape32:
		return moveOf[uint32](dst, src)
	case shape64:
		return moveOf[uint64](dst, src)
	case shapePointer:
		return moveOf[unsafe.Pointer](dst, src)
	case shapeString:
		return moveOf[string](dst, src)
	}
	copy := copierOf(t)
	return func(f *frame) { copy(f.at(dst), f.at(src)) }
}
