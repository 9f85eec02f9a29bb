package syntax

import (
	"go/token"
	"slices"
)

// typ reads a type, or tells that there is none.
func (p *parser) typ() *expr {
	if t := p.typeIfAny(); t != nil {
		return t
	}
	t := p.begin(other)
	p.expected("type")
	p.skip(token.COMMA, token.COLON, token.SEMICOLON, token.RPAREN, token.RBRACK, token.RBRACE)
	return p.ended(t)
}

// typeIfAny reads a type, nil if there is none.
func (p *parser) typeIfAny() *expr {
	t := p.begin(other)
	switch p.tok {
	case token.MUL:
		p.step()
		p.typ()
	case token.ARROW:
		p.step()
		p.want(token.CHAN)
		t.kind, t.direction = channel, receiveOnly
		t.inner = p.element()
	case token.FUNC:
		p.step()
		t.at = p.at
		p.signature("function type")
	case token.LBRACK:
		t.kind = literalType
		p.step()
		if p.accept(token.RBRACK) {
			p.typ()
		} else {
			p.array()
		}
	case token.CHAN:
		p.step()
		t.kind = channel
		if p.accept(token.ARROW) {
			t.direction = sendOnly
		}
		t.inner = p.element()
	case token.MAP:
		t.kind = literalType
		p.step()
		p.want(token.LBRACK)
		p.typ()
		p.want(token.RBRACK)
		p.typ()
	case token.STRUCT:
		t.kind = literalType
		p.step()
		p.want(token.LBRACE)
		p.list("struct type", token.SEMICOLON, token.RBRACE, p.field)
	case token.INTERFACE:
		p.step()
		p.want(token.LBRACE)
		p.list("interface type", token.SEMICOLON, token.RBRACE, p.method)
	case token.IDENT:
		p.qualified(false)
	case token.LPAREN:
		p.step()
		p.typ()
		p.want(token.RPAREN)
	default:
		return nil
	}
	return p.ended(t)
}

// array reads an array type from its length on.
func (p *parser) array() {
	if !p.accept(token.ELLIPSIS) {
		p.braces++
		p.expression()
		p.braces--
	}
	if p.tok == token.COMMA {
		p.complain(p.at, "unexpected comma; expected ]")
		p.step()
	}
	p.want(token.RBRACK)
	p.typ()
}

// element reads the type of a channel's elements.
func (p *parser) element() *expr {
	t := p.typeIfAny()
	if t == nil {
		t = p.begin(other)
		p.complain(p.at, "missing channel element type")
	}
	return t
}

// qualified reads a name, of another package perhaps, with type arguments perhaps. The first name may be read already.
func (p *parser) qualified(started bool) {
	if !started && !p.accept(token.IDENT) {
		p.expected("name")
		p.skip(token.PERIOD, token.SEMICOLON, token.RBRACE)
	}
	if p.accept(token.PERIOD) {
		p.name()
	}
	if !p.accept(token.LBRACK) {
		return
	}
	if p.tok == token.RBRACK {
		p.expected("type argument list")
	} else {
		p.typeArguments(p.typ)
	}
	p.want(token.RBRACK)
}

// typeArguments reads what stands between brackets: types, the first of which may be any expression if the caller reads it
// as one. It tells whether there was a comma.
func (p *parser) typeArguments(first func() *expr) (x *expr, comma bool) {
	p.braces++
	defer func() { p.braces-- }()
	x = first()
	for p.accept(token.COMMA) {
		comma = true
		if p.typeIfAny() == nil {
			break
		}
	}
	return x, comma
}

// lengthOrArguments reads brackets behind a name: [n]T and []T, which are the type of what has the name, or type arguments.
// It tells whether it was a type.
func (p *parser) lengthOrArguments() bool {
	p.want(token.LBRACK)
	if p.accept(token.RBRACK) {
		p.typ()
		return true
	}
	_, comma := p.typeArguments(p.expression)
	p.want(token.RBRACK)
	return !comma && p.typeIfAny() != nil
}

// field reads the fields of one line of a struct.
func (p *parser) field() (last bool) {
	const parenthesized = "cannot parenthesize embedded type"
	switch p.tok {
	case token.IDENT:
		p.step()
		switch {
		case p.is(token.PERIOD, token.SEMICOLON, token.RBRACE), p.is(literals...):
			p.qualified(true)
		case p.tok == token.LBRACK:
			p.lengthOrArguments()
		default:
			for p.accept(token.COMMA) {
				p.name()
			}
			p.typ()
		}
	case token.MUL:
		p.step()
		open := p.tok == token.LPAREN
		if open {
			p.complain(p.at, parenthesized)
			p.step()
		}
		p.qualified(false)
		if open {
			p.accept(token.RPAREN)
		}
	case token.LPAREN:
		p.complain(p.at, parenthesized)
		p.step()
		p.accept(token.MUL)
		p.qualified(false)
		p.accept(token.RPAREN)
	default:
		p.expected("field name or embedded type")
		p.skip(token.SEMICOLON, token.RBRACE)
		return false
	}
	if tag := p.lexeme; p.accepted(literals...) && tag.tok != token.STRING {
		p.late = append(p.late, Error{tag.at, "the tag of a field must be a string, found " + tag.text})
	}
	return false
}

// method reads one element of an interface: a method, or types.
func (p *parser) method() (last bool) {
	const context = "interface method"
	if p.tok != token.IDENT {
		p.union(false)
		return false
	}
	p.step()
	switch p.tok {
	case token.LPAREN:
		p.signature(context)
		return false
	case token.LBRACK:
		open := p.at
		p.step()
		if at := p.at; p.accept(token.RBRACK) {
			if p.tok == token.LPAREN {
				p.fault(at, "empty type parameter list")
				p.signature(context)
				return false
			}
			p.fault(at, "empty type argument list")
			break
		}
		n, named := p.parameters(token.RBRACK, false, false)
		if named || n == 0 && p.tok == token.LPAREN {
			p.signature(context)
			if named {
				p.fault(open, "interface method must have no type parameters")
			}
			return false
		}
	default:
		p.qualified(true)
	}
	p.union(true)
	return false
}

// union reads types with | between; the first may be read already.
func (p *parser) union(started bool) {
	if !started {
		p.term()
	}
	for p.accept(token.OR) {
		p.term()
	}
}

// operators are those of expressions but for *, which is of types, too.
var operators = []token.Token{
	token.LOR, token.LAND, token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ, token.ADD, token.SUB, token.OR, token.XOR,
	token.QUO, token.REM, token.AND, token.AND_NOT, token.SHL, token.SHR, token.NOT, token.TILDE,
}

func (p *parser) term() {
	if p.accept(token.TILDE) {
		p.typ()
		return
	}
	if p.typeIfAny() == nil {
		p.expected("~ term or type")
		p.skip(append(slices.Clone(operators), token.SEMICOLON, token.RPAREN, token.RBRACK, token.RBRACE)...)
	}
}

// signature reads parameters and results; a context has no type parameters.
func (p *parser) signature(context string) {
	if at := p.at; p.accept(token.LBRACK) {
		if context != "" {
			p.complain(at, "%s must have no type parameters", context)
		}
		if p.tok == token.RBRACK {
			p.complain(p.at, "empty type parameter list")
			p.step()
		} else {
			p.parameters(token.RBRACK, true, false)
		}
	}
	p.want(token.LPAREN)
	p.parameters(token.RPAREN, false, true)
	if p.accept(token.LPAREN) {
		p.parameters(token.RPAREN, false, false)
	} else {
		p.typeIfAny()
	}
}

// parameter is one of a list, before it is known whether a lone name is its type.
type parameter struct {
	at           int // where it, or its type if it has no name, begins
	named, typed bool
	dots         int // offset of ..., -1 without
}

// parameters reads a list up to the closing lexeme, and returns how many there are and whether they have names. Type
// parameters all must have; where variadic, the last may have dots.
func (p *parser) parameters(closing token.Token, mustName, variadic bool) (n int, named bool) {
	var all []parameter
	end := p.list("parameter list", token.COMMA, closing, func() bool {
		if one, ok := p.parameter(closing); ok {
			all = append(all, one)
		}
		return false
	})
	named = p.unnamed(all, mustName, end)
	dots := -1 // of the type that names without one have, too
	for i, one := range slices.Backward(all) {
		if one.typed {
			dots = one.dots
		} else if named {
			all[i].dots = dots
		}
	}
	for i, one := range all {
		if one.dots < 0 || variadic && i+1 == len(all) {
			continue
		}
		if variadic {
			p.fault(one.dots, "can only use ... with final parameter")
		} else {
			p.fault(one.dots, "invalid use of ...")
		}
		break
	}
	return len(all), named
}

// unnamed tells where some parameters have a name and others have none; if none has, the names that stand there are types.
func (p *parser) unnamed(all []parameter, mustName bool, end int) (named bool) {
	both, typed := 0, 0
	for _, one := range all {
		if one.typed {
			typed++
			if one.named {
				both++
			}
		}
	}
	if both == 0 && !mustName || both == len(all) {
		return both > 0
	}
	at, typeFollows := -1, false
	for i := len(all) - 1; i >= 0; i-- {
		switch one := all[i]; {
		case one.typed:
			typeFollows = true
			if !one.named {
				at = one.at
			}
		case !typeFollows:
			at = one.at
		}
	}
	switch {
	case at < 0:
	case both == typed && mustName:
		p.complain(end, "missing type constraint")
	case both == typed:
		p.complain(end, "missing parameter type")
	case mustName && len(all) == 1:
		p.complain(at, "missing type parameter name or invalid array length")
	case mustName:
		p.complain(at, "missing type parameter name")
	default:
		p.complain(at, "missing parameter name")
	}
	return true
}

// parameter reads one parameter; it is false, and has said so, where there is none.
func (p *parser) parameter(closing token.Token) (parameter, bool) {
	sets := closing == token.RBRACK // unions and ~ are constraints
	one := parameter{at: p.at, dots: -1}
	union := func() {
		if sets && p.tok == token.OR {
			p.union(true)
		}
	}
	if p.accept(token.IDENT) {
		switch {
		case p.tok == token.LBRACK:
			one.named = p.lengthOrArguments()
			one.typed = true
			union()
			return one, true
		case p.tok == token.PERIOD:
			p.qualified(true)
			one.typed = true
			union()
			return one, true
		case sets && p.tok == token.OR:
			one.typed = true
			union()
			return one, true
		}
		one.named = true
	}
	if at := p.at; p.accept(token.ELLIPSIS) {
		one.typed = true
		if p.typeIfAny() == nil {
			p.complain(p.at, "... is missing type")
		} else {
			one.dots = at
		}
		return one, true
	}
	if sets && p.tok == token.TILDE {
		p.union(false)
		one.typed = true
		return one, true
	}
	if t := p.typeIfAny(); t != nil {
		one.typed = true
		if !one.named {
			one.at = t.at
		}
		union()
	}
	if !one.named && !one.typed {
		p.expected(described(closing))
		p.skip(token.COMMA, closing)
		return one, false
	}
	return one, true
}
