package syntax

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// lexeme is one token of the text.
type lexeme struct {
	tok  token.Token
	text string // as written; of a semicolon: semicolon, newline or EOF, which say where it comes from
	at   int    // offset
	end  int    // offset behind it
	bad  bool   // a literal that is wrong in itself
}

// scan reads all lexemes, the last of which is EOF. Characters that Go does not know are skipped, once told.
func scan(text []byte) ([]lexeme, []Error) {
	text, wrong := foreign(text)
	lexemes := make([]lexeme, 0, len(text)/4+2) // there are rarely more
	scanEach(text, func(l lexeme, found []Error) {
		switch l.tok {
		case token.CHAR, token.STRING:
			inside := literal(text, l.at)
			l.bad = len(inside) > 0
			wrong = append(append(wrong, characters(found)...), inside...)
		case token.INT, token.FLOAT, token.IMAG:
			l.bad = len(found) > 0
			wrong = append(wrong, found[:min(len(found), 1)]...)
		case token.ILLEGAL:
			wrong = append(wrong, characters(found)...)
			if r, _ := utf8.DecodeRune(text[l.at:]); r != 0 && r != bom && r != utf8.RuneError {
				wrong = append(wrong, Error{l.at, fmt.Sprintf("invalid character %#U", r)})
			}
			return
		default:
			wrong = append(wrong, found...)
		}
		lexemes = append(lexemes, l)
	})
	return lexemes, wrong
}

const bom = '\uFEFF'

// foreign finds the characters beyond ASCII that no name may have. The compiler takes them for letters of a name once it has
// told them; they come back as such.
func foreign(text []byte) ([]byte, []Error) {
	var wrong []Error
	if !slices.ContainsFunc(text, func(b byte) bool { return b >= utf8.RuneSelf }) {
		return text, nil
	}
	clean := slices.Clone(text)
	scanEach(text, func(l lexeme, _ []Error) {
		if l.tok != token.ILLEGAL {
			return
		}
		r, size := utf8.DecodeRune(text[l.at:])
		switch {
		case r < utf8.RuneSelf, r == bom, r == utf8.RuneError && size == 1:
			return
		case unicode.IsDigit(r):
			wrong = append(wrong, Error{l.at, fmt.Sprintf("identifier cannot begin with digit %#U", r)})
		default:
			wrong = append(wrong, Error{l.at, fmt.Sprintf("invalid character %#U in identifier", r)})
		}
		copy(clean[l.at:], bytes.Repeat([]byte("_"), size))
	})
	return clean, wrong
}

// scanEach gives f each lexeme, EOF too, with what go/scanner found wrong on the way to it.
func scanEach(text []byte, f func(lexeme, []Error)) {
	file := token.NewFileSet().AddFile("", -1, len(text))
	var found []Error
	behind := 0 // where the lexeme before ended
	var s scanner.Scanner
	s.Init(file, text, func(at token.Position, message string) {
		found = append(found, Error{min(at.Offset, len(text)), message})
	}, 0)
	for {
		pos, tok, lit := s.Scan()
		l := lexeme{tok: tok, text: lit, at: file.Offset(pos)}
		switch {
		case tok == token.SEMICOLON && lit == "\n":
			l.text, l.at = "newline", lineEnd(text, behind, l.at)
			l.end = l.at
			if l.at >= len(text) {
				l.text = "EOF"
			}
		case tok == token.SEMICOLON:
			l.text, l.end = "semicolon", l.at+1
		case tok == token.EOF:
			l.at, l.end = len(text), len(text)
		case lit != "":
			l.end = min(l.at+len(lit), len(text))
		default:
			l.text = tok.String()
			l.end = l.at + len(l.text)
		}
		f(l, reworded(found))
		found, behind = nil, l.end
		if tok == token.EOF {
			return
		}
	}
}

// lineEnd is where the compiler sees the end of a line that go/scanner sees at an offset: where a comment begins that goes
// on behind it.
func lineEnd(text []byte, from, at int) int {
	for from < at {
		rest := text[from:]
		switch {
		case bytes.HasPrefix(rest, []byte("//")):
			return at
		case bytes.HasPrefix(rest, []byte("/*")):
			length := bytes.Index(rest[2:], []byte("*/"))
			if length < 0 || bytes.IndexByte(rest[:length+2], '\n') >= 0 {
				return from
			}
			from += length + 4
		default:
			from++
		}
	}
	return at
}

// reworded turns what go/scanner says into the compiler's words; about numbers and comments they say the same.
func reworded(found []Error) []Error {
	for i, e := range found {
		switch e.Message {
		case "illegal byte order mark":
			found[i].Message = "invalid BOM in the middle of the file"
		case "illegal character NUL":
			found[i].Message = "invalid NUL character"
		case "illegal UTF-8 encoding":
			found[i].Message = "invalid UTF-8 encoding"
		}
	}
	return found
}

// characters leaves what is wrong with single characters, wherever they stand.
func characters(found []Error) []Error {
	return slices.DeleteFunc(found, func(e Error) bool {
		return !strings.HasPrefix(e.Message, "invalid BOM") && !strings.HasPrefix(e.Message, "invalid NUL") && !strings.HasPrefix(e.Message, "invalid UTF-8")
	})
}

// literal says what is wrong with the string or rune that starts at an offset.
func literal(text []byte, start int) []Error {
	quote := text[start]
	at := start + 1
	if quote == '`' {
		if bytes.IndexByte(text[at:], quote) < 0 {
			return []Error{{start, "string not terminated"}}
		}
		return nil
	}
	what := map[byte]string{'"': "string", '\'': "rune literal"}[quote]
	var wrong []Error
	count := 0 // characters read
	for ; ; count++ {
		switch {
		case at >= len(text):
			if quote == '"' || wrong == nil {
				wrong = append(wrong, Error{start, what + " not terminated"})
			}
			return wrong
		case text[at] == '\n':
			if quote == '"' || wrong == nil {
				wrong = append(wrong, Error{at, "newline in " + what})
			}
			return wrong
		case text[at] == quote:
			if quote == '\'' && wrong == nil && count == 0 {
				wrong = append(wrong, Error{at, "empty rune literal or unescaped '"})
			}
			if quote == '\'' && wrong == nil && count > 1 {
				wrong = append(wrong, Error{start, "more than one character in rune literal"})
			}
			return wrong
		case text[at] == '\\':
			var problem string
			if at, problem = escape(text, at+1, quote); problem != "" {
				wrong = append(wrong, Error{at, problem})
			}
		default:
			_, size := utf8.DecodeRune(text[at:])
			at += size
		}
	}
}

// escape reads what stands behind a backslash, up to where it ends or to what is wrong with it.
func escape(text []byte, at int, quote byte) (int, string) {
	if at >= len(text) {
		return at, ""
	}
	digits, base, name, limit := 0, uint32(16), "hexadecimal", uint32(unicode.MaxRune)
	switch c := text[at]; {
	case c == quote, strings.IndexByte(`abfnrtv\`, c) >= 0:
		return at + 1, ""
	case '0' <= c && c <= '7':
		digits, base, name, limit = 3, 8, "octal", 255
		at--
	case c == 'x':
		digits = 2
	case c == 'u':
		digits = 4
	case c == 'U':
		digits = 8
	default:
		return at, "unknown escape"
	}
	at++
	var value uint32
	for range digits {
		if at >= len(text) {
			return at, ""
		}
		digit := uint32(bytes.IndexByte([]byte("0123456789abcdef"), text[at]|0x20))
		if c := text[at]; c < '0' { // |0x20 makes no digit of what stands before them
			digit = base
		}
		if digit >= base {
			r, _ := utf8.DecodeRune(text[at:])
			return at, fmt.Sprintf("invalid character %q in %s escape", r, name)
		}
		value = value*base + digit
		at++
	}
	switch {
	case base == 8 && value > limit:
		return at, fmt.Sprintf("octal escape value %d > 255", value)
	case value > limit, 0xD800 <= value && value < 0xE000:
		return at, fmt.Sprintf("escape is invalid Unicode code point %#U", value)
	}
	return at, ""
}
