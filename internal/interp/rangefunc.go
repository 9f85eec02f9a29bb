package interp

import (
	"slices"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// A range over a function is a call of that function with a yield function, made by go/ssa. Both look at a variable, the
// loop's state. go/ssa keeps it as the Go compiler does but for two things that a wrong iterator can show: what the state
// is once the loop has been left early, and that a misuse counts as a panic of the body. And it panics with strings where
// the runtime has errors.

// States of a loop besides ready and, above ready, left early.
const (
	loopReady = 0
	loopBusy  = -1 // in the body, or the body has panicked
	loopOver  = -2
)

// isLoopState tells whether a value is the address of a loop's state.
func isLoopState(v ssa.Value) bool {
	alloc, ok := v.(*ssa.Alloc)
	return ok && strings.HasPrefix(alloc.Comment, "jump$")
}

// leaveLoop compiles the reading of a loop's state when the iterator has returned: the loop is then over.
func (c *compiler) leaveLoop(i *ssa.UnOp) instruction {
	dst, addr := c.off(i), c.off(i.X)
	return func(f *frame) {
		state := *(**int)(f.at(addr))
		*(*int)(f.at(dst)) = *state
		if *state > loopReady {
			*state = loopOver
		}
	}
}

// misuse compiles go/ssa's own panics. It is nil for those that the author wrote.
func (c *compiler) misuse(i *ssa.Panic) instruction {
	errors := c.p.errors
	switch i.Block().Comment {
	case "rangefunc.resume.busy":
		return func(*frame) { panic(errors.missingPanic()) }
	case "yield-invalid":
		header := i.Block().Preds[0]
		ready := header.Instrs[len(header.Instrs)-1].(*ssa.If).Cond.(*ssa.BinOp)
		addr := c.off(ready.X.(*ssa.UnOp).X)
		return func(f *frame) {
			state := *(**int)(f.at(addr))
			was := *state
			*state = loopBusy
			panic(errors.continued(was))
		}
	}
	return nil
}

// defersInLoops tells whether only bodies of ranges over functions defer calls of a function: then go/ssa leaves out the
// instruction that runs them.
func defersInLoops(fn *ssa.Function) bool {
	stack := false
	for _, b := range fn.Blocks {
		for _, i := range b.Instrs {
			switch i := i.(type) {
			case *ssa.Defer:
				return false
			case *ssa.Call:
				if b, ok := i.Call.Value.(*ssa.Builtin); ok && b.Name() == "ssa:deferstack" {
					stack = true
				}
			}
		}
	}
	return stack
}

// withRunDefers is a block's code with that instruction. It stands before named results are read, which the calls may
// change.
func withRunDefers(fn *ssa.Function, code []ssa.Instruction) []ssa.Instruction {
	if len(code) == 0 {
		return code
	}
	end, ok := code[len(code)-1].(*ssa.Return)
	if !ok {
		return code
	}
	at := len(code) - 1
	for at > 0 && readsResult(fn, code[at-1], end) {
		at--
	}
	return slices.Insert(slices.Clone(code), at, ssa.Instruction(new(ssa.RunDefers)))
}

// readsResult tells whether an instruction reads a named result for a return.
func readsResult(fn *ssa.Function, i ssa.Instruction, end *ssa.Return) bool {
	load, ok := i.(*ssa.UnOp)
	if !ok {
		return false
	}
	variable, ok := load.X.(*ssa.Alloc)
	if !ok || !slices.Contains(end.Results, ssa.Value(load)) {
		return false
	}
	for result := range fn.Signature.Results().Variables() {
		if result.Name() != "" && result.Pos() == variable.Pos() {
			return true
		}
	}
	return false
}
