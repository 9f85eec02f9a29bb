package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strconv"
)

// A piece is a declaration that can be cut out of its file: a function, a type with its methods, or a group of constants
// or variables, which stay together because constants count with iota.
type piece struct {
	name  string // of the function or type, the first of a group
	file  file
	nodes []ast.Node
	at    string // what its positions call the folder of the file
}

// cut adds an entry for each of the generic functions with those names and for each declaration that they need. An entry
// is a piece of Go source after lines of comment: "//import path", "//need name" of another entry, "//use path name" of one
// of another package.
//
// A reference to an exported name of the package that is not generic becomes a reference to the package itself: the
// function will stand in a package of its own, and types have to stay what they are.
func cut(w *world, s *source, names []string, entries map[string][]byte) error {
	fset := token.NewFileSet()
	theirs, err := parse(fset, s.Dir, s.GoFiles)
	if err != nil {
		return err
	}
	ours, err := replacements(fset, s.ImportPath)
	if err != nil {
		return err
	}
	pieces := map[string]*piece{}
	for _, file := range theirs {
		collect(file, s.ImportPath, pieces)
	}
	for _, file := range ours { // in place of theirs
		collect(file, "coma.std/"+s.ImportPath, pieces)
	}
	done := map[string]bool{}
	for todo := slices.Clone(names); len(todo) > 0; todo = todo[1:] {
		p := pieces[todo[0]]
		if p == nil {
			return fmt.Errorf("%s is not declared", todo[0])
		}
		if done[p.name] {
			continue
		}
		done[p.name] = true
		needs, text := p.print(fset, s.ImportPath, pieces, names)
		for _, use := range uses(w, p) {
			text = append([]byte("//use "+use+"\n"), text...)
		}
		entries["generic/"+s.ImportPath+"/"+p.name] = text
		todo = append(todo, needs...)
	}
	return nil
}

// collect adds the pieces of a file by each of their names.
func collect(file file, at string, pieces map[string]*piece) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				pieces[decl.Name.Name] = &piece{decl.Name.Name, file, []ast.Node{decl}, at}
			}
		case *ast.GenDecl:
			var group *piece
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					pieces[spec.Name.Name] = &piece{spec.Name.Name, file, append([]ast.Node{spec}, methods(file, spec.Name.Name)...), at}
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						if group == nil {
							group = &piece{name.Name, file, []ast.Node{decl}, at}
						}
						pieces[name.Name] = group
					}
				}
			}
		}
	}
}

// methods are the methods of a type, which stand in the same file wherever a generic function needs such a type.
func methods(file file, name string) []ast.Node {
	var found []ast.Node
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil {
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if id, ok := receiver.(*ast.Ident); ok && id.Name == name {
				found = append(found, f)
			}
		}
	}
	return found
}

// print returns the entry of a piece, and the names of the pieces that it needs. The text is that of the file, so that
// lines are those of the standard library's own source; only columns move, where a name is qualified.
func (p *piece) print(fset *token.FileSet, importPath string, pieces map[string]*piece, generics []string) (needs []string, entry []byte) {
	unresolved := map[*ast.Ident]bool{}
	for _, id := range p.file.Unresolved {
		unresolved[id] = true
	}
	var imports []string
	var code bytes.Buffer
	for _, node := range p.nodes {
		fmt.Fprintf(&code, "//line %s/%s:%d\n", p.at, p.file.name, fset.Position(node.Pos()).Line)
		if _, ok := node.(*ast.TypeSpec); ok {
			code.WriteString("type ")
		}
		offset := fset.Position(node.Pos()).Offset
		ast.Inspect(node, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || pieces[id.Name] == nil || !unresolved[id] && (id.Obj == nil || p.file.Scope.Lookup(id.Name) != id.Obj) {
				return true
			}
			if need := pieces[id.Name].name; !id.IsExported() || slices.Contains(generics, id.Name) {
				if need != p.name && !slices.Contains(needs, need) {
					needs = append(needs, need)
				}
				return true
			}
			start := fset.Position(id.Pos()).Offset
			code.Write(p.file.text[offset:start])
			code.WriteString(importName(importPath) + ".")
			offset = start
			imports = append(imports, strconv.Quote(importPath))
			return true
		})
		code.Write(p.file.text[offset:fset.Position(node.End()).Offset])
		code.WriteString("\n")
		imports = append(imports, imported(p.file, node)...)
	}
	slices.Sort(imports)
	var head bytes.Buffer
	for _, imported := range slices.Compact(imports) {
		fmt.Fprintf(&head, "//import %s\n", imported)
	}
	for _, need := range needs {
		fmt.Fprintf(&head, "//need %s\n", need)
	}
	return needs, append(head.Bytes(), code.Bytes()...)
}

// uses lists the generic functions of other packages that a piece uses, as "path name".
func uses(w *world, p *piece) []string {
	found := map[string]bool{}
	for _, node := range p.nodes {
		ast.Inspect(node, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			for _, quoted := range imported(p.file, selector) {
				path, err := strconv.Unquote(quoted)
				if err != nil || path == "unsafe" {
					continue
				}
				f, ok := w.packages[path].types.Scope().Lookup(selector.Sel.Name).(*types.Func)
				if ok && f.Signature().TypeParams().Len() > 0 {
					found[path+" "+f.Name()] = true
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}
