package syntax

import (
	"go/token"
)

// block reads statements in braces; the context names what it belongs to where it must follow.
func (p *parser) block(context string) {
	if !p.accept(token.LBRACE) {
		p.expected("{ after " + context)
		p.skip(token.IDENT, token.RBRACE)
		if p.accept(token.RBRACE) {
			return
		}
	}
	p.statements()
	p.want(token.RBRACE)
}

func (p *parser) statements() {
	for !p.is(token.EOF, token.RBRACE, token.CASE, token.DEFAULT) {
		if !p.statement() {
			return
		}
		if !p.accept(token.SEMICOLON) && p.tok != token.RBRACE {
			p.unexpected(" at end of statement")
			p.skip(token.SEMICOLON, token.RBRACE, token.CASE, token.DEFAULT)
			p.accept(token.SEMICOLON)
		}
	}
}

// statement reads one statement; it is false where there is none.
func (p *parser) statement() bool {
	switch keyword := p.tok; keyword {
	case token.IDENT:
		x := p.expressions()
		if x.kind == name && p.tok == token.COLON {
			return p.labeled()
		}
		p.simple(x, 0)
	case token.VAR, token.CONST, token.TYPE:
		p.step()
		p.group(p.specOf(keyword))
	case token.LBRACE:
		p.block("")
	case token.ADD, token.SUB, token.MUL, token.AND, token.XOR, token.NOT, token.ARROW,
		token.INT, token.FLOAT, token.IMAG, token.CHAR, token.STRING,
		token.FUNC, token.LPAREN, token.LBRACK, token.STRUCT, token.MAP, token.CHAN, token.INTERFACE:
		p.simple(nil, 0)
	case token.FOR:
		p.head(keyword)
		p.block("for clause")
	case token.IF:
		p.ifStatement()
	case token.SWITCH:
		p.head(keyword)
		p.clauses("switch", func() { p.expressions() })
	case token.SELECT:
		p.step()
		p.clauses("select", func() { p.simple(nil, 0) })
	case token.FALLTHROUGH:
		p.step()
	case token.BREAK, token.CONTINUE:
		p.step()
		p.accept(token.IDENT)
	case token.GOTO:
		p.step()
		p.name()
	case token.GO, token.DEFER:
		p.step()
		called := p.primary(p.operand(p.tok == token.LPAREN))
		switch called.kind {
		case call, bad:
		case parenthesis:
			p.fault(called.at, "expression in "+keyword.String()+" must not be parenthesized")
		default:
			p.late = append(p.late, Error{called.start, "expression in " + keyword.String() + " must be function call"})
		}
	case token.RETURN:
		p.step()
		if !p.is(token.SEMICOLON, token.RBRACE) {
			p.expressions()
		}
	case token.SEMICOLON:
	default:
		return false
	}
	return true
}

// labeled reads on from the colon of a label.
func (p *parser) labeled() bool {
	at := p.at
	p.want(token.COLON)
	if p.tok == token.RBRACE || p.statement() {
		return true
	}
	p.complain(at, "missing statement after label")
	return false
}

func (p *parser) ifStatement() {
	p.head(token.IF)
	p.block("if clause")
	if !p.accept(token.ELSE) {
		return
	}
	switch p.tok {
	case token.IF:
		p.ifStatement()
	case token.LBRACE:
		p.block("")
	default:
		p.complain(p.at, "else must be followed by if or statement block")
		p.skip(token.IDENT, token.RBRACE)
	}
}

// clauses reads the cases of a switch or select, with their braces.
func (p *parser) clauses(of string, condition func()) {
	if !p.accept(token.LBRACE) {
		p.complain(p.at, "missing { after %s clause", of)
		p.skip(token.CASE, token.DEFAULT, token.RBRACE)
	}
	for !p.is(token.EOF, token.RBRACE) {
		switch {
		case p.accept(token.CASE):
			condition()
		case p.accept(token.DEFAULT):
		default:
			p.expected("case or default or }")
			p.skip(token.COLON, token.CASE, token.DEFAULT, token.RBRACE)
		}
		p.want(token.COLON)
		p.statements()
	}
	p.want(token.RBRACE)
}

// clause is a simple statement, as the head of an if, for or switch must know it.
type clause struct {
	at         int
	expression bool // and so a condition
	ranges     bool
	defines    bool
	text       func() string // as the compiler writes it where it is no condition
}

// simple reads an expression, an assignment, a send; its left side may be read already. In the head of a for statement it
// may be a range clause, in that of a switch define what it switches over.
func (p *parser) simple(left *expr, head token.Token) clause {
	if head == token.FOR && p.accept(token.RANGE) {
		p.expression()
		return clause{ranges: true}
	}
	if left == nil {
		left = p.expressions()
	}
	made := clause{at: p.at}
	operator := p.lexeme
	switch {
	case p.is(token.ASSIGN, token.DEFINE):
		p.step()
		if head == token.FOR && p.accept(token.RANGE) {
			if left.third != nil {
				p.late = append(p.late, Error{left.third.start, "range clause permits at most two iteration variables"})
			}
			p.expression()
			return clause{ranges: true}
		}
		right := p.expressions()
		if head == token.SWITCH && operator.tok == token.DEFINE && left.kind == name && right.kind == guard {
			return clause{at: right.at, expression: true}
		}
		made.defines = operator.tok == token.DEFINE
		made.text = func() string {
			if operator.tok == token.ASSIGN {
				return "assignment " + p.emphasized(left) + " = " + p.emphasized(right)
			}
			return p.shownAs(left) + " := " + p.shownAs(right)
		}
	case left.kind == list:
		p.expected(":= or = or comma")
		p.skip(token.SEMICOLON, token.RBRACE)
		return clause{at: left.at, expression: true}
	case p.accepted(token.INC, token.DEC):
		made.text = func() string { return p.shownAs(left) + operator.text }
	case p.tok == token.ARROW, p.tok.IsOperator() && token.ADD_ASSIGN <= p.tok && p.tok <= token.AND_NOT_ASSIGN:
		p.step()
		right := p.expression()
		made.text = func() string { return p.shownAs(left) + " " + operator.text + " " + p.shownAs(right) }
	default:
		return clause{at: left.at, expression: true}
	}
	return made
}

// emphasized is an expression's text, with parentheses around operators, so that the = beside it can be seen.
func (p *parser) emphasized(x *expr) string {
	text := p.shownAs(x)
	if x.kind == operation && x.at != x.start {
		return "(" + text + ")"
	}
	return text
}

// head reads an if, for or switch up to its block.
func (p *parser) head(keyword token.Token) {
	p.step()
	if p.tok == token.LBRACE {
		if keyword == token.IF {
			p.complain(p.at, "missing condition in if statement")
		}
		return
	}
	outer := p.braces
	p.braces = -1
	defer func() { p.braces = outer }()

	var first *clause
	if p.tok != token.SEMICOLON {
		if p.accept(token.VAR) {
			p.complain(p.at, "var declaration not allowed in %s initializer", keyword)
		}
		made := p.simple(nil, keyword)
		if made.ranges {
			return
		}
		first = &made
	}
	if p.tok == token.LBRACE {
		p.condition(keyword, first, nil)
		return
	}
	var semicolon *lexeme
	if here := p.lexeme; p.accept(token.SEMICOLON) {
		semicolon = &here
	} else {
		p.want(token.LBRACE)
		if p.tok != token.LBRACE {
			p.skip(token.LBRACE, token.RBRACE)
		}
	}
	var condition *clause
	switch {
	case keyword == token.FOR:
		if p.tok != token.SEMICOLON {
			if p.tok == token.LBRACE {
				p.expected("for loop condition")
				return
			}
			made := p.simple(nil, 0)
			condition = &made
		}
		p.want(token.SEMICOLON)
		if p.tok != token.LBRACE {
			if post := p.simple(nil, 0); post.defines {
				p.complain(post.at, "cannot declare in post statement of for loop")
			}
		}
	case p.tok != token.LBRACE:
		made := p.simple(nil, keyword)
		condition = &made
	}
	p.condition(keyword, condition, semicolon)
}

// condition tells what is wrong with a condition, and where an if has none although a semicolon stands before it.
func (p *parser) condition(keyword token.Token, c *clause, semicolon *lexeme) {
	switch {
	case c != nil && !c.expression:
		p.complain(c.at, "cannot use %s as value", c.text())
	case c == nil && keyword == token.IF && semicolon != nil && semicolon.text == "semicolon":
		p.complain(semicolon.at, "missing condition in if statement")
	case c == nil && keyword == token.IF && semicolon != nil:
		p.complain(semicolon.at, "unexpected %s, expected { after if clause", semicolon.text)
	}
}
