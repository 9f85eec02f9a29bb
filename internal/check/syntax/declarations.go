package syntax

import (
	"go/token"
	"slices"
)

var declarationKeywords = []token.Token{token.IMPORT, token.CONST, token.TYPE, token.VAR, token.FUNC}

// file reads all of the text.
func (p *parser) file() {
	if !p.accept(token.PACKAGE) {
		p.complain(p.at, "package statement must be first")
		p.stop()
		return
	}
	p.name()
	p.want(token.SEMICOLON)
	if slices.ContainsFunc(p.wrong, func(e Error) bool { return e.Offset <= p.end }) {
		p.stop()
		return
	}
	before, bodyless := token.IMPORT, false
	for p.tok != token.EOF {
		keyword := p.tok
		if keyword == token.IMPORT && before != token.IMPORT {
			p.complain(p.at, "imports must appear before other declarations")
		}
		before = keyword
		if !p.is(declarationKeywords...) {
			if keyword == token.LBRACE && bodyless {
				p.complain(p.at, "unexpected semicolon or newline before {")
			} else {
				p.complain(p.at, "non-declaration statement outside function body")
			}
			p.skip(declarationKeywords...)
			continue
		}
		p.step()
		bodyless = false
		switch keyword {
		case token.IMPORT:
			p.group(p.importSpec)
		case token.FUNC:
			bodyless = !p.function()
		default:
			p.group(p.specOf(keyword))
		}
		if p.tok != token.EOF && !p.accept(token.SEMICOLON) {
			p.unexpected(" after top level declaration")
			p.skip(declarationKeywords...)
		}
	}
}

// stop forgets what is wrong behind the place that has been read: what begins with no package clause may be no Go at all.
func (p *parser) stop() {
	p.wrong = slices.DeleteFunc(p.wrong, func(e Error) bool { return e.Offset > p.end })
}

// specOf is what reads one declaration behind const, type or var.
func (p *parser) specOf(keyword token.Token) func() {
	switch keyword {
	case token.CONST:
		return p.constSpec
	case token.TYPE:
		return p.typeSpec
	default:
		return p.varSpec
	}
}

// group reads one declaration, or several in parentheses.
func (p *parser) group(spec func()) {
	if !p.accept(token.LPAREN) {
		spec()
		return
	}
	p.list("grouped declaration", token.SEMICOLON, token.RPAREN, func() bool { spec(); return false })
}

func (p *parser) importSpec() {
	if p.is(token.IDENT, token.PERIOD) {
		p.step()
	}
	switch path := p.lexeme; {
	case !p.accepted(literals...):
		p.complain(p.at, "missing import path")
		p.skip(token.SEMICOLON, token.RPAREN)
	case path.tok != token.STRING && !path.bad:
		p.complain(path.at, "import path must be a string")
	}
}

var literals = []token.Token{token.INT, token.FLOAT, token.IMAG, token.CHAR, token.STRING}

// accepted reads the next lexeme if it is one of these.
func (p *parser) accepted(toks ...token.Token) bool {
	if !p.is(toks...) {
		return false
	}
	p.step()
	return true
}

func (p *parser) constSpec() {
	p.names()
	if p.is(token.EOF, token.SEMICOLON, token.RPAREN) {
		return
	}
	p.typeIfAny()
	if p.assign() {
		p.expressions()
	}
}

func (p *parser) varSpec() {
	p.names()
	if p.assign() {
		p.expressions()
		return
	}
	p.typ()
	if p.assign() {
		p.expressions()
	}
}

// names reads names apart by commas.
func (p *parser) names() {
	p.name()
	for p.accept(token.COMMA) {
		p.name()
	}
}

func (p *parser) name() {
	if !p.accept(token.IDENT) {
		p.expected("name")
		p.step()
	}
}

// assign reads = if it is there; := is told, and taken for it.
func (p *parser) assign() bool {
	if p.tok == token.DEFINE {
		p.expected("=")
	}
	return p.accepted(token.DEFINE, token.ASSIGN)
}

func (p *parser) typeSpec() {
	p.name()
	known := true
	switch {
	case p.tok != token.LBRACK:
		p.assign()
		known = p.typeIfAny() != nil
	case p.parametersAhead():
		p.step()
		p.parameters(token.RBRACK, true, false)
		p.assign()
		known = p.typeIfAny() != nil
	default:
		p.typ()
	}
	if !known {
		p.unexpected(" in type declaration")
		p.skip(token.SEMICOLON, token.RPAREN)
	}
}

// parametersAhead tells whether the bracket behind the name of a type begins type parameters, and not the length of an
// array: a name does that is not joined to an expression. After * and (, which may go either way, only a list or a constraint
// that is no expression decides.
func (p *parser) parametersAhead() bool {
	ahead := p.lexemes[p.index:]
	if len(ahead) < 3 || ahead[1].tok != token.IDENT {
		return false
	}
	switch next := ahead[2].tok; next {
	case token.RBRACK, token.PERIOD, token.LBRACE:
		return false
	default:
		return next.Precedence() == token.LowestPrec
	case token.MUL, token.LPAREN:
		depth := 0
		for _, l := range ahead[2:] {
			switch l.tok {
			case token.LPAREN, token.LBRACK, token.LBRACE:
				depth++
			case token.RPAREN, token.RBRACK, token.RBRACE:
				if depth--; depth < 0 {
					return false
				}
			case token.TILDE, token.INTERFACE:
				return true
			case token.COMMA:
				if depth == 0 {
					return true
				}
			case token.SEMICOLON, token.EOF:
				if depth == 0 {
					return false
				}
			}
		}
	}
	return false
}

// function reads what stands behind func at the top of a file; it tells whether there is a body.
func (p *parser) function() bool {
	context, missing := "", "name or ("
	if p.accept(token.LPAREN) {
		context, missing = "method", "name"
		switch n, _ := p.parameters(token.RPAREN, false, false); {
		case n == 0:
			p.fault(p.at, "method has no receiver")
		case n > 1:
			p.fault(p.at, "method has multiple receivers")
		}
	}
	if p.accept(token.IDENT) {
		p.signature(context)
	} else {
		p.expected(missing)
		p.skip(token.LBRACE, token.SEMICOLON)
	}
	if p.tok != token.LBRACE {
		return false
	}
	p.body()
	return true
}

// body reads a function's body.
func (p *parser) body() {
	p.functions++
	p.block("")
	p.functions--
}
