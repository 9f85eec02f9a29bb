package interp

import (
	"fmt"
	"go/types"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/tools/txtar"

	"github.com/concurrent-modular-agent/coma/internal/rtype"
	"github.com/concurrent-modular-agent/coma/internal/stdlib"
)

// TestEmbedding embeds every exported type of the standard library: what it promotes, unexported methods with unexported
// types in their signatures too, must be no obstacle.
func TestEmbedding(t *testing.T) {
	count := 0
	for _, path := range stdlib.Packages() {
		if path == "unsafe" {
			continue
		}
		pkg, err := stdlib.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		var source strings.Builder
		fmt.Fprintf(&source, "-- a.go --\npackage embeds\nimport p %q\nfunc Main() (all []any) {\n", path)
		before := count
		for _, name := range pkg.Scope().Names() {
			obj, ok := pkg.Scope().Lookup(name).(*types.TypeName)
			if !ok || !obj.Exported() || stdlib.Symbols(path)[name].Kind() != reflect.Pointer {
				continue // not a type, or a generic one
			}
			if _, ok := obj.Type().Underlying().(*types.Pointer); ok || types.Identical(obj.Type(), types.Typ[types.UnsafePointer]) {
				continue // cannot be embedded
			}
			if i, ok := obj.Type().Underlying().(*types.Interface); ok && !i.IsMethodSet() {
				continue
			}
			fmt.Fprintf(&source, "\t{ type T%d struct { p.%s }; all = append(all, T%d{}, new(T%d)) }\n", count, name, count, count)
			count++
		}
		source.WriteString("\treturn all\n}\n")
		if count == before {
			continue
		}
		p, errs, err := load(t, txtar.Parse([]byte(source.String())), "embeds")
		if err != nil || len(errs) > 0 {
			t.Errorf("%s: %v %v", path, err, errs)
			continue
		}
		for _, v := range p.Lookup("embeds", "Main").Interface().(func() []any)() {
			typ := reflect.TypeOf(v)
			embedded := typ
			if typ.Kind() == reflect.Pointer {
				embedded = typ.Elem()
			}
			field := embedded.Field(0)
			from := field.Type
			if typ.Kind() == reflect.Pointer && from.Kind() != reflect.Interface {
				from = reflect.PointerTo(from)
			}
			want := 0
			for m := range from.Methods() {
				if m.IsExported() && m.Name != field.Name { // the field hides a method of its name
					want++
				}
			}
			if typ.NumMethod() != want {
				t.Errorf("%v that embeds %v has %d methods, not %d", typ, field.Type, typ.NumMethod(), want)
			}
		}
		p.Halt()
		p.Close()
	}
	if count < 1000 {
		t.Errorf("only %d types", count)
	}
}

// TestUnexportedMethods: types that embed compiled ones implement the interfaces that only these can implement.
func TestUnexportedMethods(t *testing.T) {
	const source = `-- a.go --
package unexported

import ("go/ast"; "go/token"; "net"; "reflect"; "fmt")

type expr struct { ast.Expr; note string }
type ident struct { *ast.Ident }
type typ struct { reflect.Type }
type addr struct { net.TCPAddr }

func Main() string {
	var list []ast.Expr = []ast.Expr{expr{&ast.Ident{NamePos: 7, Name: "x"}, "n"}, ident{&ast.Ident{NamePos: 9}}}
	sum := token.Pos(0)
	for _, e := range list { sum += e.Pos() }
	var rt reflect.Type = typ{reflect.TypeFor[int]()}
	var a net.Addr = &addr{net.TCPAddr{Port: 80}}
	_, isExpr := any(ident{}).(ast.Expr)
	_, isStmt := any(ident{}).(ast.Stmt)
	_, isType := any(rt).(reflect.Type)
	return fmt.Sprint(sum, rt.Kind(), a, isExpr, isStmt, isType)
}
`
	p := mustLoad(t, txtar.Parse([]byte(source)), "unexported")
	if got, want := mainOf(p, "unexported"), "16 int :80 true false true"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestNoSecondIdentity: an unnamed type that compiled packages show is the very one that interpreted code gets. Those
// with embedded or blank fields, and interfaces with methods, would be others: there must be none.
func TestNoSecondIdentity(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(rt reflect.Type)
	walk = func(rt reflect.Type) {
		if seen[rt] {
			return
		}
		seen[rt] = true
		switch rt.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Chan:
			walk(rt.Elem())
		case reflect.Map:
			walk(rt.Key())
			walk(rt.Elem())
		case reflect.Func:
			for in := range rt.Ins() {
				walk(in)
			}
			for out := range rt.Outs() {
				walk(out)
			}
		case reflect.Interface:
			if rt.Name() == "" && rt.NumMethod() > 0 {
				t.Errorf("%v is an unnamed interface", rt)
			}
		case reflect.Struct:
			for f := range rt.Fields() {
				if rt.Name() == "" && (f.Anonymous || f.Name == "_") {
					t.Errorf("%v is an unnamed struct that reflect cannot make", rt)
				}
				if f.IsExported() {
					walk(f.Type)
				}
			}
		}
		if rt.Name() != "" && rt.PkgPath() != "" && rt.Kind() != reflect.Interface {
			rt = reflect.PointerTo(rt)
		}
		for m := range rt.Methods() {
			walk(m.Type)
		}
	}
	for _, path := range stdlib.Packages() {
		for _, v := range stdlib.Symbols(path) {
			walk(v.Type())
		}
	}
	if len(seen) < 5000 {
		t.Errorf("only %d types", len(seen))
	}
}

// TestStructOfItself: a method may mention an unnamed struct which embeds its receiver, and so has that method.
func TestStructOfItself(t *testing.T) {
	const source = `-- a.go --
package itself
import "fmt"
type T struct{ n int }
func (t *T) Wrap() struct{ *T } { return struct{ *T }{t} }
func (t T) String() string { return fmt.Sprint("T", t.n) }
func Main() string {
	w := (&T{1}).Wrap().Wrap()
	_, again := any(w).(interface{ Wrap() struct{ *T } })
	return fmt.Sprint(w, again)
}
`
	for range 2 { // as new types, and as those of the program before
		p := mustLoad(t, txtar.Parse([]byte(source)), "itself")
		if got, want := mainOf(p, "itself"), "T1 true"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		p.Halt()
		p.Close()
	}
}

func TestAligned(t *testing.T) {
	m := func(name, pkg string, raw rtype.RawCall) rtype.Method {
		return rtype.Method{Name: name, PkgPath: pkg, Raw: raw}
	}
	code := func(unsafe.Pointer, unsafe.Pointer) {}
	have := []rtype.Method{m("A", "", nil), m("b", "p", nil), m("c", "p", nil)}
	got := aligned(have, []rtype.Method{m("b", "p", code), m("b", "q", code), m("d", "p", code), m("A", "", code)})
	for i, want := range []bool{true, true, false} {
		if got[i].Name != have[i].Name || (got[i].Raw != nil) != want {
			t.Errorf("method %s has code: %t", got[i].Name, got[i].Raw != nil)
		}
	}
	if have[0].Raw != nil {
		t.Error("the type's own list was changed")
	}
}
