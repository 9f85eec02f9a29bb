package main

import (
	"go/ast"
	"go/token"
	"go/types"
)

// Export data hold all that a package's exported names lead to, and decoding them is most of what an import costs. What
// a package keeps to itself leads furthest, and nobody can use it: prune leaves of it what type-checking a user of the
// package can tell. These are the sizes of fields, whether a type can be compared, and the unexported methods that
// interfaces ask for.

// withoutPrivate drops the unexported methods of a parsed package that neither one of its interfaces has nor a
// package-level declaration uses.
func withoutPrivate(files []*ast.File) {
	asked := map[string]bool{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				return false
			case *ast.SelectorExpr:
				asked[n.Sel.Name] = true
			case *ast.InterfaceType:
				for _, method := range n.Methods.List {
					for _, name := range method.Names {
						asked[name.Name] = true
					}
				}
			}
			return true
		})
	}
	for _, file := range files {
		kept := file.Decls[:0]
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && !f.Name.IsExported() && !asked[f.Name.Name] {
				continue
			}
			kept = append(kept, decl)
		}
		file.Decls = kept
	}
}

// hideFields gives the unexported fields of the exported struct types of a package types that only take up their room.
// Embedded fields stay, since they lend their methods; so do fields of generic types, whose size is not known.
func hideFields(p *types.Package, sizes types.Sizes) {
	for _, name := range p.Scope().Names() {
		object, ok := p.Scope().Lookup(name).(*types.TypeName)
		if !ok || object.IsAlias() {
			continue
		}
		named, ok := object.Type().(*types.Named)
		if !ok || named.TypeParams().Len() > 0 {
			continue
		}
		full, ok := named.Underlying().(*types.Struct)
		if !ok {
			continue
		}
		fields := make([]*types.Var, full.NumFields())
		tags := make([]string, full.NumFields())
		for i := range fields {
			fields[i], tags[i] = full.Field(i), full.Tag(i)
			if f := fields[i]; !f.Exported() && !f.Embedded() {
				fields[i] = types.NewField(token.NoPos, f.Pkg(), f.Name(), room(f.Type(), p, sizes), false)
			}
		}
		named.SetUnderlying(types.NewStruct(fields, tags))
	}
}

// room is a type of the same size and alignment as t that can be compared if t can.
func room(t types.Type, p *types.Package, sizes types.Sizes) types.Type {
	if basic, ok := t.(*types.Basic); ok {
		return basic
	}
	size, align := sizes.Sizeof(t), sizes.Alignof(t)
	units := map[int64]types.BasicKind{1: types.Uint8, 2: types.Uint16, 4: types.Uint32, 8: types.Uint64}
	fill := types.NewArray(types.Typ[units[align]], size/align)
	if types.Comparable(t) {
		return fill
	}
	blocker := types.NewArray(types.NewSignatureType(nil, nil, nil, nil, nil, false), 0)
	if size == 0 {
		return blocker
	}
	return types.NewStruct([]*types.Var{
		types.NewField(token.NoPos, p, "_", blocker, false),
		types.NewField(token.NoPos, p, "_", fill, false),
	}, nil)
}
