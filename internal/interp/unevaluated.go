package interp

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"

	"github.com/concurrent-modular-agent/coma/internal/check"
)

// Expressions that Go does not evaluate, because only their type counts, though go/ssa has instructions for them.

// constantRanges makes go/ssa range over a number where a loop ranges over an array and wants the indices alone. The array
// is not evaluated then, so that it may be a nil pointer's, unless that means a call or a receive.
func constantRanges(pkg *check.Checked) {
	for _, file := range pkg.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			if loop, ok := n.(*ast.RangeStmt); ok && loop.Value == nil {
				x := ast.Unparen(loop.X)
				known := pkg.Info.Types[x]
				if array := arrayOf(known.Type); array != nil && !callsOrReceives(pkg.Info, x) {
					known.Type, known.Value = types.Typ[types.Int], constant.MakeInt64(array.Len())
					pkg.Info.Types[x] = known
				}
			}
			return true
		})
	}
}

// arrayOf is the type of an array, or of what a pointer to an array points to; nil for others.
func arrayOf(t types.Type) *types.Array {
	if t == nil {
		return nil
	}
	t = t.Underlying()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem().Underlying()
	}
	array, _ := t.(*types.Array)
	return array
}

// callsOrReceives tells whether an expression contains a call that is no constant, or a receive, so that len of it is no
// constant either.
func callsOrReceives(info *types.Info, x ast.Expr) bool {
	found := false
	ast.Inspect(x, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok && info.Types[e].Value != nil {
			return false
		}
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.UnaryExpr:
			found = found || n.Op == token.ARROW
		case *ast.CallExpr:
			found = found || !info.Types[n.Fun].IsType()
		}
		return !found
	})
	return found
}

// sizeOf is the argument of a call of unsafe.Sizeof, Alignof or Offsetof that is no constant, because a type parameter
// decides; nil for other instructions.
func sizeOf(i ssa.Instruction) ast.Expr {
	call, ok := i.(*ssa.Call)
	if !ok {
		return nil
	}
	b, ok := call.Call.Value.(*ssa.Builtin)
	if !ok || !slices.Contains([]string{"Sizeof", "Alignof", "Offsetof"}, b.Name()) || i.Parent().Syntax() == nil {
		return nil
	}
	var arg ast.Expr
	ast.Inspect(i.Parent().Syntax(), func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && call.Lparen == i.Pos() {
			arg = ast.Unparen(call.Args[0])
		}
		return arg == nil
	})
	return arg
}

// leaveOut takes the instructions out of the function that only compute arguments of unsafe.Sizeof and its like.
func (c *compiler) leaveOut() {
	fn := c.fn.ssa
	out := map[ssa.Instruction]bool{}
	for _, b := range fn.Blocks {
		for _, i := range b.Instrs {
			if arg := sizeOf(i); arg != nil {
				leaveOutOperands(i, arg, out)
			}
		}
	}
	if len(out) == 0 {
		return
	}
	c.p.types.mu.Lock() // see localSearch
	defer c.p.types.mu.Unlock()
	for _, b := range fn.Blocks {
		b.Instrs = slices.DeleteFunc(b.Instrs, func(i ssa.Instruction) bool {
			if note, ok := i.(*ssa.DebugRef); ok {
				of, ok := note.X.(ssa.Instruction)
				return ok && out[of]
			}
			return out[i]
		})
	}
}

// leaveOutOperands notes the operands of an instruction that is left out, or is the call itself, as far as they belong to
// the argument and nothing else needs them.
func leaveOutOperands(i ssa.Instruction, arg ast.Expr, out map[ssa.Instruction]bool) {
	var operands [16]*ssa.Value
	for _, op := range i.Operands(operands[:0]) {
		of, ok := (*op).(ssa.Instruction)
		if !ok || of.Pos().IsValid() && (of.Pos() < arg.Pos() || of.Pos() >= arg.End()) {
			continue
		}
		if _, choice := of.(*ssa.Phi); choice {
			continue
		}
		needed := slices.ContainsFunc(*(*op).Referrers(), func(user ssa.Instruction) bool {
			_, note := user.(*ssa.DebugRef)
			return user != i && !note && !out[user]
		})
		if !needed && !out[of] {
			out[of] = true
			leaveOutOperands(of, arg, out)
		}
	}
}

// sizeBuiltin is the result of a call of unsafe.Sizeof, Alignof or Offsetof.
func (c *compiler) sizeBuiltin(name string, call *ssa.Call) uintptr {
	x := call.Call.Args[0]
	switch name {
	case "Sizeof":
		return c.typeOf(x.Type()).Size()
	case "Alignof":
		return uintptr(c.typeOf(x.Type()).Align())
	}
	arg := sizeOf(call)
	if arg == nil {
		panic(&buildError{text: "unsafe.Offsetof without its source"})
	}
	// The field that is named, and before it those that it is promoted through, which stand where the selector begins.
	offset := uintptr(0)
	for first := true; ; first = false {
		if load, ok := x.(*ssa.UnOp); ok && load.Op == token.MUL {
			x = load.X
		}
		var owner types.Type
		var n int
		switch field := x.(type) {
		case *ssa.Field:
			owner, n = field.X.Type(), field.Field
		case *ssa.FieldAddr:
			owner, n = deref(field.X.Type()), field.Field
		}
		if owner == nil || !first && x.Pos() != arg.Pos() {
			return offset
		}
		offset += c.typeOf(owner).Field(n).Offset
		x = *x.(ssa.Instruction).Operands(nil)[0]
	}
}
