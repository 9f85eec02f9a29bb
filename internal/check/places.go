package check

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/ast/astutil"
)

// placed is where the compiler reports an error that go/types reports at pos. The two agree but for a few kinds.
func (w *words) placed(pos token.Pos, message string) token.Pos {
	has := func(part string) bool { return strings.Contains(message, part) }
	switch {
	case has("not enough arguments in call to "):
		if call := around[*ast.CallExpr](w, pos); call != nil {
			if n := len(call.Args); n > 0 {
				return call.Args[n-1].Pos()
			}
			return call.Pos()
		}
	case has(" arguments for ") && has(" (expected "),
		has("missing argument in conversion to "),
		has("cannot use ... in call to "), has("cannot use ... with "), has("invalid use of ... with "):
		if call := around[*ast.CallExpr](w, pos); call != nil {
			return call.Pos()
		}
	case has("in call to ") && has(", cannot infer "), has(" does not satisfy "):
		if call := around[*ast.CallExpr](w, pos); call != nil && call.Fun.Pos() == pos {
			return call.Lparen
		}
	case has("cannot send to "):
		if send := around[*ast.SendStmt](w, pos); send != nil {
			return send.Pos()
		}
	case has(": cannot index "), strings.HasPrefix(message, "cannot index "):
		if index := around[*ast.IndexExpr](w, pos); index != nil && index.Pos() == pos {
			return index.Lbrack
		}
	case has("invalid use of [...] array"):
		if array := around[*ast.ArrayType](w, pos); array != nil {
			return array.Lbrack
		}
	case message == "method has multiple receivers", message == "method has no receiver":
		if method := around[*ast.FuncDecl](w, pos); method != nil {
			return method.Name.Pos()
		}
	}
	return pos
}

// literals writes function literals as the compiler does, func(x int) {…}, where go/types writes (func(x int) literal).
func (w *words) literals(pos token.Pos, message string) string {
	const mark = " literal)"
	for {
		end := strings.Index(message, mark)
		if end < 0 {
			return message
		}
		start := opening(message[:end])
		if start < 0 || !strings.HasPrefix(message[start:], "(func(") {
			return message
		}
		body := " {…}"
		if literal := around[*ast.FuncLit](w, pos); literal != nil && literal.Pos() == pos && len(literal.Body.List) == 0 {
			body = " {}"
		}
		message = message[:start] + message[start+1:end] + body + message[end+len(mark):]
	}
}

// opening finds the last parenthesis in s that is not closed, -1 if there is none.
func opening(s string) int {
	open := 0
	for i := len(s) - 1; i >= 0; i-- {
		switch s[i] {
		case ')':
			open++
		case '(':
			if open == 0 {
				return i
			}
			open--
		}
	}
	return -1
}

// around finds the innermost node of a kind around pos, nil if there is none.
func around[N ast.Node](w *words, pos token.Pos) (none N) {
	for _, node := range w.path(pos) {
		if found, ok := node.(N); ok {
			return found
		}
	}
	return none
}

// path returns the nodes around pos, innermost first.
func (w *words) path(pos token.Pos) []ast.Node {
	for _, file := range w.files {
		if file.FileStart <= pos && pos <= file.FileEnd {
			path, _ := astutil.PathEnclosingInterval(file, pos, pos)
			return path
		}
	}
	return nil
}
