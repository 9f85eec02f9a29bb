// Package syntax says what is wrong with text that is no Go, in the words and places of the Go compiler.
//
// go/parser, which makes the trees, says in words of its own what does not parse: what the two expect at a place, how they
// go on behind an error and how much of what follows they tell differ, and each reads a little that the other refuses. So
// that an author reads the same of coma as of go build, this package reads every file once more, as the compiler reads it:
// what is expected where, in which order, and where reading goes on after an error. It builds no tree; all that it keeps of an expression is what a later error depends
// on. Read it in this order:
//
//	scan.go          text to lexemes, and what is wrong with characters and literals
//	parser.go        the state of reading, and how errors are told and stepped over
//	declarations.go  files and their declarations
//	types.go         types, parameters and fields
//	expressions.go   expressions
//	statements.go    statements
package syntax

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Error is one thing that is wrong.
type Error struct {
	Offset  int    // in bytes, from 0 to the length of the text
	Message string // the compiler's words
}

// Syntax tells whether it is one of syntax. Of characters, literals and receivers the compiler goes on to the types.
func (e Error) Syntax() bool { return strings.HasPrefix(e.Message, syntaxError) }

// Errors says what is wrong with a file's text, in the order of the source; nothing if it is Go. Like the compiler it tells
// one syntax error a line. It reads nesting of any depth by recursion: callers bound the depth (go/parser does, at 100000).
func Errors(text []byte) []Error {
	lexemes, wrong := scan(text)
	p := &parser{lexeme: lexemes[0], source: text, lexemes: lexemes, wrong: wrong}
	p.file()
	if len(p.wrong) == 0 {
		return ordered(text, p.late)
	}
	return ordered(text, p.wrong)
}

// ordered sorts errors, and leaves one of several syntax errors in a row on a line, and one of equal others.
func ordered(text []byte, wrong []Error) []Error {
	line := func(e Error) int { return bytes.Count(text[:e.Offset], []byte("\n")) }
	last := -1
	wrong = slices.DeleteFunc(wrong, func(e Error) bool { // in the order found: the first of a line is the one to tell
		if !e.Syntax() {
			return false
		}
		before := last
		last = line(e)
		return last == before
	})
	slices.SortStableFunc(wrong, func(a, b Error) int { return cmp.Compare(a.Offset, b.Offset) })
	return slices.CompactFunc(wrong, func(a, b Error) bool { return a.Message == b.Message && line(a) == line(b) })
}
