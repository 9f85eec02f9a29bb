package interp

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
	"strings"

	"golang.org/x/tools/go/ssa"
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
		if f.fn.hidden() && !f.initialises() {
			continue
		}
		frames = append(frames, Frame{Function: f.fn.name, Position: f.position()})
		if f.deferredBy != nil && f.deferredBy.broken != nil {
			// What panicked is still on a compiled program's stack while deferred functions run.
			return append(frames, f.deferredBy.broken...)
		}
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
	syntax := f.fn.ssa.Syntax()
	if f.fn.initialiser() {
		syntax = f.fn.p.fileAt(f.fn.ssa.Pkg.Pkg, pos)
	}
	return f.fn.p.fset.PositionFor(startOf(syntax, pos), false)
}

// initialiser tells whether a function is the one that go/ssa makes of a package's variables and init functions.
func (fn *function) initialiser() bool { return fn.ssa.Synthetic == "package initializer" }

// initialises tells whether the frame computes a package variable. If not, it only calls an init function.
func (f *frame) initialises() bool {
	return f.fn.initialiser() && f.block != nil && f.pc < len(f.block.pos) && f.block.pos[f.pc].IsValid()
}

// fileAt is the file of a package that has a position; nil if it is not known.
func (p *Program) fileAt(pkg *types.Package, pos token.Pos) ast.Node {
	for _, file := range p.files[pkg] {
		if file.FileStart <= pos && pos < file.FileEnd {
			return file
		}
	}
	return nil
}

// startOf is where the expression or statement begins that SSA knows by a place within it: a call by its parenthesis.
func startOf(syntax ast.Node, pos token.Pos) token.Pos {
	if syntax == nil || syntax.Pos() > pos || pos >= syntax.End() {
		return pos
	}
	start := pos
	ast.Inspect(syntax, func(n ast.Node) bool {
		if n == nil || n.Pos() > pos || pos >= n.End() {
			return false
		}
		within := token.NoPos
		switch n := n.(type) {
		case *ast.CallExpr:
			within = n.Lparen
		case *ast.IndexExpr:
			within = n.Lbrack
		case *ast.SliceExpr:
			within = n.Lbrack
		case *ast.TypeAssertExpr:
			within = n.Lparen
		case *ast.SelectorExpr:
			within = n.Sel.Pos()
		case *ast.BinaryExpr:
			within = n.OpPos
		case *ast.SendStmt:
			within = n.Arrow
		case *ast.AssignStmt:
			within = n.TokPos
		}
		if within == pos {
			start = n.Pos()
		}
		return true
	})
	return start
}

// hidden tells whether a function is not the author's: a wrapper that SSA adds, or a part of the standard library that is
// interpreted.
func (fn *function) hidden() bool {
	return fn.wrapper || !fn.ssa.Pos().IsValid() || strings.HasPrefix(fn.path, "coma.std/")
}

// nameOf is a function's name as Go's own traces write it: chat.Run, chat.(*bot).answer, chat.Run.func1.
func nameOf(fn *ssa.Function) string {
	if parent := fn.Parent(); parent != nil {
		number := fn.Name()[strings.LastIndexByte(fn.Name(), '$')+1:]
		if parent.Parent() == nil {
			number = "func" + number
		}
		return nameOf(parent) + "." + number
	}
	name := fn.Name()
	if n, ok := strings.CutPrefix(name, "init#"); ok { // go/ssa counts from one
		if n, err := strconv.Atoi(n); err == nil {
			name = fmt.Sprintf("init.%d", n-1)
		}
	}
	generic := ""
	if i := strings.IndexByte(name, '['); i > 0 {
		name, generic = name[:i], "[...]"
	}
	pkg := ""
	if obj := fn.Object(); obj != nil && obj.Pkg() != nil {
		pkg = obj.Pkg().Name() + "."
	} else if fn.Pkg != nil {
		pkg = fn.Pkg.Pkg.Name() + "."
	}
	recv := fn.Signature.Recv()
	if recv == nil {
		return pkg + name + generic
	}
	t := types.Unalias(recv.Type())
	pointer, _ := t.(*types.Pointer)
	if pointer != nil {
		t = types.Unalias(pointer.Elem())
	}
	owner := "?"
	if named, ok := t.(*types.Named); ok {
		owner = named.Obj().Name()
		if named.TypeArgs().Len() > 0 {
			owner += "[...]"
		}
	}
	if pointer != nil {
		owner = "(*" + owner + ")"
	}
	return pkg + owner + "." + name
}
