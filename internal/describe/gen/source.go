package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/concurrent-modular-agent/coma/internal/describe"
)

// source reads the packages of a repository, each once.
type source struct {
	root     string
	packages map[string][]ast.Decl // by their paths
}

func newSource(root string) *source { return &source{root, map[string][]ast.Decl{}} }

// declarations are those of the package that declares a type.
func (s *source) declarations(t reflect.Type) ([]ast.Decl, error) {
	path := t.PkgPath()
	if known, ok := s.packages[path]; ok {
		return known, nil
	}
	names, err := filepath.Glob(filepath.Join(s.root, strings.TrimPrefix(path, describe.Module), "*.go"))
	if err != nil {
		return nil, err
	}
	var all []ast.Decl
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read source of %s: %w", t, err)
		}
		all = append(all, file.Decls...)
	}
	s.packages[path] = all
	return all, nil
}

// comment returns what the source says of a type, of its fields, and of its constants if it is one of strings.
func (s *source) comment(t reflect.Type) (describe.Comment, error) {
	declarations, err := s.declarations(t)
	if err != nil {
		return describe.Comment{}, err
	}
	var comment describe.Comment
	var wrong error
	say := func(what string, names map[string]string, said ...*ast.CommentGroup) string {
		text, err := words(names, said...)
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s.%s: %w", t, what, err))
		}
		return text
	}
	for _, d := range declarations {
		group, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range group.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.Name != t.Name() {
					continue
				}
				names := jsonNames(spec)
				comment.Text = describe.Name(t) + strings.TrimPrefix(say("", names, group.Doc, spec.Doc), t.Name())
				if object, ok := spec.Type.(*ast.StructType); ok {
					comment.Fields = map[string]string{}
					for _, f := range object.Fields.List {
						for _, name := range f.Names {
							if inside, ok := names[name.Name]; ok {
								comment.Fields[inside] = say(name.Name, names, f.Doc, f.Comment)
							}
						}
					}
				}
			case *ast.ValueSpec:
				if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != t.Name() || group.Tok != token.CONST {
					continue
				}
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					return comment, fmt.Errorf("constant %s: %w", spec.Names[0], err)
				}
				text := say(spec.Names[0].Name, nil, spec.Doc, spec.Comment)
				comment.Values = append(comment.Values, describe.Value{Value: value, Text: strings.TrimPrefix(text, spec.Names[0].Name+" ")})
			}
		}
	}
	return comment, wrong
}

// jsonNames are the names of a struct's fields in JSON, by those in Go.
func jsonNames(spec *ast.TypeSpec) map[string]string {
	names := map[string]string{}
	object, ok := spec.Type.(*ast.StructType)
	if !ok {
		return names
	}
	for _, f := range object.Fields.List {
		if f.Tag == nil {
			continue
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue // the compiler has said so
		}
		name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		for _, ident := range f.Names {
			if name != "" && name != "-" {
				names[ident.Name] = name
			}
		}
	}
	return names
}

// ofGo are words that mean nothing to who reads of JSON.
var ofGo = regexp.MustCompile(`\b(nil|Err[A-Z]\w*|[a-z]+\.[A-Z]\w+)\b`)

// words are those of the comments on something: each paragraph a line, fields by their names in JSON.
func words(names map[string]string, said ...*ast.CommentGroup) (string, error) {
	var text string
	for _, group := range said {
		text += group.Text()
	}
	if text == "" {
		return "", errors.New("it has no comment, which is its description in the API's documents")
	}
	if word := ofGo.FindString(text); word != "" {
		return "", fmt.Errorf("its comment is its description in the API's documents, where %q is not known", word)
	}
	var out strings.Builder
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString("\n\n")
		}
		if strings.HasPrefix(paragraph, "\t") {
			out.WriteString(strings.ReplaceAll(paragraph, "\t", "    ")) // as Markdown has what is set apart
		} else {
			out.WriteString(strings.ReplaceAll(paragraph, "\n", " "))
		}
	}
	return inJSON(out.String(), names), nil
}

// capitalised are words that can be a field's name. MQTT and API are what people call these, whatever a field is named.
var capitalised = regexp.MustCompile(`\b[A-Z]\w*[a-z]\w*`)

// inJSON names fields as JSON does. A word at the beginning of a sentence is a word.
func inJSON(text string, names map[string]string) string {
	var out strings.Builder
	at := 0
	for _, place := range capitalised.FindAllStringIndex(text, -1) {
		name, ok := names[text[place[0]:place[1]]]
		before := strings.TrimRightFunc(text[:place[0]], unicode.IsSpace)
		if !ok || before == "" || strings.HasSuffix(before, ".") {
			continue
		}
		out.WriteString(text[at:place[0]] + "`" + name + "`")
		at = place[1]
	}
	return out.String() + text[at:]
}
