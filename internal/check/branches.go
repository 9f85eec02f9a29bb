package check

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// branch turns what go/types says about labels and jumps into what the compiler says, whose parser checks them; any
// other message comes back as it is.
func (w *words) branch(pos token.Pos, message string) string {
	switch message {
	case "break not in for, switch, or select statement":
		return "break is not in a loop, switch, or select"
	case "continue not in for statement":
		return "continue is not in a loop"
	}
	for _, known := range []struct{ before, after, with string }{
		{"label ", " declared and not used", "label %s defined and not used"},
		{"label ", " not declared", "label %s not defined"},
	} {
		if name, ok := between(message, known.before, known.after); ok {
			return strings.Replace(known.with, "%s", name, 1)
		}
	}
	if rest, ok := strings.CutPrefix(message, "label "); ok {
		name, other, ok := strings.Cut(rest, " already declared\n\t")
		if ok {
			return "label " + name + " already defined at " + strings.TrimSuffix(other, ": other declaration of "+name)
		}
	}
	for _, jump := range []string{"break", "continue"} {
		if name, ok := strings.CutPrefix(message, "invalid "+jump+" label "); ok {
			if label, _, _ := w.label(pos, name); label == nil || label.Pos() > pos || name == "_" {
				return jump + " label not defined: " + name
			}
		}
	}
	if name, ok := between(message, "goto ", " jumps into block"); ok {
		if _, block, _ := w.label(pos, name); block.IsValid() {
			return message + " starting at " + w.position(block)
		}
	}
	if name, _, ok := strings.Cut(strings.TrimPrefix(message, "goto "), " jumps over variable declaration at line "); ok {
		if variable := w.jumpedOver(pos, name); variable != nil {
			return "goto " + name + " jumps over declaration of " + variable.name.Name + " at " + w.position(variable.pos)
		}
	}
	return message
}

// usedWrongly finds labels that are called unused although a wrong break or continue names them: the compiler counts that.
func (w *words) usedWrongly(errors []Error) func(Error) bool {
	named := map[token.Pos]bool{}
	for _, e := range errors {
		for _, jump := range []string{"invalid break label ", "invalid continue label "} {
			if name, ok := strings.CutPrefix(e.Message, jump); ok {
				if label, _, _ := w.label(e.Pos, name); label != nil {
					named[label.Pos()] = true
				}
			}
		}
	}
	return func(e Error) bool {
		return named[e.Pos] && strings.HasSuffix(e.Message, " defined and not used")
	}
}

func between(s, before, after string) (string, bool) {
	s, starts := strings.CutPrefix(s, before)
	s, ends := strings.CutSuffix(s, after)
	return s, starts && ends
}

// label finds a label in the function around pos: the statement, where the block begins in which it stands, and the
// statements of that block.
func (w *words) label(pos token.Pos, name string) (found *ast.LabeledStmt, block token.Pos, list []ast.Stmt) {
	for _, node := range w.path(pos) {
		var body *ast.BlockStmt
		switch node := node.(type) {
		case *ast.FuncLit:
			body = node.Body
		case *ast.FuncDecl:
			body = node.Body
		default:
			continue
		}
		ast.PreorderStack(body, nil, func(node ast.Node, around []ast.Node) bool {
			if statement, ok := node.(*ast.LabeledStmt); ok && statement.Label.Name == name && found == nil {
				found = statement
				block, list = blockOf(around)
			}
			_, inner := node.(*ast.FuncLit)
			return !inner
		})
		return found, block, list
	}
	return nil, token.NoPos, nil
}

// blockOf returns the innermost block of nodes that lie around each other, outermost first.
func blockOf(around []ast.Node) (start token.Pos, list []ast.Stmt) {
	for _, node := range slices.Backward(around) {
		switch node := node.(type) {
		case *ast.BlockStmt:
			return node.Lbrace, node.List
		case *ast.CaseClause:
			return node.Case, node.Body
		case *ast.CommClause:
			return node.Case, node.Body
		}
	}
	return token.NoPos, nil
}

// declaration is of the first variable that a statement declares, at the place that the compiler names.
type declaration struct {
	name *ast.Ident
	pos  token.Pos
}

// jumpedOver is the last declaration between the goto at pos and the label, in the label's block.
func (w *words) jumpedOver(pos token.Pos, name string) *declaration {
	label, _, list := w.label(pos, name)
	var last *declaration
	for _, statement := range list {
		if label == nil || statement.Pos() >= label.Pos() {
			break
		}
		if statement.Pos() < pos {
			continue
		}
		if declared := declaredBy(statement); declared != nil {
			last = declared
		}
	}
	return last
}

func declaredBy(statement ast.Stmt) *declaration {
	switch s := statement.(type) {
	case *ast.DeclStmt:
		group, ok := s.Decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR || len(group.Specs) == 0 {
			return nil
		}
		if first, ok := group.Specs[0].(*ast.ValueSpec); ok {
			return &declaration{first.Names[0], first.Pos()}
		}
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE {
			return nil
		}
		if name, ok := s.Lhs[0].(*ast.Ident); ok {
			return &declaration{name, s.TokPos}
		}
	}
	return nil
}
