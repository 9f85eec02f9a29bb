package check

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// directive is a line //go:verb args.
type directive struct {
	verb string
	args string
	pos  token.Pos // of "go:", where the compiler points
	on   ast.Node  // what it is about: the *ast.FuncDecl, *ast.ValueSpec or other declaration that follows; nil if nothing does
	in   bool      // inside a function
}

// functionDirectives are about the function that follows. Where one stands before anything else, the compiler refuses it.
var functionDirectives = []string{"noinline", "nosplit", "norace", "nocheckptr", "noescape", "uintptrescapes"}

// directives says what the compiler says about the //go: lines of a package.
func directives(p *Checked) []Error {
	var errors []Error
	wrong := func(d directive, format string, args ...any) {
		errors = append(errors, Error{Pos: d.pos, Message: fmt.Sprintf(format, args...)})
	}
	linked := map[string]bool{}
	for _, file := range p.Files {
		for _, d := range directivesOf(file) {
			_, onFunction := d.on.(*ast.FuncDecl)
			switch {
			case slices.Contains(functionDirectives, d.verb) && (!onFunction || d.in):
				wrong(d, "misplaced compiler directive")
			case d.verb == "linkname" && d.args != "":
				if problem := wrongLinkname(p, file, d, linked); problem != "" {
					wrong(d, "%s", problem)
				}
			case d.verb == "embed":
				patterns, problem := embedPatterns(d.args)
				if problem != "" {
					wrong(d, "%s", problem)
				}
				if len(patterns) == 0 {
					wrong(d, "usage: //go:embed pattern...")
				} else if problem := wrongEmbed(p, file, d); problem != "" {
					wrong(d, "%s", problem)
				}
			}
		}
	}
	return errors
}

// directivesOf lists the //go: lines of a file, each with what it is about.
func directivesOf(file *ast.File) []directive {
	var found []directive
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if text, ok := strings.CutPrefix(comment.Text, "//go:"); ok {
				verb, args := text, ""
				if space := strings.IndexFunc(text, unicode.IsSpace); space >= 0 {
					verb, args = text[:space], text[space:]
				}
				found = append(found, directive{verb: verb, args: args, pos: comment.Pos() + token.Pos(len("//"))})
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	places := declarations(file)
	for i := range found {
		d := &found[i]
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			d.in = d.in || ok && function.Body != nil && function.Body.Lbrace < d.pos && d.pos < function.Body.Rbrace
		}
		if next, _ := slices.BinarySearchFunc(places, d.pos, func(n place, pos token.Pos) int { return cmp.Compare(n.pos, pos) }); next < len(places) {
			d.on = places[next].node
		}
	}
	return found
}

// place is where something stands that a directive before it is about.
type place struct {
	pos  token.Pos
	node ast.Node
}

// declarations lists a file's declarations and statements in the order of the source. In a group of variables it is the
// single one that counts.
func declarations(file *ast.File) []place {
	var places []place
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GenDecl:
			if n.Tok == token.VAR && !n.Lparen.IsValid() {
				places = append(places, place{n.Pos(), n.Specs[0]})
			} else {
				places = append(places, place{n.Pos(), n})
			}
		case *ast.ValueSpec, *ast.FuncDecl:
			places = append(places, place{node.Pos(), node})
		case *ast.DeclStmt: // its declaration comes next
		case ast.Stmt:
			places = append(places, place{node.Pos(), node})
		}
		return true
	})
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.pos, b.pos) })
	return places
}

func wrongLinkname(p *Checked, file *ast.File, d directive, linked map[string]bool) string {
	names := strings.Fields(d.args)
	if len(names) != 1 && len(names) != 2 {
		return "usage: //go:linkname localname [linkname]"
	}
	if !imports(file, "unsafe") {
		return `//go:linkname only allowed in Go files that import "unsafe"`
	}
	switch p.Types.Scope().Lookup(names[0]).(type) {
	case *types.Func, *types.Var:
	default:
		return "//go:linkname must refer to declared function or variable"
	}
	if linked[names[0]] {
		return "duplicate //go:linkname for " + names[0]
	}
	linked[names[0]] = true
	return ""
}

func wrongEmbed(p *Checked, file *ast.File, d directive) string {
	variable, ok := d.on.(*ast.ValueSpec)
	switch {
	case !ok:
		return "misplaced go:embed directive"
	case !imports(file, "embed"):
		return `go:embed requires import "embed" (or import _ "embed", if package is not used)`
	case len(variable.Names) > 1:
		return "go:embed cannot apply to multiple vars"
	case variable.Values != nil:
		return "go:embed cannot apply to var with initializer"
	case d.in:
		return "go:embed cannot apply to var inside func"
	}
	if t := p.Info.TypeOf(variable.Type); !embeddable(t) {
		return "go:embed cannot apply to var of type " + types.TypeString(t, types.RelativeTo(p.Types))
	}
	return ""
}

// embeddable tells whether a variable can hold embedded files: a string, bytes, or an embed.FS.
func embeddable(t types.Type) bool {
	if isNamed(t, "embed", "FS") {
		return true
	}
	switch t := t.Underlying().(type) {
	case *types.Basic:
		return t.Kind() == types.String
	case *types.Slice:
		element, ok := t.Elem().Underlying().(*types.Basic)
		return ok && element.Kind() == types.Byte
	}
	return false
}

func imports(file *ast.File, path string) bool {
	return slices.ContainsFunc(file.Imports, func(spec *ast.ImportSpec) bool {
		imported, err := strconv.Unquote(spec.Path.Value)
		return err == nil && imported == path
	})
}

// embedPatterns reads what stands behind //go:embed: patterns apart by space, those with space inside quoted as in Go.
func embedPatterns(args string) (patterns []string, problem string) {
	for args = strings.TrimSpace(args); args != ""; args = strings.TrimSpace(args) {
		end := strings.IndexFunc(args, unicode.IsSpace)
		if end < 0 {
			end = len(args)
		}
		pattern := args[:end]
		if args[0] == '"' || args[0] == '`' {
			quoted, err := strconv.QuotedPrefix(args)
			if err != nil {
				return nil, "invalid quoted string in //go:embed: " + args
			}
			if pattern, err = strconv.Unquote(quoted); err != nil {
				return nil, "invalid quoted string in //go:embed: " + args
			}
			if end = len(quoted); end < len(args) && !unicode.IsSpace(rune(args[end])) {
				return nil, "invalid quoted string in //go:embed: " + args[end:]
			}
		}
		patterns = append(patterns, pattern)
		args = args[end:]
	}
	return patterns, ""
}
