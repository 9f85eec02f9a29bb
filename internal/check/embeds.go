package check

import (
	"go/ast"
	"go/token"
	"go/types"
	"io/fs"

	"github.com/concurrent-modular-agent/coma/internal/check/embedded"
)

// Embed is a variable that //go:embed fills.
type Embed struct {
	Var      *types.Var
	Patterns []string
	Pos      token.Pos // of the first line that names patterns
}

// Embeds lists the variables of a checked package that //go:embed fills, in the order of the source.
func Embeds(p *Checked) []Embed {
	var found []Embed
	for _, file := range p.Files {
		for _, d := range directivesOf(file) {
			variable, ok := d.on.(*ast.ValueSpec)
			if d.verb != "embed" || !ok {
				continue
			}
			patterns, _ := embedPatterns(d.args) // without a problem: p is checked
			object, ok := p.Info.Defs[variable.Names[0]].(*types.Var)
			if !ok {
				continue // named _
			}
			if n := len(found); n > 0 && found[n-1].Var == object {
				found[n-1].Patterns = append(found[n-1].Patterns, patterns...)
				continue
			}
			found = append(found, Embed{Var: object, Patterns: patterns, Pos: d.pos})
		}
	}
	return found
}

// Value reads the files that the patterns name below the folder of the variable's package and returns what the variable
// holds from the start: an embed.FS, or a string or []byte to be converted to the variable's type. A pattern that names
// no file is an error, as for go build, and so is more than one file for a string or bytes.
func (e Embed) Value(folder fs.FS) (any, *Error) {
	files, err := embedded.Find(folder, e.Patterns)
	if err != nil {
		return nil, &Error{Pos: e.Pos, Message: err.Error()}
	}
	if isNamed(e.Var.Type(), "embed", "FS") {
		return embedded.FS(files), nil
	}
	text, ok := embedded.Single(files)
	if !ok {
		own := types.RelativeTo(e.Var.Pkg())
		return nil, &Error{Pos: e.Var.Pos(), Message: "invalid go:embed: multiple files for type " + types.TypeString(e.Var.Type(), own)}
	}
	if _, bytes := e.Var.Type().Underlying().(*types.Slice); bytes {
		return []byte(text), nil
	}
	return text, nil
}
