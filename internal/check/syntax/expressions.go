package syntax

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"go/types"
	"strings"
)

// kind is what later errors depend on of an expression.
type kind int

const (
	other       kind = iota
	name             // x
	selector         // x.y
	index            // x[y], or a type with arguments
	literalType      // the type of a composite literal, written out: an array, a slice, a map, a struct
	channel          // a channel type
	call             // x(y)
	parenthesis      // (x)
	operation        // x + y
	list             // x, y
	guard            // x.(type)
	bad              // not there
)

type direction int

const (
	both direction = iota
	sendOnly
	receiveOnly
)

// expr is what is kept of an expression.
type expr struct {
	kind       kind
	start, end int   // offsets
	at         int   // where messages about it point: at the operator, if there is one
	inner      *expr // in parentheses, or a channel's elements
	direction  direction
	third      *expr // of a list, if there is one
	value      bool  // certainly no type
}

// begin is an expression that starts with the next lexeme.
func (p *parser) begin(k kind) *expr { return &expr{kind: k, start: p.at, at: p.at, end: p.at} }

// ended is an expression that ends with the last lexeme read.
func (p *parser) ended(x *expr) *expr {
	x.end = max(x.start, p.behind)
	return x
}

// around is an expression that begins with another and has its operator at an offset.
func around(x *expr, k kind, at int) *expr { return &expr{kind: k, start: x.start, at: at, end: x.end} }

// shownAs is an expression's text as the compiler writes it.
func (p *parser) shownAs(x *expr) string {
	if x.kind == bad {
		return "<bad expr>"
	}
	text := string(p.source[x.start:x.end])
	if tree, err := goparser.ParseExpr(text); err == nil {
		if _, isLiteral := tree.(*ast.FuncLit); !isLiteral {
			return strings.ReplaceAll(types.ExprString(tree), ".((ast: <nil>))", ".(type)")
		}
	}
	return text
}

// expressions reads expressions apart by commas.
func (p *parser) expressions() *expr {
	x := p.expression()
	if p.tok != token.COMMA {
		return x
	}
	all := around(x, list, x.at)
	for n := 2; p.accept(token.COMMA); n++ {
		if x := p.expression(); n == 3 {
			all.third = x
		}
	}
	return p.ended(all)
}

func (p *parser) expression() *expr { return p.binary(nil, 0) }

// binary reads operators that bind tighter than above, from their first operand on, which may be read already.
func (p *parser) binary(x *expr, above int) *expr {
	if x == nil {
		x = p.unary()
	}
	for p.tok.Precedence() > above {
		operator := p.lexeme
		p.step()
		y := p.binary(nil, operator.tok.Precedence())
		x = around(x, operation, operator.at)
		x.value = operator.tok != token.MUL || y.value
		p.ended(x)
	}
	return x
}

func (p *parser) unary() *expr {
	x := p.begin(operation)
	switch p.tok {
	case token.MUL, token.ADD, token.SUB, token.NOT, token.XOR, token.TILDE, token.AND:
		x.value = p.tok != token.MUL
		p.step()
		p.unary()
		return p.ended(x)
	case token.ARROW:
		p.step()
		if of := p.unary(); of.kind == channel {
			p.receives(of)
			of.start = x.start
			return of
		}
		x.value = true
		return p.ended(x)
	}
	return p.primary(p.operand(true))
}

// receives gives a channel type the arrow that stands before it: in <-chan<- T it belongs to the first chan, and the arrow
// behind that to the next.
func (p *parser) receives(t *expr) {
	passed := sendOnly
	for passed == sendOnly {
		if t.kind != channel {
			p.complain(p.at, "unexpected %s, expected chan", p.shownAs(t))
			return
		}
		if passed = t.direction; passed == receiveOnly {
			p.complain(p.at, "unexpected <-, expected chan")
		}
		t.direction = receiveOnly
		t = t.inner
	}
}

// operand reads what has no operators, selectors or calls. Parentheses are kept where somebody may ask for them.
func (p *parser) operand(keep bool) *expr {
	x := p.begin(other)
	switch p.tok {
	case token.IDENT:
		x.kind = name
		p.step()
	case token.INT, token.FLOAT, token.IMAG, token.CHAR, token.STRING:
		x.value = true
		p.step()
	case token.LPAREN:
		p.step()
		p.braces++
		inside := p.expression()
		p.braces--
		p.want(token.RPAREN)
		if !keep && p.tok != token.LBRACE {
			return inside
		}
		x.kind, x.inner, x.value = parenthesis, inside, inside.value
	case token.FUNC:
		p.step()
		p.signature("function type")
		if p.tok == token.LBRACE {
			p.braces++
			p.body()
			p.braces--
			x.value = true
		}
	case token.LBRACK, token.CHAN, token.MAP, token.STRUCT, token.INTERFACE:
		return p.typ()
	default:
		x.kind = bad
		p.expected("expression")
		p.skip(token.RPAREN, token.RBRACK, token.RBRACE)
	}
	return p.ended(x)
}

// primary reads selectors, indices, calls and the elements of composite literals behind x.
func (p *parser) primary(x *expr) *expr {
	for {
		at := p.at
		switch p.tok {
		case token.PERIOD:
			x = p.selected(x)
		case token.LBRACK:
			x = p.indexed(x)
		case token.LPAREN:
			x = around(x, call, at)
			x.value = true
			p.step()
			p.arguments()
		case token.LBRACE:
			bare := x
			for bare.kind == parenthesis {
				bare = bare.inner
			}
			if !p.composite(bare) {
				return x
			}
			if bare != x {
				p.complain(p.at, "cannot parenthesize type in composite literal")
			}
			x = around(x, other, x.start)
			x.value = true
			p.elements()
		default:
			return x
		}
		p.ended(x)
	}
}

// composite tells whether a { behind x begins a composite literal, and not a block.
func (p *parser) composite(x *expr) bool {
	switch x.kind {
	case literalType:
		return true
	case name, selector:
		return p.braces >= 0
	case index:
		return p.braces >= 0 && !x.value
	}
	return false
}

// selected reads .y, .(T) or .(type) behind x.
func (p *parser) selected(x *expr) *expr {
	at := p.at
	p.step()
	switch {
	case p.accept(token.IDENT):
		return around(x, selector, at)
	case p.accept(token.LPAREN):
		x = around(x, other, at)
		x.value = true
		if p.accept(token.TYPE) {
			x.kind = guard
		} else {
			p.typ()
		}
		p.want(token.RPAREN)
	default:
		p.expected("name or (")
		p.skip(token.SEMICOLON, token.RPAREN)
	}
	return x
}

// indexed reads what stands in brackets behind x: an index, type arguments, or the bounds of a slice.
func (p *parser) indexed(x *expr) *expr {
	at := p.at
	p.step()
	if p.tok != token.COLON {
		comma := false
		first := p.begin(other)
		if p.tok == token.RBRACK {
			p.expected("operand")
		} else {
			first, comma = p.typeArguments(p.expression)
		}
		if comma || p.tok == token.RBRACK {
			p.want(token.RBRACK)
			value := x.value || first.value
			x = around(x, index, at)
			x.value = value
			return x
		}
	}
	if !p.accept(token.COLON) {
		p.expected("comma, : or ]")
		p.skip(token.COMMA, token.COLON, token.RBRACK)
	}
	p.braces++
	middle := !p.is(token.COLON, token.RBRACK)
	if middle {
		p.expression()
	}
	if p.tok == token.COLON {
		if !middle {
			p.fault(p.at, "middle index required in 3-index slice")
		}
		p.step()
		if p.tok == token.RBRACK {
			p.fault(p.at, "final index required in 3-index slice")
		} else {
			p.expression()
		}
	}
	p.braces--
	p.want(token.RBRACK)
	x = around(x, other, at)
	x.value = true
	return x
}

// arguments reads those of a call, and the closing parenthesis.
func (p *parser) arguments() {
	p.braces++
	p.list("argument list", token.COMMA, token.RPAREN, func() bool {
		p.expression()
		return p.accept(token.ELLIPSIS)
	})
	p.braces--
}

// elements reads those of a composite literal, with its braces.
func (p *parser) elements() {
	element := func() {
		if p.tok == token.LBRACE {
			p.elements()
		} else {
			p.expression()
		}
	}
	p.braces++
	p.want(token.LBRACE)
	p.list("composite literal", token.COMMA, token.RBRACE, func() bool {
		element()
		if p.accept(token.COLON) {
			element()
		}
		return false
	})
	p.braces--
}
