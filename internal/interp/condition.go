package interp

import (
	"go/token"
	"reflect"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// condition is a comparison that only decides where a block goes on, and so needs no register.
type condition func(f *frame) bool

// fusible tells whether a branch's condition is such a comparison.
func fusible(i *ssa.If) (*ssa.BinOp, bool) {
	cond, ok := i.Cond.(*ssa.BinOp)
	if !ok || cond.Block() != i.Block() {
		return nil, false
	}
	for _, user := range *cond.Referrers() {
		if _, note := user.(*ssa.DebugRef); !note && user != ssa.Instruction(i) {
			return nil, false
		}
	}
	return cond, true
}

// condition compiles a branch's condition. It is nil where the block has to look at a register.
func (c *compiler) condition(i *ssa.If) condition {
	cond, ok := fusible(i)
	if !ok {
		return nil
	}
	x, y := c.place(cond.X), c.off(cond.Y)
	switch x.t.Kind() {
	case reflect.Int:
		return compare[int](cond.Op, x.off, y)
	case reflect.Int32:
		return compare[int32](cond.Op, x.off, y)
	case reflect.Int64:
		return compare[int64](cond.Op, x.off, y)
	case reflect.Uint8:
		return compare[uint8](cond.Op, x.off, y)
	case reflect.Uint64:
		return compare[uint64](cond.Op, x.off, y)
	case reflect.Float64:
		return compare[float64](cond.Op, x.off, y)
	case reflect.String:
		return compare[string](cond.Op, x.off, y)
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.Slice:
		return same(cond.Op, x.off, y)
	}
	return nil
}

func compare[T integer | float | ~string](op token.Token, x, y uintptr) condition {
	switch op {
	case token.EQL:
		return func(f *frame) bool { return *(*T)(f.at(x)) == *(*T)(f.at(y)) }
	case token.NEQ:
		return func(f *frame) bool { return *(*T)(f.at(x)) != *(*T)(f.at(y)) }
	case token.LSS:
		return func(f *frame) bool { return *(*T)(f.at(x)) < *(*T)(f.at(y)) }
	case token.LEQ:
		return func(f *frame) bool { return *(*T)(f.at(x)) <= *(*T)(f.at(y)) }
	case token.GTR:
		return func(f *frame) bool { return *(*T)(f.at(x)) > *(*T)(f.at(y)) }
	case token.GEQ:
		return func(f *frame) bool { return *(*T)(f.at(x)) >= *(*T)(f.at(y)) }
	}
	return nil
}

func same(op token.Token, x, y uintptr) condition {
	switch op {
	case token.EQL:
		return func(f *frame) bool { return *(*unsafe.Pointer)(f.at(x)) == *(*unsafe.Pointer)(f.at(y)) }
	case token.NEQ:
		return func(f *frame) bool { return *(*unsafe.Pointer)(f.at(x)) != *(*unsafe.Pointer)(f.at(y)) }
	}
	return nil
}

// fused tells whether an instruction is the condition of its block's branch, which is compiled with that.
func (c *compiler) fused(i ssa.Instruction) bool {
	if _, ok := i.(*ssa.BinOp); !ok {
		return false
	}
	branch, ok := i.Block().Instrs[len(i.Block().Instrs)-1].(*ssa.If)
	return ok && branch.Cond == valueOf(i) && c.condition(branch) != nil
}
