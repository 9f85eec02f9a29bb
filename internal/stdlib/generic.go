package stdlib

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// shadow is the prefix of the import paths of packages that Redirect makes: coma.std/slices.
const shadow = "coma.std/"

// Redirect makes the generic functions of the standard library that a program uses into packages of source, which are to
// be built with it by go/ssa: for slices.Sort and what it needs a package coma.std/slices, and so on. It changes each
// use in infos to be one of the function there; instances and types stay as they are, since signatures are the same.
//
// It parses into fset, with the names and lines of Go's own source ("slices/sort.go"). The packages that it returns share
// nothing with what other calls return, and contain no more than this program uses. They import packages of the standard
// library, not each other, and have nothing to initialize.
func Redirect(fset *token.FileSet, infos ...*types.Info) ([]*Checked, error) {
	wanted := map[string]map[string]*piece{} // by import path and name
	for _, info := range infos {
		for _, object := range info.Uses {
			if path, name, ok := generic(object); ok {
				if err := want(wanted, path, name); err != nil {
					return nil, err
				}
			}
		}
	}
	var shadows []*Checked
	byPath := map[string]*types.Package{}
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		made, err := assemble(fset, path, wanted[path])
		if err != nil {
			return nil, err
		}
		shadows = append(shadows, made)
		byPath[path] = made.Types
		infos = append(infos, made.Info) // shadows use each other
	}
	for _, info := range infos {
		for id, object := range info.Uses {
			if path, name, ok := generic(object); ok {
				info.Uses[id] = byPath[path].Scope().Lookup(name)
			}
		}
	}
	return shadows, nil
}

// generic tells whether an object is a generic function that is run from source.
func generic(object types.Object) (path, name string, ok bool) {
	f, ok := object.(*types.Func)
	if !ok || f.Pkg() == nil {
		return "", "", false
	}
	// Methods have a receiver, and no type parameters of their own. Functions of the module itself are not in the archive.
	if f.Signature().TypeParams().Len() == 0 || archive()["generic/"+f.Pkg().Path()+"/"+f.Name()] == nil {
		return "", "", false
	}
	return f.Pkg().Path(), f.Name(), true
}

// A piece is an entry of the archive: a declaration.
type piece struct {
	imports []string // quoted paths
	text    []byte   // from a line directive on
}

// want adds a declaration and all that it needs, those in other packages too.
func want(wanted map[string]map[string]*piece, importPath, name string) error {
	if wanted[importPath][name] != nil {
		return nil
	}
	text, err := entry("generic/" + importPath + "/" + name)
	if err != nil {
		return err
	}
	p := &piece{}
	if wanted[importPath] == nil {
		wanted[importPath] = map[string]*piece{}
	}
	wanted[importPath][name] = p
	for {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		if imported, ok := strings.CutPrefix(string(line), "//import "); ok {
			p.imports = append(p.imports, imported)
		} else if need, ok := strings.CutPrefix(string(line), "//need "); ok {
			if err := want(wanted, importPath, need); err != nil {
				return err
			}
		} else if use, ok := strings.CutPrefix(string(line), "//use "); ok {
			other, name, _ := strings.Cut(use, " ")
			if err := want(wanted, other, name); err != nil {
				return err
			}
		} else {
			p.text = text
			return nil
		}
		text = rest
	}
}

// assemble type-checks the package that declares pieces in place of a package of the standard library.
func assemble(fset *token.FileSet, importPath string, pieces map[string]*piece) (*Checked, error) {
	real, err := load(importPath)
	if err != nil {
		return nil, err
	}
	var imports []string
	var body bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(pieces)) {
		imports = append(imports, pieces[name].imports...)
		body.Write(pieces[name].text)
	}
	slices.Sort(imports)
	var text bytes.Buffer
	fmt.Fprintf(&text, "package %s\n", real.Name())
	for _, imported := range slices.Compact(imports) {
		fmt.Fprintf(&text, "import %s\n", imported)
	}
	text.Write(body.Bytes())
	file, err := parser.ParseFile(fset, "generics.go", text.Bytes(), parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse generics of %s: %w", importPath, err)
	}
	return check(types.NewPackage(shadow+importPath, real.Name()), fset, []*ast.File{file}, load)
}
