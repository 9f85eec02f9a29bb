package check

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"
)

// Parse reads one file's text as Check needs it. The name is what positions show. A file with errors is no file: the tree
// is nil then. Of the errors of one line only the first is told; the others follow from it. Where
// a file ends too early, the error stands at its end (the compiler names the line behind it).
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
	list.RemoveMultiples()
	source := fset.File(file.FileStart)
	var wrong []Error
	for _, e := range list {
		offset, message := syntaxWords(text, min(e.Pos.Offset, len(text)), e.Msg)
		wrong = append(wrong, Error{Pos: source.Pos(offset), Message: message})
	}
	return nil, told(fset, wrong)
}

// syntaxWords turns an error of go/parser, at an offset of text, into what the compiler says where that is known, and
// otherwise into words like it. Their parsers differ, so that places within a line and words do at times.
func syntaxWords(text []byte, offset int, message string) (int, string) {
	line := text[bytes.LastIndexByte(text[:offset], '\n')+1:]
	line, _, _ = bytes.Cut(line, []byte("\n"))
	const syntax = "syntax error: "
	switch {
	case strings.HasPrefix(message, "expression in defer must be "), strings.HasPrefix(message, "expression in go must be "):
		// go/parser reports it behind the expression, the compiler before it.
		keyword := strings.Fields(message)[2]
		if at := bytes.LastIndex(text[:offset], []byte(keyword+" ")); at >= 0 && strings.HasSuffix(message, "call") {
			offset = at + len(keyword) + 1
		}
		return offset, message
	case message == "string literal not terminated":
		return offset, "newline in string"
	case message == "illegal rune literal", message == "more than one character in rune literal":
		return offset, "more than one character in rune literal"
	case message == "can only use ... with final parameter in list", message == "method has multiple receivers", message == "method has no receiver":
		return offset, strings.TrimSuffix(message, " in list")
	case strings.HasPrefix(message, "missing ',' before newline in "):
		where := strings.TrimPrefix(message, "missing ',' before newline in ")
		closing := map[string]string{"composite literal": "}", "argument list": ")", "parameter list": ")"}[where]
		if closing != "" {
			return offset, syntax + "unexpected newline in " + where + "; possibly missing comma or " + closing
		}
	case strings.HasPrefix(message, "expected 'package', found "):
		return offset, syntax + "package statement must be first"
	case strings.HasPrefix(message, "expected declaration, found "):
		return offset, syntax + "non-declaration statement outside function body"
	case strings.Contains(message, ", found assignment"):
		condition := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(line)), "{"))
		condition = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(condition, "if "), "for "))
		return offset, syntax + "cannot use assignment " + condition + " as value"
	}
	expected, found, ok := strings.Cut(message, ", found ")
	expected, starts := strings.CutPrefix(expected, "expected ")
	if !ok || !starts {
		return offset, syntax + message
	}
	kind, literal, isLiteral := strings.Cut(found, " ")
	switch found = strings.Trim(found, "'"); {
	case found == "EOF":
		offset = len(text)
	case isLiteral && kind == "IDENT":
		found = "name " + literal
	case isLiteral:
		found = "literal " + literal
	case token.Lookup(found).IsKeyword():
		found = "keyword " + found
	}
	if expected == "';'" {
		return offset, syntax + "unexpected " + found + " at end of statement"
	}
	expected = strings.Trim(strings.ReplaceAll(expected, "IDENT", "name"), "'")
	return offset, syntax + "unexpected " + found + ", expected " + expected
}
