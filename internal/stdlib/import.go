package stdlib

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/go/gcexportdata"
)

// ErrNotAvailable says that interpreted modules cannot import a package.
var ErrNotAvailable = errors.New("not available to interpreted modules")

// typed are the packages that have generic types with methods, which come from source. The exported names of no other
// package lead to these types; so it is enough to add them when the package itself is imported.
var typed = []string{"sync/atomic", "unique", "weak"}

// A Checked is a package that was type-checked from source: what go/ssa needs to build its functions.
type Checked struct {
	Path  string
	Types *types.Package
	Info  *types.Info
	Files []*ast.File
}

// loaded is what Import has given out so far. Packages are shared by the whole process, since types are the same only if
// their packages are.
var loaded struct {
	sync.Mutex
	fset     *token.FileSet
	packages map[string]*types.Package // those among them that are only mentioned by others are not complete
	complete map[string]bool           // those that Import may give out
	sources  map[string]*Checked
}

// Import returns the declarations of a package that modules can import, "unsafe" among them; ErrNotAvailable for any
// other. It returns the same package each time and is safe for concurrent use. Objects have no positions.
func Import(path string) (*types.Package, error) {
	if _, ok := slices.BinarySearch(Packages(), path); !ok {
		return nil, fmt.Errorf("package %s is %w", path, ErrNotAvailable)
	}
	return load(path)
}

// Source returns a package of which Import has type-checked a part from source, to be handed to go/ssa as it is:
// sync/atomic, unique and weak, whose generic types have methods. These methods, and the package's generic functions, are
// to be interpreted; all its other functions and methods are declared without a body, since they are compiled code (see
// Symbols). The positions are those of no other file set: they are beyond all of them.
func Source(path string) (*Checked, bool) {
	if !slices.Contains(typed, path) {
		return nil, false
	}
	if _, err := load(path); err != nil {
		return nil, false
	}
	loaded.Lock()
	defer loaded.Unlock()
	return loaded.sources[path], true
}

// load is Import, and knows package native too.
func load(path string) (*types.Package, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.packages == nil {
		loaded.fset = token.NewFileSet()
		loaded.fset.AddFile("", -1, 1<<40) // so that no position here is one in another file set
		loaded.packages = map[string]*types.Package{}
		loaded.complete = map[string]bool{}
		loaded.sources = map[string]*Checked{}
	}
	return loadLocked(path)
}

// loadLocked is load for callers that hold the lock.
func loadLocked(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if loaded.complete[path] {
		return loaded.packages[path], nil
	}
	data, err := entry("export/" + path)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	imported, err := gcexportdata.Read(bytes.NewBuffer(data), loaded.fset, loaded.packages, path)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	if slices.Contains(typed, path) {
		if err := addGenerics(imported); err != nil {
			return nil, fmt.Errorf("import %s: %w", path, err)
		}
	}
	loaded.complete[path] = true
	return imported, nil
}

// addGenerics type-checks the generic part of a package into it.
func addGenerics(p *types.Package) error {
	text, err := entry("source/" + p.Path())
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(loaded.fset, p.Path()+".go", text, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse generics: %w", err)
	}
	compiled := p.Scope().Names()
	checked, err := check(p, loaded.fset, []*ast.File{file}, loadLocked)
	if err != nil {
		return err
	}
	declare(checked, compiled)
	loaded.sources[p.Path()] = checked
	return nil
}

// declare adds a file that declares the named objects of a package, and their methods, the way go/ssa reads declarations:
// all that it takes from them is which object a name defines.
func declare(checked *Checked, names []string) {
	file := &ast.File{Name: ast.NewIdent(checked.Types.Name())}
	define := func(object types.Object) *ast.Ident {
		id := ast.NewIdent(object.Name())
		checked.Info.Defs[id] = object
		return id
	}
	function := func(f *types.Func) {
		file.Decls = append(file.Decls, &ast.FuncDecl{Name: define(f), Type: &ast.FuncType{Params: &ast.FieldList{}}})
	}
	for _, name := range names {
		switch object := checked.Types.Scope().Lookup(name).(type) {
		case *types.Func:
			function(object)
		case *types.TypeName:
			spec := &ast.TypeSpec{Name: define(object)}
			file.Decls = append(file.Decls, &ast.GenDecl{Tok: token.TYPE, Specs: []ast.Spec{spec}})
			if named, ok := object.Type().(*types.Named); ok {
				for method := range named.Methods() {
					function(method)
				}
			}
		}
	}
	checked.Files = append(checked.Files, file)
	checked.Info.FileVersions[file] = Language()
}

// check type-checks source that gen made, into a package that is there already.
func check(into *types.Package, fset *token.FileSet, files []*ast.File, load func(string) (*types.Package, error)) (*Checked, error) {
	info := &types.Info{
		Types:        map[ast.Expr]types.TypeAndValue{},
		Instances:    map[*ast.Ident]types.Instance{},
		Defs:         map[*ast.Ident]types.Object{},
		Uses:         map[*ast.Ident]types.Object{},
		Implicits:    map[ast.Node]types.Object{},
		Selections:   map[*ast.SelectorExpr]*types.Selection{},
		Scopes:       map[ast.Node]*types.Scope{},
		FileVersions: map[*ast.File]string{},
	}
	config := types.Config{
		Importer:  importer(load),
		Sizes:     types.SizesFor("gc", runtime.GOARCH),
		GoVersion: Language(),
	}
	if err := types.NewChecker(&config, fset, into, info).Files(files); err != nil {
		return nil, fmt.Errorf("check source of %s: %w", into.Path(), err)
	}
	return &Checked{Path: into.Path(), Types: into, Info: info, Files: files}, nil
}

type importer func(path string) (*types.Package, error)

func (f importer) Import(path string) (*types.Package, error) { return f(path) }

// Language is the language version of the Go that coma is built with, "go1.26": what modules are written in.
func Language() string {
	version, _, _ := strings.Cut(runtime.Version(), " ")
	parts := strings.Split(version, ".")
	if !strings.HasPrefix(version, "go") || len(parts) < 2 {
		return "" // a development version: go/types takes it for the newest
	}
	return parts[0] + "." + parts[1]
}
