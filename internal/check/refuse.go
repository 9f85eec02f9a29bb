package check

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/nearest"
	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// Refusal is a kind of source that Go runs and the interpreter does not. The messages and the page docs/interpreter.md come
// from it.
type Refusal struct {
	ID      string // names testdata/refused/<ID>.txtar, the example of it
	What    string // in source, for the page
	Message string // with %s for what varies; what to do stands behind it
	Reason  string // why, for the page
	WayOut  string // what to do: ends the message, after a colon

	// find reports where a package has it, with what varies. It is nil where Check finds it itself, because types cannot be
	// known without it.
	find func(p *Checked, report func(pos token.Pos, args ...any))
}

// IDs of refusals that are named in code.
const (
	refusedPackage = "package"
	refusedCgo     = "cgo"
)

// Refusals is the table of all that is refused.
func Refusals() []Refusal {
	return []Refusal{
		{
			ID:      refusedPackage,
			What:    "an import of a package that is neither in the standard library nor in the project",
			Message: "package %s is not available to interpreted modules",
			Reason:  "The interpreter offers the packages that are compiled into coma: the standard library, coma and coma/llm.",
			WayOut:  "engine: go compiles this module with it",
		},
		{
			ID:      refusedCgo,
			What:    "`import \"C\"`",
			Message: "cgo is not available to interpreted modules",
			Reason:  "C needs a C compiler.",
			WayOut:  "engine: go compiles this module with it",
		},
		{
			ID:      "bodyless",
			What:    "a function without a body",
			Message: "function %s has no body: interpreted modules have no assembly and no linkname",
			Reason:  "The body would be in assembly or in another package; the interpreter runs Go source.",
			WayOut:  "write the body in Go, or let engine: go compile this module",
			find:    bodyless,
		},
		{
			ID:      "linkname",
			What:    "`//go:linkname`",
			Message: "//go:linkname has no effect in interpreted modules",
			Reason:  "It binds names when a program is linked, and interpreted source is not linked.",
			WayOut:  "call an exported function instead, or let engine: go compile this module",
			find:    linkname,
		},
		{
			ID:      "embed",
			What:    "`//go:embed`",
			Message: "//go:embed is not available to interpreted modules",
			Reason:  "The interpreter does not yet put files into variables.",
			WayOut:  "read the file below agent.Dir with os.ReadFile, or let engine: go compile this module",
			find:    embed,
		},
	}
}

// Refused finds all in checked packages that Go runs and the interpreter does not. Each error has its Refusal.
func Refused(fset *token.FileSet, checked []*Checked) []Error {
	var errors []Error
	for _, r := range Refusals() {
		if r.find == nil {
			continue
		}
		for _, p := range checked {
			r.find(p, func(pos token.Pos, args ...any) { errors = append(errors, r.at(pos, args...)) })
		}
	}
	return told(fset, errors)
}

// at is the refusal of something at a place.
func (r Refusal) at(pos token.Pos, args ...any) Error {
	return Error{Pos: pos, Message: fmt.Sprintf(r.Message, args...) + ": " + r.WayOut, Refusal: r.ID}
}

// refuse is the refusal with that ID.
func refuse(id string, pos token.Pos, args ...any) Error {
	table := Refusals()
	i := slices.IndexFunc(table, func(r Refusal) bool { return r.ID == id })
	return table[i].at(pos, args...)
}

// unavailable says why an import cannot be had. Only what engine: go could have is a refusal.
func (c *checker) unavailable(spec *ast.ImportSpec, path string) Error {
	pos := spec.Path.Pos()
	wrong := func(format string, args ...any) Error { return Error{Pos: pos, Message: fmt.Sprintf(format, args...)} }
	first, _, _ := strings.Cut(path, "/")
	switch {
	case path == "C":
		return refuse(refusedCgo, pos)
	case first == "." || first == "..":
		return wrong("%s is relative, but relative import paths are not supported in module mode", strconv.Quote(path))
	case slices.Contains(withheld(), path):
		return refuse(refusedPackage, pos, path)
	case first == "internal" || !strings.Contains(first, ".") && slices.Contains(strings.Split(path, "/"), "internal"):
		return wrong("use of internal package %s not allowed", path)
	case strings.Contains(first, "."):
		return refuse(refusedPackage, pos, path)
	}
	return wrong("package %s is not in std%s", path, nearest.Hint(path, c.known()))
}

// known lists the import paths that would do.
func (c *checker) known() []string {
	return append(slices.Sorted(maps.Keys(c.project)), stdlib.Packages()...)
}

// withheld lists the packages of the standard library that package stdlib does not offer.
func withheld() []string {
	return []string{"plugin", "runtime/cgo", "runtime/race"}
}
