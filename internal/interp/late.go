package interp

import (
	"go/token"
	"go/types"
	"reflect"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// late tells whether an instruction is one that the compiler leaves in its expression. Those that it copies to a variable
// of its own on the spot are not.
func (o *order) late(i ssa.Instruction) bool {
	switch i := i.(type) {
	case *ssa.UnOp:
		return i.Op != token.ARROW
	case *ssa.BinOp:
		switch i.X.Type().Underlying().(type) {
		case *types.Struct, *types.Array:
			return o.addressable(i.X) && o.addressable(i.Y)
		}
		return true
	case *ssa.ChangeType, *ssa.ChangeInterface, *ssa.MakeInterface, *ssa.MultiConvert, *ssa.FieldAddr, *ssa.IndexAddr, *ssa.Field, *ssa.Index,
		*ssa.MakeClosure, *ssa.Extract, *ssa.SliceToArrayPointer:
		return true
	case *ssa.Convert:
		from, ok := i.X.Type().Underlying().(*types.Basic)
		_, slice := i.Type().Underlying().(*types.Slice)
		return !ok || from.Info()&types.IsString == 0 || !slice
	case *ssa.Lookup:
		if m, ok := i.X.Type().Underlying().(*types.Map); ok && !o.fastKey(m) && !o.addressable(i.Index) {
			o.need(i)
		}
		return true
	case *ssa.Slice:
		return o.isFresh(root(i.X)) // a slice literal
	case *ssa.TypeAssert:
		return !i.CommaOk && pointerShaped(o.p.types.of(i.AssertedType))
	}
	return false
}

// boxedEarly tells whether a value is copied on the spot because it will be put into an interface by its address.
func (o *order) boxedEarly(i ssa.Instruction) bool {
	v, ok := i.(ssa.Value)
	if !ok || v.Referrers() == nil {
		return false
	}
	for _, user := range *v.Referrers() {
		if box, ok := user.(*ssa.MakeInterface); ok {
			return o.boxedByAddress(box.X.Type()) && !o.addressable(v)
		}
	}
	return false
}

// addressable tells whether a value is read from a variable, rather than made in the expression.
func (o *order) addressable(v ssa.Value) bool {
	switch v := v.(type) {
	case *ssa.Const:
		return true
	case *ssa.UnOp:
		_, converted := v.X.(*ssa.SliceToArrayPointer)
		return v.Op == token.MUL && !converted && !o.isFresh(root(v.X))
	}
	return false
}

// boxedByAddress tells whether the compiler makes an interface of a value of this type by a function that wants its
// address (cmd/compile/internal/walk/convert.go, dataWordFuncName).
func (o *order) boxedByAddress(t types.Type) bool {
	switch shapeOf(o.p.types.of(t)) {
	case shape16, shape32, shape64, shapeString, shapeSlice:
		return false
	}
	return true
}

// fastKey tells whether the runtime has functions for a map that take its key by value (cmd/compile/internal/walk/walk.go,
// mapfast).
func (o *order) fastKey(m *types.Map) bool {
	const maxFastElem = 128 // bytes
	if o.p.types.of(m.Elem()).Size() > maxFastElem {
		return false
	}
	key := o.p.types.of(m.Key())
	return slices.Contains([]shape{shape32, shape64, shapePointer, shapeString}, shapeOf(key)) && key.Kind() != reflect.Float32 && key.Kind() != reflect.Float64
}
