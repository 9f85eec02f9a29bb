package check

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/check/syntax"
)

// Parse reads one file's text as Check needs it. The name is what positions show. A file with errors is no file: the tree
// is nil then. The compiler refuses a little that go/parser reads, and the other way round; both count. Where a file ends too early, the error may stand on the line behind its last one.
func Parse(fset *token.FileSet, name string, text []byte) (*ast.File, []Error) {
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution|parser.AllErrors)
	var list scanner.ErrorList
	if err != nil && !errors.As(err, &list) {
		// Only reading the file could fail otherwise, and the text is given.
		return nil, []Error{{Pos: file.FileStart, Message: err.Error()}}
	}
	var found []syntax.Error
	if !tooDeep(list) {
		found = syntax.Errors(text)
	}
	if err == nil && !slices.ContainsFunc(found, func(e syntax.Error) bool { return e.Syntax() }) {
		return file, nil // what else there is comes with the types
	}
	if len(found) == 0 {
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
	return nil, told(fset, wrong)
}

// tooDeep tells whether go/parser found more nesting than can be read safely.
func tooDeep(list scanner.ErrorList) bool {
	return slices.ContainsFunc(list, func(e *scanner.Error) bool { return strings.Contains(e.Msg, "exceeded max nesting depth") })
}
