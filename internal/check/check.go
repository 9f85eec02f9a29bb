// Package check says, before anything of a module runs, all that is wrong with its source: what the Go compiler would
// refuse, in the compiler's own words and places, and what Go would run but the interpreter does not.
//
// It needs no toolchain: packages that modules import are known from export data inside the coma binary (package stdlib).
// Read on from Check, in this order:
//
//	constraint.go  which files of a folder belong to the package
//	parse.go       text to syntax; folder syntax says in the compiler's words what is wrong with it
//	check.go       types of all packages, dependencies first
//	words.go       from the messages of go/types to those of the compiler
//	places.go      from their places to those of the compiler
//	branches.go    the same for labels and jumps, which the compiler words differently
//	run.go         the module's Run function
//	refuse.go      the table of what the interpreter refuses; detect.go finds it in source
//	cycles.go, directives.go, sizes.go  what the compiler checks and go/types does not
//	embeds.go      what //go:embed names; folder embedded reads it
//	page.go        docs/interpreter.md, written from that table
package check

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/token"
	"go/types"
	"runtime"
	"strconv"

	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// Package is the parsed source of one package of the project.
type Package struct {
	Path  string      // the import path by which the other packages know it
	Name  string      // from the package clauses
	Files []*ast.File // at least one; parsed with comments (see Parse): directives are comments

	// GoVersion is the language version that the project's go.mod asks for, "go1.21"; "" is the newest known. It decides,
	// for example, whether a loop has one variable or one for each turn.
	GoVersion string
}

// Checked is a package without errors, ready for go/ssa.
type Checked struct {
	Path  string
	Types *types.Package
	Info  *types.Info // all maps that go/ssa reads are filled
	Files []*ast.File
}

// Error is one thing that is wrong.
type Error struct {
	Pos     token.Pos // always valid
	Message string    // the compiler's words; further lines begin with a tab

	// Refusal is the ID of an entry of Refusals where Go would run this and only the interpreter does not; "" means that
	// the Go compiler refuses it too. Source whose errors all have one runs with engine: go.
	Refusal string
}

// MaxErrors is how many errors Check tells: those of the first lines, and then that there are more.
const MaxErrors = 50

// GoVersion returns the newest language version that can be checked and run, as "go1.26": the one that this binary was
// built with.
func GoVersion() string {
	tags := build.Default.ReleaseTags
	return tags[len(tags)-1]
}

// Check type-checks packages, given in any order, and returns them with dependencies before those that import them.
// Where there is any error it returns all errors instead, in the order of files and lines. What is imported must be among
// packages or available from package stdlib; import cycles are errors here too.
func Check(fset *token.FileSet, packages []Package) ([]*Checked, []Error) {
	c := &checker{
		fset:    fset,
		project: make(map[string]*project, len(packages)),
	}
	for _, p := range packages {
		c.project[p.Path] = &project{Package: p}
	}
	for _, p := range packages {
		c.visit(c.project[p.Path])
	}
	if len(c.errors) > 0 {
		return nil, told(fset, c.errors)
	}
	return c.done, nil
}

// checker is one call of Check.
type checker struct {
	fset    *token.FileSet
	project map[string]*project
	done    []*Checked
	errors  []Error
}

// project is a package on its way through Check.
type project struct {
	Package
	state state
	types *types.Package // once checked, whole or not
}

type state int

const (
	unseen state = iota
	open         // its imports are being checked: who imports it now closes a cycle
	closed
)

// visit checks what p imports, then p. Packages with errors are checked against nonetheless: what of them is not known is
// no error of those that use it.
func (c *checker) visit(p *project) {
	if p.state != unseen {
		return
	}
	p.state = open
	imports := importer{}
	unsure := map[*ast.File]bool{}
	for _, file := range p.Files {
		for _, spec := range file.Imports {
			if !c.resolve(spec, imports) && spec.Name == nil {
				unsure[file] = true
			}
		}
	}
	c.checkTypes(p, imports, unsure)
	p.state = closed
}

// resolve finds the package that spec imports; it is false, and has said why, where there is none.
func (c *checker) resolve(spec *ast.ImportSpec, imports importer) bool {
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil || path == "" || imports[path] != nil {
		return true // go/types has the compiler's words for a wrong path
	}
	if target := c.project[path]; target != nil {
		if target.state == open {
			c.errors = append(c.errors, Error{Pos: spec.Path.Pos(), Message: "import cycle not allowed"})
			return false
		}
		c.visit(target)
		imports[path] = target.types
		return true
	}
	pkg, err := stdlib.Import(path)
	if err != nil {
		c.errors = append(c.errors, c.unavailable(spec, path, err))
		return false
	}
	imports[path] = pkg
	return true
}

// importer gives go/types the packages that resolve has found. The others have been told of, and go/types says nothing
// about uses of a package that could not be imported.
type importer map[string]*types.Package

func (i importer) Import(path string) (*types.Package, error) {
	if pkg := i[path]; pkg != nil {
		return pkg, nil
	}
	return nil, fmt.Errorf("%s is not there", path)
}

// checkTypes checks p itself. Files are unsure where they import a package that is not there: go/types guesses its name.
func (c *checker) checkTypes(p *project, imports importer, unsure map[*ast.File]bool) {
	info := &types.Info{
		Types:        make(map[ast.Expr]types.TypeAndValue),
		Defs:         make(map[*ast.Ident]types.Object),
		Uses:         make(map[*ast.Ident]types.Object),
		Implicits:    make(map[ast.Node]types.Object),
		Instances:    make(map[*ast.Ident]types.Instance),
		Scopes:       make(map[ast.Node]*types.Scope),
		Selections:   make(map[*ast.SelectorExpr]*types.Selection),
		FileVersions: make(map[*ast.File]string),
	}
	var found []types.Error
	config := types.Config{
		GoVersion: p.GoVersion,
		Importer:  imports,
		Sizes:     types.SizesFor("gc", runtime.GOARCH),
		Error: func(err error) {
			found = append(found, err.(types.Error)) // documented to be one
		},
	}
	if config.GoVersion == "" {
		config.GoVersion = GoVersion()
	}
	// The error is the first of those that config.Error has been told.
	p.types, _ = config.Check(p.Path, c.fset, p.Files, info)
	w := words{fset: c.fset, files: p.Files, info: info, types: p.types, version: config.GoVersion, unsure: unsure}
	checked := &Checked{Path: p.Path, Types: p.types, Info: info, Files: p.Files}
	problems := w.all(found)
	if len(problems) == 0 {
		problems = append(anonymousCycles(checked), tooLarge(checked)...) // in types that are whole
	}
	if len(problems) == 0 {
		problems = tooLarge(checked)
	}
	c.errors = append(c.errors, problems...)
	c.errors = append(c.errors, directives(checked)...)
	c.done = append(c.done, checked)
}
