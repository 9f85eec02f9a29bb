package syntax

import (
	"fmt"
	"go/token"
	"slices"
)

// parser reads the lexemes of one file. The embedded lexeme is the one to be read next.
type parser struct {
	lexeme
	source  []byte
	lexemes []lexeme
	index   int // of the embedded lexeme
	behind  int // offset behind the last lexeme read

	functions int // bodies around: within them, statements are where reading goes on behind an error
	// braces tells what a { behind a name is: below 0, in the head of an if, for or switch, it opens the block.
	braces int

	wrong []Error
	// late is what the compiler tells with the types, once there is nothing else, and go/parser at once.
	late []Error
}

const syntaxError = "syntax error: "

// step reads one lexeme.
func (p *parser) step() {
	if p.tok == token.EOF {
		return
	}
	p.behind = p.end
	p.index++
	p.lexeme = p.lexemes[p.index]
}

// is tells whether the next lexeme is one of these.
func (p *parser) is(toks ...token.Token) bool { return slices.Contains(toks, p.tok) }

// accept reads the next lexeme if it is tok.
func (p *parser) accept(tok token.Token) bool {
	if p.tok != tok {
		return false
	}
	p.step()
	return true
}

// want reads tok, or tells that it is missing and steps over what stands there.
func (p *parser) want(tok token.Token) {
	if !p.accept(tok) {
		p.expected(described(tok))
		p.step()
	}
}

// statements begin with these: within a function they end the search for a place to go on.
var statementKeywords = []token.Token{
	token.BREAK, token.CONST, token.CONTINUE, token.DEFER, token.FALLTHROUGH, token.FOR, token.GO, token.GOTO, token.IF,
	token.RETURN, token.SELECT, token.SWITCH, token.TYPE, token.VAR,
}

// skip steps over lexemes up to one of these.
func (p *parser) skip(to ...token.Token) {
	for !p.is(token.EOF) && !p.is(to...) && (p.functions == 0 || !slices.Contains(statementKeywords, p.tok)) {
		p.step()
	}
}

// fault tells an error that is none of syntax alone.
func (p *parser) fault(at int, message string) { p.wrong = append(p.wrong, Error{at, message}) }

// complain tells a syntax error. At the end of the text it would only follow from another.
func (p *parser) complain(at int, format string, args ...any) {
	if p.tok == token.EOF && len(p.wrong) > 0 {
		return
	}
	p.fault(at, syntaxError+fmt.Sprintf(format, args...))
}

// unexpected tells that the next lexeme is not what can stand here, and where that is.
func (p *parser) unexpected(where string) { p.complain(p.at, "unexpected %s%s", p.shown(), where) }

// expected tells that something else than the next lexeme should stand here.
func (p *parser) expected(what string) { p.unexpected(", expected " + what) }

// shown is the next lexeme as messages name it.
func (p *parser) shown() string {
	switch {
	case p.tok == token.IDENT:
		return "name " + string(p.source[p.at:p.end])
	case p.tok == token.SEMICOLON:
		return p.text
	case p.tok.IsLiteral():
		return "literal " + p.text
	}
	return described(p.tok)
}

// described is how messages name a kind of lexeme.
func described(tok token.Token) string {
	switch {
	case tok == token.IDENT:
		return "name"
	case tok == token.COMMA:
		return "comma"
	case tok == token.SEMICOLON:
		return "semicolon or newline"
	case tok.IsKeyword():
		return "keyword " + tok.String()
	}
	return tok.String()
}

// list reads what one reads again and again up to a closing lexeme, with a separator between; one reports whether
// it was the last. It returns where the list ends.
func (p *parser) list(context string, separator, closing token.Token, one func() (last bool)) int {
	for last := false; !last && !p.is(token.EOF, closing); {
		last = one()
		if p.accept(separator) || p.is(closing) {
			continue
		}
		p.unexpected(fmt.Sprintf(" in %s; possibly missing %s or %s", context, described(separator), described(closing)))
		p.skip(token.RPAREN, token.RBRACK, token.RBRACE)
		if p.tok != closing {
			return p.at
		}
	}
	at := p.at
	p.want(closing)
	return at
}
