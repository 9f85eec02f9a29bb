package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// typed are the packages that have generic types with methods. Their generics are part of the package itself, from our
// own source, and the export data have only the rest.
var typed = []string{"sync/atomic", "unique", "weak"}

// sources are the archive's entries with source text: of generic types as a whole, and of generic functions of all other
// packages with the declarations that they need.
func sources(w *world) (map[string][]byte, error) {
	entries := map[string][]byte{}
	for _, path := range typed {
		text, err := unqualified(path)
		if err != nil {
			return nil, fmt.Errorf("make source of %s: %w", path, err)
		}
		entries["source/"+path] = text
	}
	for _, path := range w.offered {
		if slices.Contains(typed, path) {
			continue
		}
		var names []string
		exported(w.packages[path].types, func(object types.Object) {
			if f, ok := object.(*types.Func); ok && f.Signature().TypeParams().Len() > 0 {
				names = append(names, f.Name())
			}
		})
		if len(names) == 0 {
			continue
		}
		if err := cut(w, w.packages[path], names, entries); err != nil {
			return nil, fmt.Errorf("cut generics of %s: %w", path, err)
		}
	}
	return entries, nil
}

// replacement is the folder with our own source for generics of a package; there may be none.
func replacement(path string) string {
	out, _ := filepath.Abs(".") // go generate runs in the folder of package stdlib
	return filepath.Join(out, "replace", filepath.FromSlash(path))
}

// A file is a Go file with the parser's own resolution of names, which is all that cutting needs.
type file struct {
	*ast.File
	name string
	text []byte
}

func parse(fset *token.FileSet, folder string, names []string) ([]file, error) {
	var files []file
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		parsed, err := parser.ParseFile(fset, name, text, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, file{parsed, name, text})
	}
	return files, nil
}

// replacements parses our own source for generics of a package.
func replacements(fset *token.FileSet, path string) ([]file, error) {
	found, err := filepath.Glob(filepath.Join(replacement(path), "*.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range found {
		if !strings.HasSuffix(name, "_test.go") {
			names = append(names, filepath.Base(name))
		}
	}
	return parse(fset, replacement(path), names)
}

// unqualified is our own source for the generics of a package, as it stands inside that package: it does not import it.
func unqualified(path string) ([]byte, error) {
	fset := token.NewFileSet()
	files, err := replacements(fset, path)
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("%s has %d files, want one", replacement(path), len(files))
	}
	var text bytes.Buffer
	offset := 0
	drop := func(from, to token.Pos) {
		text.Write(files[0].text[offset:fset.Position(from).Offset])
		offset = fset.Position(to).Offset
	}
	ast.Inspect(files[0].File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			if n.Path.Value == strconv.Quote(path) {
				drop(n.Pos(), n.End())
			}
		case *ast.SelectorExpr:
			if slices.Contains(imported(files[0], n), strconv.Quote(path)) {
				drop(n.Pos(), n.Sel.Pos())
			}
		}
		return true
	})
	text.Write(files[0].text[offset:])
	return text.Bytes(), nil
}

// withoutGenerics type-checks a package without its generic functions and types, and without variables, of which those
// packages export none.
func withoutGenerics(w *world, path string) (*types.Package, error) {
	s := *w.packages[path]
	s.files, s.types = nil, nil
	for _, parsed := range w.packages[path].files {
		reduced := *parsed
		reduced.Decls = nil
		for _, decl := range parsed.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if generic(d) {
					continue
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					continue
				}
				if d.Tok == token.TYPE {
					some := *d
					some.Specs = slices.DeleteFunc(slices.Clone(d.Specs), func(spec ast.Spec) bool {
						return spec.(*ast.TypeSpec).TypeParams != nil
					})
					if decl = &some; len(some.Specs) == 0 {
						continue
					}
				}
			}
			reduced.Decls = append(reduced.Decls, decl)
		}
		s.files = append(s.files, &reduced)
	}
	if err := w.checkFiles(&s); err != nil {
		return nil, err
	}
	return s.types, nil
}

// generic tells whether a function, or the receiver of a method, has type parameters.
func generic(decl *ast.FuncDecl) bool {
	if decl.Recv == nil {
		return decl.Type.TypeParams != nil
	}
	receiver := decl.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	switch receiver.(type) {
	case *ast.IndexExpr, *ast.IndexListExpr:
		return true
	}
	return false
}

// imported lists the imports of file that a part of it uses, quoted.
func imported(file file, node ast.Node) []string {
	var used []string
	ast.Inspect(node, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := selector.X.(*ast.Ident)
		if !ok || x.Obj != nil {
			return true
		}
		for _, spec := range file.Imports {
			if name, err := strconv.Unquote(spec.Path.Value); err == nil && importName(name) == x.Name {
				if !slices.Contains(used, spec.Path.Value) {
					used = append(used, spec.Path.Value)
				}
			}
		}
		return true
	})
	return used
}

// importName is the name of the package at a path of the standard library, or of package native.
func importName(importPath string) string {
	if base := path.Base(importPath); base != "v2" {
		return base
	}
	return path.Base(path.Dir(importPath))
}
