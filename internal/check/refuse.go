package check

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/nearest"
	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// Refusal is a kind of source that Go runs and the interpreter does not. The messages and the page docs/interpreter.md come
// from it.
type Refusal struct {
	ID      string   // names testdata/refused/<ID>.txtar, the example of it
	What    string   // in source, for the page
	Message string   // with %s for what varies; what to do stands behind it
	Cases   []string // all there are, where they can be listed, for the page
	Reason  string   // why, for the page
	WayOut  string   // what to do: ends the message, after a colon

	// always says that engine: go does not run it either.
	always bool

	// find reports where a package has it, with what varies. It is nil where Check finds it itself, because types cannot be
	// known without it.
	find func(p *Checked, report func(pos token.Pos, args ...any))
}

// IDs of refusals that are named in code.
const (
	refusedPackage  = "package"
	refusedStandard = "standard"
	refusedCgo      = "cgo"
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
			ID:      refusedStandard,
			What:    "an import of one of a few packages of the standard library",
			Message: "package %s is not available to interpreted modules (%s)",
			Cases:   cases(stdlib.Absent()),
			Reason:  "All that modules may import is compiled into coma, and these would change coma itself or cannot work there.",
			WayOut:  "engine: go compiles this module with it",
		},
		{
			ID:      "name",
			What:    "a use of a few names of the standard library",
			Message: "%s is not available to interpreted modules (%s)",
			Cases:   cases(stdlib.Unsupported()),
			Reason:  "They are generic and tied to what only compiled code of their package can do.",
			WayOut:  "write a type of your own for it, or let engine: go compile this module",
			find:    unsupported,
		},
		{
			ID:      refusedCgo,
			What:    "`import \"C\"`",
			Message: "cgo is not available to modules",
			Reason:  "Modules run without a C compiler; `engine: go` compiles without C, too.",
			WayOut:  "coma compiles without C; write it in Go",
			always:  true,
		},
		{
			ID:      "bodyless",
			What:    "a function without a body",
			Message: "missing function body: %s would be written in assembly or linked to another function",
			Reason:  "The body would be in assembly or in another package; the interpreter runs Go source.",
			WayOut:  "write the body in Go, or let engine: go compile this module",
			find:    bodyless,
		},
		{
			ID:      "caller",
			What:    "functions and options of the standard library that look at the Go stack",
			Message: "%s would see the interpreter's stack",
			Cases:   watchers(),
			Reason:  "They find out which function called them from the Go stack, where an interpreted function is not. runtime.Caller, runtime.Stack, debug.Stack and package log work.",
			WayOut:  "use runtime.Caller, or package log with log.Lshortfile, or let engine: go compile this module",
			find:    callers,
		},
		{
			ID:      "linkname",
			What:    "`//go:linkname`",
			Message: "//go:linkname has no effect in interpreted modules",
			Reason:  "It binds names when a program is linked, and interpreted source is not linked.",
			WayOut:  "call an exported function instead, or let engine: go compile this module",
			find:    linkname,
		},
	}
}

// Refused finds all in checked packages that Go runs and the interpreter does not. Each error has its Refusal.
func Refused(fset *token.FileSet, checked []*Checked) []Error {
	var found []Error
	for _, r := range Refusals() {
		if r.find == nil {
			continue
		}
		for _, p := range checked {
			r.find(p, func(pos token.Pos, args ...any) { found = append(found, r.at(pos, args...)) })
		}
	}
	return told(fset, found)
}

// at is the refusal of something at a place. Its error has the Refusal where compiling is a way out.
func (r Refusal) at(pos token.Pos, args ...any) Error {
	e := Error{Pos: pos, Message: fmt.Sprintf(r.Message, args...) + ": " + r.WayOut}
	if !r.always {
		e.Refusal = r.ID
	}
	return e
}

// refuse is the refusal with that ID.
func refuse(id string, pos token.Pos, args ...any) Error {
	table := Refusals()
	i := slices.IndexFunc(table, func(r Refusal) bool { return r.ID == id })
	return table[i].at(pos, args...)
}

// unavailable says why an import cannot be had. Only what engine: go could have is a refusal.
func (c *checker) unavailable(spec *ast.ImportSpec, target string, err error) Error {
	pos := spec.Path.Pos()
	wrong := func(format string, args ...any) Error { return Error{Pos: pos, Message: fmt.Sprintf(format, args...)} }
	if !errors.Is(err, stdlib.ErrNotAvailable) {
		return wrong("could not import %s (%v)", target, err)
	}
	for _, absent := range stdlib.Absent() {
		if absent.Path == target {
			return refuse(refusedStandard, pos, target, absent.Reason)
		}
	}
	first, _, _ := strings.Cut(target, "/")
	switch {
	case target == "C":
		return refuse(refusedCgo, pos)
	case first == "." || first == "..":
		return wrong("%q is relative, but relative import paths are not supported in module mode", target)
	case strings.Contains(first, "."):
		return refuse(refusedPackage, pos, target)
	case slices.Contains(strings.Split(target, "/"), "internal"):
		return wrong("use of internal package %s not allowed", target)
	}
	return wrong("package %s is not in std%s", target, nearest.Hint(target, c.known()))
}

// known lists the import paths that would do.
func (c *checker) known() []string {
	return append(slices.Sorted(maps.Keys(c.project)), stdlib.Packages()...)
}

// cases lists names with the reason of each, for the page.
func cases(missing []stdlib.Missing) []string {
	var list []string
	for _, m := range missing {
		list = append(list, fmt.Sprintf("`%s`: %s", qualified(m), m.Reason))
	}
	return list
}

// qualified is the name of what is missing as one writes it: sql.Null, or a package's path.
func qualified(m stdlib.Missing) string {
	if m.Name == "" {
		return m.Path
	}
	return path.Base(m.Path) + "." + m.Name
}
