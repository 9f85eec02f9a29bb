package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
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

// whole are the packages that package stdlib type-checks from source, because they have generic types with methods.
var whole = []string{"sync/atomic", "unique", "weak"}

// sources are the archive's entries with source text: packages as a whole, and generic functions of all others with the
// declarations that they need.
func sources(w *world) (map[string][]byte, error) {
	entries := map[string][]byte{}
	for _, path := range whole {
		text, err := wholeSource(w, path)
		if err != nil {
			return nil, fmt.Errorf("make source of %s: %w", path, err)
		}
		entries["source/"+path] = text
	}
	for _, path := range w.offered {
		if slices.Contains(whole, path) {
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

// wholeSource is the text of one file with all declarations of a package: our own where there is one; else the standard
// library's, in which functions that are not generic have no body, since compiled code runs them.
func wholeSource(w *world, path string) ([]byte, error) {
	fset := token.NewFileSet()
	files, err := replacements(fset, path)
	if err != nil {
		return nil, err
	}
	ours := len(files) > 0
	if !ours {
		if files, err = parse(fset, w.packages[path].Dir, w.packages[path].GoFiles); err != nil {
			return nil, err
		}
	}
	imports := map[string]bool{}
	var body bytes.Buffer
	for _, file := range files {
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.GenDecl:
				if decl.Tok == token.IMPORT || decl.Tok == token.VAR && !ours {
					continue
				}
			case *ast.FuncDecl:
				if !ours && !generic(decl) {
					if decl.Recv == nil && !decl.Name.IsExported() {
						continue
					}
					decl.Body = nil
				}
			}
			if err := format.Node(&body, fset, decl); err != nil {
				return nil, err
			}
			body.WriteString("\n\n")
			for _, imported := range imported(file, decl) {
				imports[imported] = true
			}
		}
	}
	text := fmt.Sprintf("package %s\n\n", files[0].Name.Name)
	for imported := range imports {
		text += "import " + imported + "\n"
	}
	return format.Source([]byte(text + "\n" + body.String()))
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
