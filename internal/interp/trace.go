package interp

import (
	"go/token"
	"strings"
)

// Frame is one interpreted function on a stack.
type Frame struct {
	Function string // package name and function, as in a Go stack trace: "chat.(*bot).answer"
	Position token.Position
}

// maxFrames bounds a trace: the innermost and outermost of a deep recursion tell enough.
const maxFrames = 64

// trace is where the thread's innermost frame is, and who called it.
func (t *thread) trace() []Frame {
	var frames []Frame
	for f := t.top; f != nil && len(frames) < maxFrames; f = f.caller {
		if f.fn.hidden() {
			continue
		}
		frames = append(frames, Frame{Function: f.fn.name, Position: f.position()})
	}
	return frames
}

func (f *frame) position() token.Position {
	if f.block == nil {
		return f.fn.p.fset.PositionFor(f.fn.ssa.Pos(), false)
	}
	pos := token.NoPos
	// Instructions that the source does not show stand where the nearest earlier one does.
	for i := min(f.pc, len(f.block.pos)-1); i >= 0 && !pos.IsValid(); i-- {
		pos = f.block.pos[i]
	}
	for i := f.pc; i < len(f.block.pos) && !pos.IsValid(); i++ {
		pos = f.block.pos[i]
	}
	if !pos.IsValid() {
		pos = f.fn.ssa.Pos()
	}
	return f.fn.p.fset.PositionFor(pos, false)
}

// hidden tells whether a function is not the author's: a wrapper that SSA adds, or a part of the standard library that is
// interpreted.
func (fn *function) hidden() bool {
	return fn.wrapper || !fn.ssa.Pos().IsValid() || strings.HasPrefix(fn.path, "coma.std/")
}
