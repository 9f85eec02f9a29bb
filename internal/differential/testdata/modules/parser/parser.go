// Package parser reads a small language of formulas and statements and runs it: a lexer, a parser by precedence, a tree
// that is walked by visitors, and errors with places.
package parser

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma"
)

type kind int

const (
	end kind = iota
	number
	name
	text
	operator
)

func (k kind) String() string {
	return [...]string{end: "end", number: "number", name: "name", text: "text", operator: "operator"}[k]
}

type token struct {
	kind
	text string
	at   int
}

func (t token) String() string {
	if t.kind == end {
		return "end"
	}
	return fmt.Sprintf("%v %q", t.kind, t.text)
}

// SyntaxError tells what was met where something else was wanted.
type SyntaxError struct {
	Line string
	At   int
	Want string
	Got  fmt.Stringer
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%d: want %s, got %v\n%s\n%*s", e.At+1, e.Want, e.Got, e.Line, utf8.RuneCountInString(e.Line[:e.At])+1, "^")
}

type lexer struct {
	in     string
	pos    int
	tokens []token
}

type lexState func(*lexer) lexState

func lex(in string) []token {
	l := &lexer{in: in}
	for state := lexState(between); state != nil; {
		state = state(l)
	}
	return l.tokens
}

func (l *lexer) rune() rune {
	r, _ := utf8.DecodeRuneInString(l.in[l.pos:])
	if l.pos >= len(l.in) {
		return -1
	}
	return r
}

func (l *lexer) emit(k kind, from int) { l.tokens = append(l.tokens, token{k, l.in[from:l.pos], from}) }

func (l *lexer) while(f func(rune) bool) {
	for r := l.rune(); r >= 0 && f(r); r = l.rune() {
		l.pos += utf8.RuneLen(r)
	}
}

func between(l *lexer) lexState {
	l.while(unicode.IsSpace)
	switch r := l.rune(); {
	case r < 0:
		l.emit(end, l.pos)
		return nil
	case unicode.IsDigit(r):
		return inRun(number, func(r rune) bool { return unicode.IsDigit(r) || r == '.' })
	case unicode.IsLetter(r) || r == '_':
		return inRun(name, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' })
	case r == '"':
		return quoted
	}
	from := l.pos
	for _, op := range []string{"==", "!=", "<=", ">=", "&&", "||"} {
		if strings.HasPrefix(l.in[l.pos:], op) {
			l.pos += len(op)
			l.emit(operator, from)
			return between
		}
	}
	_, n := utf8.DecodeRuneInString(l.in[l.pos:])
	l.pos += n
	l.emit(operator, from)
	return between
}

func inRun(k kind, f func(rune) bool) lexState {
	return func(l *lexer) lexState {
		from := l.pos
		l.while(f)
		l.emit(k, from)
		return between
	}
}

func quoted(l *lexer) lexState {
	from := l.pos
	l.pos++
	l.while(func(r rune) bool { return r != '"' })
	if l.rune() == '"' {
		l.pos++
	}
	l.emit(text, from)
	return between
}

// node is an expression.
type node interface{ accept(visitor) any }

type (
	literal  struct{ value any }
	variable struct{ name string }
	unary    struct {
		op string
		x  node
	}
	binary struct {
		op   string
		x, y node
	}
	call struct {
		fn   string
		args []node
	}
	assign struct {
		name string
		x    node
	}
)

type visitor interface {
	literal(literal) any
	variable(variable) any
	unary(*unary) any
	binary(*binary) any
	call(*call) any
	assign(*assign) any
}

func (n literal) accept(v visitor) any  { return v.literal(n) }
func (n variable) accept(v visitor) any { return v.variable(n) }
func (n *unary) accept(v visitor) any   { return v.unary(n) }
func (n *binary) accept(v visitor) any  { return v.binary(n) }
func (n *call) accept(v visitor) any    { return v.call(n) }
func (n *assign) accept(v visitor) any  { return v.assign(n) }

type parser struct {
	line   string
	tokens []token
}

func (p *parser) peek() token { return p.tokens[0] }
func (p *parser) next() (t token) {
	t = p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

// fail leaves the parser, however deep it is; parse catches it.
func (p *parser) fail(t token, want string) node {
	panic(&SyntaxError{p.line, t.at, want, t})
}

var precedence = map[string]int{"=": 1, "||": 2, "&&": 3, "==": 4, "!=": 4, "<": 5, ">": 5, "<=": 5, ">=": 5, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7, "^": 8}

func parse(line string) (n node, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *SyntaxError:
			n, err = nil, r
		default:
			panic(r)
		}
	}()
	p := &parser{line, lex(line)}
	n = p.expression(0)
	if t := p.peek(); t.kind != end {
		p.fail(t, "an operator")
	}
	return n, nil
}

func (p *parser) expression(level int) node {
	x := p.operand()
	for {
		t := p.peek()
		strength, ok := precedence[t.text]
		if t.kind != operator || !ok || strength <= level {
			return x
		}
		p.next()
		switch t.text {
		case "=":
			v, ok := x.(variable)
			if !ok {
				return p.fail(t, "a name before =")
			}
			x = &assign{v.name, p.expression(strength - 1)}
		case "^":
			x = &binary{t.text, x, p.expression(strength - 1)}
		default:
			x = &binary{t.text, x, p.expression(strength)}
		}
	}
}

func (p *parser) operand() node {
	t := p.next()
	switch t.kind {
	case number:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return p.fail(t, "a number")
		}
		return literal{f}
	case text:
		return literal{strings.Trim(t.text, `"`)}
	case name:
		if p.peek().text != "(" {
			return variable{t.text}
		}
		p.next()
		c := &call{fn: t.text}
		for p.peek().text != ")" {
			c.args = append(c.args, p.expression(0))
			if p.peek().text == "," {
				p.next()
			} else if p.peek().text != ")" {
				return p.fail(p.peek(), "a comma or )")
			}
		}
		p.next()
		return c
	case operator:
		switch t.text {
		case "-", "!":
			return &unary{t.text, p.expression(7)}
		case "(":
			x := p.expression(0)
			if t := p.next(); t.text != ")" {
				return p.fail(t, ")")
			}
			return x
		}
	}
	return p.fail(t, "an operand")
}

// printer writes an expression with all its brackets.
type printer struct{}

func (printer) literal(n literal) any   { return fmt.Sprintf("%#v", n.value) }
func (printer) variable(n variable) any { return n.name }
func (v printer) unary(n *unary) any    { return fmt.Sprint("(", n.op, n.x.accept(v), ")") }
func (v printer) binary(n *binary) any {
	return fmt.Sprintf("(%v %s %v)", n.x.accept(v), n.op, n.y.accept(v))
}
func (v printer) assign(n *assign) any { return fmt.Sprintf("%s = %v", n.name, n.x.accept(v)) }
func (v printer) call(n *call) any {
	var args []string
	for _, a := range n.args {
		args = append(args, fmt.Sprint(a.accept(v)))
	}
	return n.fn + "(" + strings.Join(args, ", ") + ")"
}

// runner computes.
type runner struct {
	vars map[string]any
	fns  map[string]func(args ...float64) float64
}

type typeError struct {
	op   string
	x, y any
}

func (e typeError) Error() string { return fmt.Sprintf("cannot %s %T and %T", e.op, e.x, e.y) }

var errUndefined = errors.New("undefined")

func (r *runner) literal(n literal) any { return n.value }

func (r *runner) variable(n variable) any {
	v, ok := r.vars[n.name]
	if !ok {
		panic(fmt.Errorf("%s: %w", n.name, errUndefined))
	}
	return v
}

func (r *runner) assign(n *assign) any {
	r.vars[n.name] = n.x.accept(r)
	return r.vars[n.name]
}

func (r *runner) unary(n *unary) any {
	switch x := n.x.accept(r).(type) {
	case float64:
		return -x
	case bool:
		return !x
	default:
		panic(typeError{n.op, x, nil})
	}
}

func (r *runner) binary(n *binary) any {
	x := n.x.accept(r)
	if b, ok := x.(bool); ok && (n.op == "&&" && !b || n.op == "||" && b) {
		return b
	}
	y := n.y.accept(r)
	switch n.op {
	case "==":
		return x == y
	case "!=":
		return x != y
	}
	switch x := x.(type) {
	case float64:
		if y, ok := y.(float64); ok {
			return arithmetic(n.op, x, y)
		}
	case string:
		switch y := y.(type) {
		case string:
			if n.op == "+" {
				return x + y
			}
		case float64:
			if n.op == "*" {
				return strings.Repeat(x, int(y))
			}
		}
	case bool:
		if y, ok := y.(bool); ok {
			return y
		}
	}
	panic(typeError{n.op, x, y})
}

func arithmetic(op string, x, y float64) any {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "/":
		return x / y
	case "%":
		return float64(int(x) % int(y))
	case "^":
		return math.Pow(x, y)
	case "<":
		return x < y
	case ">":
		return x > y
	case "<=":
		return x <= y
	}
	return x >= y
}

func (r *runner) call(n *call) any {
	f, ok := r.fns[n.fn]
	if !ok {
		panic(fmt.Errorf("function %s: %w", n.fn, errUndefined))
	}
	args := make([]float64, len(n.args))
	for i, a := range n.args {
		args[i] = a.accept(r).(float64)
	}
	return f(args...)
}

func (r *runner) run(n node) (v any, err error) {
	defer func() {
		if e, ok := recover().(error); ok {
			err = e
		}
	}()
	return n.accept(r), nil
}

func Run(ctx context.Context, agent *coma.Agent) error {
	r := &runner{map[string]any{"pi": math.Pi}, map[string]func(...float64) float64{
		"max":  func(a ...float64) float64 { return slices.Max(a) },
		"sqrt": func(a ...float64) float64 { return math.Sqrt(a[0]) },
		"sum": func(a ...float64) (s float64) {
			for _, x := range a {
				s += x
			}
			return
		},
	}}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		answer := ""
		n, err := parse(msg.Text)
		var syntax *SyntaxError
		if errors.As(err, &syntax) {
			answer = fmt.Sprintf("syntax %v (%T)", syntax, syntax.Got)
		} else {
			v, err := r.run(n)
			var te typeError
			answer = fmt.Sprintf("%v → %v %T; %v; type %t, undefined %t", n.accept(printer{}), v, v, err, errors.As(err, &te), errors.Is(err, errUndefined))
		}
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}
