package check

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/check/syntax"
)

// Parse reads one file's text as Check needs it. The name is what positions show. A file with errors is no file: the tree
// is nil then. Where a file ends too early, the error may stand on the line behind its last one.
func Parse(fset *token.FileSet, name string, text []byte) (*ast.File, []Error) {
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution|parser.AllErrors)
	if err == nil {
		return file, nil
	}
	var list scanner.ErrorList
	if !errors.As(err, &list) {
		// Only reading the file could fail otherwise, and the text is given.
		return nil, []Error{{Pos: file.FileStart, Message: err.Error()}}
	}
	return nil, told(fset, syntaxErrors(fset, name, text, list))
}

// syntaxErrors says in the compiler's words what is wrong with text of which go/parser has said so in its own.
func syntaxErrors(fset *token.FileSet, name string, text []byte, list scanner.ErrorList) []Error {
	found := compilerErrors(text, list)
	if len(found) == 0 {
		// The compiler finds these with the types, which are not to be had of what does not parse.
		list.RemoveMultiples()
		for _, e := range list {
			found = append(found, syntax.Error{Offset: min(e.Pos.Offset, len(text)), Message: e.Msg})
		}
	}
	// The place behind the last line is none in a file of the text's size.
	source := fset.AddFile(name, -1, len(text)+1)
	source.SetLinesForContent(append(text[:len(text):len(text)], 0))
	var wrong []Error
	for _, e := range found {
		wrong = append(wrong, Error{Pos: source.Pos(e.Offset), Message: e.Message})
	}
	return wrong
}

// compilerErrors is what the compiler's parser says, unless the text is nested deeper than go/parser reads.
func compilerErrors(text []byte, list scanner.ErrorList) []syntax.Error {
	for _, e := range list {
		if strings.Contains(e.Msg, "exceeded max nesting depth") {
			return nil
		}
	}
	return syntax.Errors(text)
}
