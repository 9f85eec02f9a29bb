package module

import (
	"go/ast"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// For each function that a panic leaves, yaegi tells the place of the function's first statement, not of the one that
// was running. Which one it was can often be told from the source: the Go stack shows which kind of operation panicked
// (see operation), and the function below shows what was called. Where one place alone in the function fits, that is the
// place; else the frame is left at the function's beginning, with no column.

// operation is what panicked, as the Go stack shows it.
type operation struct {
	generator string // the function of yaegi that made the operation's closure: "_panic", "getIndexArray", "callBin" …
	callee    string // the function of the host that panicked, if one did: "Repeat"
}

const interpreter = "github.com/traefik/yaegi/interp."

// panicking reads the operation from the current goroutine's stack, in which a panic is being passed on.
func panicking() operation {
	var pcs [lookUp]uintptr
	var op operation
	thrown, done := false, false
	walk(pcs[:], func(function string) {
		switch {
		case done:
		case function == "runtime.gopanic":
			thrown = true
		case !thrown, strings.HasPrefix(function, "runtime."), strings.HasPrefix(function, "reflect."):
		case strings.HasPrefix(function, interpreter):
			op.generator, _, _ = strings.Cut(strings.TrimPrefix(function, interpreter), ".")
			done = true
		default:
			op.callee = function[strings.LastIndexByte(function, '.')+1:]
		}
	})
	return op
}

// refine finds the places in the functions of a trace, innermost first, and gives the functions their names.
func (c *code) refine(frames []Frame, op operation) []Frame {
	refined := make([]Frame, len(frames))
	var below *function
	for i, frame := range frames {
		fn := c.function(frame)
		refined[i] = frame
		if fn == nil {
			continue
		}
		refined[i].Function = fn.name
		var places []token.Pos
		if i == 0 {
			places = fn.places(op.fits)
		} else if below != nil {
			places = fn.places(below.calledBy(fn))
		}
		below = fn
		if len(places) == 1 {
			at := c.fset.PositionFor(places[0], false)
			refined[i].Line, refined[i].Column = at.Line, at.Column
		} else {
			refined[i].Line, refined[i].Column = c.fset.PositionFor(fn.node.Pos(), false).Line, 0
		}
	}
	return refined
}

// function is a function declaration or literal of the module.
type function struct {
	node ast.Node
	body *ast.BlockStmt
	decl *ast.FuncDecl // nil for a literal
	name string        // chat.Run, chat.(*T).get, chat.Run.func
}

// function finds the innermost one around a place.
func (c *code) function(at Frame) *function {
	for name, f := range c.files {
		if f.shown != at.File {
			continue
		}
		file := c.fset.File(f.ast.Pos())
		if at.Line < 1 || at.Line > file.LineCount() {
			return nil
		}
		pos := file.LineStart(at.Line) + token.Pos(at.Column-1)
		var found *function
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Body != nil && n.Body.Pos() <= pos && pos < n.Body.End() {
					found = &function{n, n.Body, n, c.packages[strings.TrimPrefix(path.Dir(name), sourceRoot+"/")] + "." + declared(n)}
				}
			case *ast.FuncLit:
				if n.Body.Pos() <= pos && pos < n.Body.End() {
					outer := f.ast.Name.Name
					if found != nil {
						outer = found.name
					}
					found = &function{n, n.Body, nil, outer + ".func"}
				}
			}
			return true
		})
		return found
	}
	return nil
}

// declared is a function's name as Go's own traces write it: Run, T.get, (*T).get.
func declared(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	receiver := fn.Recv.List[0].Type
	star, pointer := receiver.(*ast.StarExpr)
	if pointer {
		receiver = star.X
	}
	name := "?"
	switch t := receiver.(type) {
	case *ast.Ident:
		name = t.Name
	case *ast.IndexExpr:
		name = lastName(t.X)
	case *ast.IndexListExpr:
		name = lastName(t.X)
	}
	if pointer {
		name = "(*" + name + ")"
	}
	return name + "." + fn.Name.Name
}

// places are where something in the function's own body fits, function literals inside it left out.
func (fn *function) places(fits func(ast.Node) bool) []token.Pos {
	var places []token.Pos
	ast.Inspect(fn.body, func(n ast.Node) bool {
		if n != nil && fits(n) {
			places = append(places, n.Pos())
		}
		_, literal := n.(*ast.FuncLit)
		return !literal
	})
	return places
}

// calledBy fits the calls of fn in the body of another function.
func (fn *function) calledBy(caller *function) func(ast.Node) bool {
	if fn.decl != nil {
		return callsOf(fn.decl.Name.Name)
	}
	// A literal is called where it stands, or by the name of a variable that it was assigned to.
	names := map[string]bool{}
	ast.Inspect(caller.body, func(n ast.Node) bool {
		if assign, ok := n.(*ast.AssignStmt); ok {
			for i, value := range assign.Rhs {
				if value == fn.node && i < len(assign.Lhs) {
					names[lastName(assign.Lhs[i])] = true
				}
			}
		}
		return true
	})
	return func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		return ok && (ast.Unparen(call.Fun) == fn.node || names[lastName(call.Fun)])
	}
}

func callsOf(name string) func(ast.Node) bool {
	return func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		return ok && lastName(call.Fun) == name
	}
}

// lastName is x of x and of y.x, else "".
func lastName(e ast.Expr) string {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// fits tells whether a part of the source can be the operation. It rather says yes to too much: only a place that is
// alone counts.
func (op operation) fits(n ast.Node) bool {
	if op.callee != "" {
		return callsOf(op.callee)(n)
	}
	switch generator := op.generator; {
	case generator == "_panic":
		return callsOf("panic")(n)
	case generator == "_close":
		return callsOf("close")(n)
	case generator == "send":
		_, ok := n.(*ast.SendStmt)
		return ok
	case generator == "assign":
		assign, ok := n.(*ast.AssignStmt)
		if !ok {
			return false
		}
		for _, left := range assign.Lhs {
			if _, ok := left.(*ast.IndexExpr); ok {
				return true
			}
		}
		return false
	case strings.HasPrefix(generator, "slice"):
		_, ok := n.(*ast.SliceExpr)
		return ok
	case strings.HasPrefix(generator, "typeAssert"):
		_, ok := n.(*ast.TypeAssertExpr)
		return ok
	case strings.HasPrefix(generator, "quo"), strings.HasPrefix(generator, "rem"):
		return divides(n)
	case strings.HasPrefix(generator, "getPtrIndexSeq"), strings.HasPrefix(generator, "getIndexSeq"), generator == "deref":
		return dereferences(n)
	case strings.HasPrefix(generator, "getIndex"):
		_, ok := n.(*ast.IndexExpr)
		return ok
	}
	return false
}

func divides(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return n.Op == token.QUO || n.Op == token.REM
	case *ast.AssignStmt:
		return n.Tok == token.QUO_ASSIGN || n.Tok == token.REM_ASSIGN
	}
	return false
}

// dereferences tells a pointer or selector of a value from pointer types and members of packages. A package's name and
// a type of another file are not declared in the file itself.
func dereferences(n ast.Node) bool {
	var of ast.Expr
	switch n := n.(type) {
	case *ast.StarExpr:
		of = n.X
	case *ast.SelectorExpr:
		of = n.X
	default:
		return false
	}
	if selector, ok := of.(*ast.SelectorExpr); ok {
		of = selector.X
	}
	x, ok := of.(*ast.Ident)
	return !ok || x.Obj != nil && x.Obj.Kind == ast.Var
}

// calls finds where a function of the host, such as os.Exit, is called. It is nil unless there is one place alone.
func (c *code) calls(of string) []Frame {
	name := of[strings.LastIndexByte(of, '.')+1:]
	importPath := of[:strings.LastIndexByte(of, '.')]
	var found []Frame
	for _, f := range c.files {
		if !imports(f.ast, importPath) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if n != nil && callsOf(name)(n) {
				at := c.fset.PositionFor(n.Pos(), false)
				frame := Frame{File: f.shown, Line: at.Line, Column: at.Column}
				if fn := c.function(frame); fn != nil {
					frame.Function = fn.name
				}
				found = append(found, frame)
			}
			return true
		})
	}
	if len(found) != 1 {
		return nil
	}
	return found
}

func imports(f *ast.File, importPath string) bool {
	for _, spec := range f.Imports {
		if is, err := strconv.Unquote(spec.Path.Value); err == nil && is == importPath {
			return true
		}
	}
	return false
}
