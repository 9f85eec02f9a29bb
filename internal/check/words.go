package check

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/nearest"
)

// words turns the errors of go/types into what the compiler says: the two check alike, and differ in how they report.
type words struct {
	fset    *token.FileSet
	files   []*ast.File
	info    *types.Info
	types   *types.Package
	version string             // language version of the package
	unsure  map[*ast.File]bool // files that import packages whose names are not known
}

// all turns the errors of one package, in the order that go/types gave them.
func (w *words) all(found []types.Error) []Error {
	var errors []Error
	for _, e := range found {
		// go/types gives the further lines of a message as errors of their own, because each has a place.
		if further, ok := strings.CutPrefix(e.Msg, "\t"); ok {
			if len(errors) > 0 {
				last := &errors[len(errors)-1]
				last.Message += fmt.Sprintf("\n\t%s: %s", w.position(e.Pos), further)
			}
			continue
		}
		errors = append(errors, Error{Pos: e.Pos, Message: e.Msg})
	}
	errors = slices.DeleteFunc(errors, func(e Error) bool {
		return strings.HasPrefix(e.Message, "could not import ") || // told by resolve, with what to do
			strings.HasPrefix(e.Message, "undefined: ") && w.mayBePackage(e.Pos) ||
			strings.HasSuffix(e.Message, ".((ast: <nil>)) is not a type") // follows from: use of .(type) outside type switch
	})
	for i := range errors {
		e := &errors[i]
		e.Pos = w.placed(e.Pos, e.Message)
		e.Message = w.branch(e.Pos, w.literals(e.Pos, e.Message))
	}
	errors = slices.DeleteFunc(errors, w.usedWrongly(errors))
	// Of equal errors in a row on one line, the compiler tells the first that it came across.
	errors = slices.CompactFunc(errors, func(a, b Error) bool { return a.Message == b.Message && w.line(a) == w.line(b) })
	for i := range errors {
		e := &errors[i]
		if strings.HasSuffix(e.Message, " or later") && strings.Contains(e.Message, " requires go1.") {
			e.Message += fmt.Sprintf(" (-lang was set to %s; check go.mod)", w.version)
		}
		e.Message += w.hint(*e)
	}
	return errors
}

// mayBePackage tells whether the name at pos may be that of a package that could not be imported.
func (w *words) mayBePackage(pos token.Pos) bool {
	for file := range w.unsure {
		if file.FileStart <= pos && pos <= file.FileEnd {
			selector := around[*ast.SelectorExpr](w, pos)
			return selector != nil && selector.Pos() == pos
		}
	}
	return false
}

// line is where an error stands, without its column.
func (w *words) line(e Error) token.Position {
	at := w.fset.PositionFor(e.Pos, false)
	at.Offset, at.Column = 0, 0
	return at
}

// position is how the compiler writes a position within a message.
func (w *words) position(pos token.Pos) string { return w.fset.PositionFor(pos, false).String() }

// hint names what somebody may have meant who used a name that is not declared.
func (w *words) hint(e Error) string {
	name, ok := strings.CutPrefix(e.Message, "undefined: ")
	if !ok || strings.HasSuffix(name, ")") { // go/types says already: (but have ToLower)
		return ""
	}
	if qualifier, selected, ok := strings.Cut(name, "."); ok {
		return nearest.Hint(selected, w.exported(e.Pos, qualifier))
	}
	return nearest.Hint(name, w.visible(e.Pos))
}

// visible lists the names that are in scope at pos.
func (w *words) visible(pos token.Pos) []string {
	var names []string
	for scope := w.types.Scope().Innermost(pos); scope != nil; scope = scope.Parent() {
		for _, name := range scope.Names() {
			if declared := scope.Lookup(name).Pos(); scope == types.Universe || scope == w.types.Scope() || declared < pos {
				names = append(names, name)
			}
		}
	}
	return names
}

// exported lists what the package offers that is imported under a name in the file of pos.
func (w *words) exported(pos token.Pos, name string) []string {
	scope := w.types.Scope().Innermost(pos)
	if scope == nil {
		return nil
	}
	_, object := scope.LookupParent(name, pos)
	imported, ok := object.(*types.PkgName)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(imported.Imported().Scope().Names(), func(name string) bool { return !ast.IsExported(name) })
}

// told orders errors as they stand in the source and stops after MaxErrors.
func told(fset *token.FileSet, errors []Error) []Error {
	slices.SortStableFunc(errors, func(a, b Error) int {
		p, q := fset.PositionFor(a.Pos, false), fset.PositionFor(b.Pos, false)
		return cmp.Or(cmp.Compare(p.Filename, q.Filename), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
	})
	if left := len(errors) - MaxErrors; left > 0 {
		errors = append(errors[:MaxErrors], Error{
			Pos:     errors[MaxErrors].Pos,
			Message: fmt.Sprintf("too many errors: %d more from here on", left),
		})
	}
	return errors
}
