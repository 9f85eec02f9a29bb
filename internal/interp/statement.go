package interp

import (
	"go/ast"
	"go/token"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// extent is where one statement that is evaluated as a whole stands in the source: a simple statement, or what stands in
// the head of a compound one.
type extent struct{ from, to token.Pos }

// statements are the extents in a function's body, in the order of the source. None contains another: function literals
// are functions of their own.
type statements []extent

// statementsOf is empty for functions that have no source.
func (p *Program) statementsOf(fn *ssa.Function) statements {
	var s statements
	switch syntax := fn.Syntax().(type) {
	case *ast.FuncDecl:
		s.block(syntax.Body)
	case *ast.FuncLit:
		s.block(syntax.Body)
	case *ast.RangeStmt:
		s.block(syntax.Body)
	case nil:
		if fn.Pkg == nil || fn != fn.Pkg.Func("init") {
			return nil
		}
		for _, file := range p.files[fn.Pkg.Pkg] {
			for _, decl := range file.Decls {
				s.declaration(decl)
			}
		}
	}
	slices.SortFunc(s, func(a, b extent) int { return int(a.from) - int(b.from) })
	return s
}

// at is the number of the statement at a position, -1 if there is none.
func (s statements) at(pos token.Pos) int {
	n, exact := slices.BinarySearchFunc(s, pos, func(e extent, pos token.Pos) int { return int(e.from) - int(pos) })
	if !exact {
		n--
	}
	if n < 0 || pos >= s[n].to {
		return -1
	}
	return n
}

func (s *statements) add(nodes ...ast.Node) {
	for _, n := range nodes {
		*s = append(*s, extent{n.Pos(), n.End()})
	}
}

func (s *statements) expr(e ast.Expr) {
	if e != nil {
		s.add(e)
	}
}

func (s *statements) block(b *ast.BlockStmt) {
	if b != nil {
		s.list(b.List)
	}
}

func (s *statements) list(list []ast.Stmt) {
	for _, stmt := range list {
		s.stmt(stmt)
	}
}

func (s *statements) declaration(decl ast.Decl) {
	if decl, ok := decl.(*ast.GenDecl); ok && decl.Tok == token.VAR {
		for _, spec := range decl.Specs {
			s.add(spec)
		}
	}
}

func (s *statements) stmt(stmt ast.Stmt) {
	switch stmt := stmt.(type) {
	case nil, *ast.BadStmt, *ast.BranchStmt, *ast.EmptyStmt:
	case *ast.BlockStmt:
		s.block(stmt)
	case *ast.LabeledStmt:
		s.stmt(stmt.Stmt)
	case *ast.DeclStmt:
		s.declaration(stmt.Decl)
	case *ast.IfStmt:
		s.stmt(stmt.Init)
		s.expr(stmt.Cond)
		s.block(stmt.Body)
		s.stmt(stmt.Else)
	case *ast.ForStmt:
		s.stmt(stmt.Init)
		s.expr(stmt.Cond)
		s.stmt(stmt.Post)
		s.block(stmt.Body)
	case *ast.RangeStmt:
		s.expr(stmt.Key)
		s.expr(stmt.Value)
		s.expr(stmt.X)
		s.block(stmt.Body)
	case *ast.SwitchStmt:
		s.stmt(stmt.Init)
		s.expr(stmt.Tag)
		s.block(stmt.Body)
	case *ast.TypeSwitchStmt:
		s.stmt(stmt.Init)
		s.stmt(stmt.Assign)
		s.block(stmt.Body)
	case *ast.CaseClause:
		for _, e := range stmt.List {
			s.expr(e)
		}
		s.list(stmt.Body)
	case *ast.SelectStmt:
		s.block(stmt.Body)
	case *ast.CommClause:
		// Channels and values are evaluated one after the other when the select begins.
		switch comm := stmt.Comm.(type) {
		case *ast.SendStmt:
			s.add(comm.Chan, comm.Value)
		case *ast.AssignStmt:
			s.add(comm.Lhs[0], comm.Rhs[0])
		case *ast.ExprStmt:
			s.add(comm.X)
		}
		s.list(stmt.Body)
	default: // a simple statement
		s.add(stmt)
	}
}
