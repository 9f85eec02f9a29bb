package stdlib

import (
	"bytes"
	"errors"
	"go/token"
	"go/types"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"golang.org/x/tools/go/gcexportdata"
)

// Every exported function, variable and type that Import tells of has a value, whose type compiled code lays out and
// names as Import says, field by field, all the way down; and no others have one.
func TestSymbolsMatchDeclarations(t *testing.T) {
	seen := map[reflect.Type]types.Type{}
	for _, path := range append(slices.Clone(Packages()), native) {
		if path == "unsafe" {
			continue // the interpreter's own affair
		}
		imported, err := load(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !imported.Complete() {
			t.Errorf("%s is not complete", path)
		}
		values := Symbols(path)
		count := 0
		for _, name := range imported.Scope().Names() {
			object := imported.Scope().Lookup(name)
			if !object.Exported() || !hasValue(object) {
				continue
			}
			count++
			value, ok := values[name]
			if !ok {
				t.Errorf("%s.%s has no value", path, name)
				continue
			}
			got := value.Type()
			switch object.(type) {
			case *types.TypeName:
				if got.Kind() != reflect.Pointer || !value.IsNil() {
					t.Errorf("%s.%s is not a nil pointer", path, name)
					continue
				}
				got = got.Elem()
			case *types.Var:
				if !value.CanSet() {
					t.Errorf("%s.%s cannot be set", path, name)
				}
			}
			if why := differ(object.Type(), got, seen); why != "" {
				t.Errorf("%s.%s: %s", path, name, why)
			}
		}
		if count != len(values) {
			t.Errorf("%s has %d values, want %d", path, len(values), count)
		}
	}
	if len(seen) < 1000 {
		t.Errorf("compared only %d types", len(seen))
	}
}

// hasValue tells whether an exported object is neither a constant, nor generic, nor a constraint.
func hasValue(object types.Object) bool {
	switch object := object.(type) {
	case *types.Func:
		return object.Signature().TypeParams().Len() == 0
	case *types.Var:
		return true
	case *types.TypeName:
		if named, ok := object.Type().(*types.Named); ok && named.TypeParams().Len() > 0 {
			return false
		}
		i, ok := object.Type().Underlying().(*types.Interface)
		return !ok || i.IsMethodSet() && !i.IsComparable()
	}
	return false
}

// differ says how a type that was imported differs from one of compiled code, or "".
func differ(want types.Type, got reflect.Type, seen map[reflect.Type]types.Type) string {
	want = types.Unalias(want)
	if known, ok := seen[got]; ok && types.Identical(known, want) {
		return ""
	}
	seen[got] = want
	if size := types.SizesFor("gc", runtime.GOARCH).Sizeof(want); size != int64(got.Size()) {
		return want.String() + " has another size"
	}
	if named, ok := want.(*types.Named); ok {
		return differNamed(named, got, seen)
	}
	in := func(why string) string {
		if why == "" {
			return ""
		}
		return "in " + got.String() + ": " + why
	}
	switch want := want.(type) {
	case *types.Basic:
		kinds := map[types.BasicKind]reflect.Kind{types.String: reflect.String, types.UnsafePointer: reflect.UnsafePointer}
		kind, ok := kinds[want.Kind()]
		if !ok {
			kind = reflect.Kind(want.Kind()) // both count Bool, Int … Complex128 in one order
		}
		if got.Kind() == kind && (got.PkgPath() == "" || kind == reflect.UnsafePointer) {
			return ""
		}
	case *types.Pointer:
		if got.Kind() == reflect.Pointer {
			return in(differ(want.Elem(), got.Elem(), seen))
		}
	case *types.Slice:
		if got.Kind() == reflect.Slice {
			return in(differ(want.Elem(), got.Elem(), seen))
		}
	case *types.Array:
		if got.Kind() == reflect.Array && int64(got.Len()) == want.Len() {
			return in(differ(want.Elem(), got.Elem(), seen))
		}
	case *types.Chan:
		directions := map[types.ChanDir]reflect.ChanDir{types.SendRecv: reflect.BothDir, types.SendOnly: reflect.SendDir, types.RecvOnly: reflect.RecvDir}
		if got.Kind() == reflect.Chan && got.ChanDir() == directions[want.Dir()] {
			return in(differ(want.Elem(), got.Elem(), seen))
		}
	case *types.Map:
		if got.Kind() == reflect.Map {
			if why := differ(want.Key(), got.Key(), seen); why != "" {
				return in(why)
			}
			return in(differ(want.Elem(), got.Elem(), seen))
		}
	case *types.Signature:
		if got.Kind() == reflect.Func {
			return in(differFunc(want, got, 0, seen))
		}
	case *types.Struct:
		if got.Kind() == reflect.Struct && got.NumField() == want.NumFields() {
			for i := range want.NumFields() {
				field := got.Field(i)
				if field.Name != want.Field(i).Name() || field.Anonymous != want.Field(i).Embedded() || string(field.Tag) != want.Tag(i) {
					return in("another field than " + field.Name)
				}
				if !want.Field(i).Exported() && !want.Field(i).Embedded() {
					if why := differRoom(want.Field(i).Type(), field.Type); why != "" {
						return in(field.Name + ": " + why)
					}
					continue
				}
				if why := differ(want.Field(i).Type(), field.Type, seen); why != "" {
					return in(field.Name + ": " + why)
				}
			}
			return ""
		}
	case *types.Interface:
		if got.Kind() == reflect.Interface && got.NumMethod() == want.NumMethods() {
			for method := range want.Methods() {
				i := slices.IndexFunc(slices.Collect(got.Methods()), func(m reflect.Method) bool { return m.Name == method.Name() })
				if i < 0 {
					return in("no method " + method.Name())
				}
				if why := differFunc(method.Signature(), got.Method(i).Type, 0, seen); why != "" {
					return in(method.Name() + ": " + why)
				}
			}
			return ""
		}
	}
	return got.String() + " is not " + want.String()
}

func differNamed(want *types.Named, got reflect.Type, seen map[reflect.Type]types.Type) string {
	path := ""
	if p := want.Obj().Pkg(); p != nil {
		path = p.Path()
	}
	if got.PkgPath() != path {
		return got.String() + " is not of " + path
	}
	if want.TypeArgs().Len() == 0 && got.Name() != want.Obj().Name() {
		return got.String() + " is not " + want.String()
	}
	if want.TypeArgs().Len() > 0 && slices.Contains(typed, path) {
		return "" // laid out alike (the size is compared), from another source
	}
	if why := differ(want.Underlying(), underlying{got}, seen); why != "" {
		return why
	}
	if types.IsInterface(want) {
		return ""
	}
	set := types.NewMethodSet(types.NewPointer(want))
	exported := 0
	for selection := range set.Methods() {
		method := selection.Obj().(*types.Func)
		if !method.Exported() {
			continue
		}
		exported++
		m, ok := reflect.PointerTo(got).MethodByName(method.Name())
		if !ok {
			return got.String() + " has no method " + method.Name()
		}
		if why := differFunc(method.Signature(), m.Type, 1, seen); why != "" {
			return got.String() + "." + method.Name() + ": " + why
		}
	}
	if n := reflect.PointerTo(got).NumMethod(); n != exported {
		return got.String() + " has other methods"
	}
	return ""
}

// underlying is a defined type, to be looked at without its name.
type underlying struct{ reflect.Type }

func (underlying) PkgPath() string { return "" }

// differRoom is differ for a field that only takes up the room that compiled code gives it.
func differRoom(want types.Type, got reflect.Type) string {
	sizes := types.SizesFor("gc", runtime.GOARCH)
	if sizes.Sizeof(want) != int64(got.Size()) || sizes.Alignof(want) != int64(got.Align()) {
		return "another size or alignment"
	}
	if types.Comparable(want) != got.Comparable() {
		return "comparable or not"
	}
	return ""
}

func differFunc(want *types.Signature, got reflect.Type, skip int, seen map[reflect.Type]types.Type) string {
	if got.NumIn()-skip != want.Params().Len() || got.NumOut() != want.Results().Len() || got.IsVariadic() != want.Variadic() {
		return got.String() + " is not " + want.String()
	}
	for i := range want.Params().Len() {
		if why := differ(want.Params().At(i).Type(), got.In(i+skip), seen); why != "" {
			return why
		}
	}
	for i := range want.Results().Len() {
		if why := differ(want.Results().At(i).Type(), got.Out(i), seen); why != "" {
			return why
		}
	}
	return ""
}

func TestImportRefuses(t *testing.T) {
	refused := []string{native, "internal/abi", "no/such", "", "C", "export/fmt"}
	for _, missing := range Absent() {
		refused = append(refused, missing.Path)
		if missing.Reason == "" {
			t.Errorf("%s is absent for no reason", missing.Path)
		}
	}
	for _, path := range refused {
		if _, err := Import(path); !errors.Is(err, ErrNotAvailable) {
			t.Errorf("import %q: %v, want ErrNotAvailable", path, err)
		}
		if path != native && Symbols(path) != nil {
			t.Errorf("%q has symbols", path)
		}
	}
}

func TestImportIsTheSameForAll(t *testing.T) {
	const path = "net/http/httputil"
	var wg sync.WaitGroup
	got := make([]*types.Package, 8)
	for i := range got {
		wg.Go(func() {
			if _, err := Import(Packages()[i*7]); err != nil {
				t.Error(err)
			}
			imported, err := Import(path)
			if err != nil {
				t.Error(err)
			}
			got[i] = imported
		})
	}
	wg.Wait()
	if got := slices.Compact(got); len(got) != 1 || got[0].Path() != path {
		t.Errorf("got %v", got)
	}
}

func TestInstance(t *testing.T) {
	if got, want := Instance("iter.Seq[string]"), reflect.TypeFor[func(func(string) bool)](); got == nil || !got.ConvertibleTo(want) || got.Name() != "Seq[string]" {
		t.Errorf("got %v", got)
	}
	if got := Instance("iter.Seq[main.T]"); got != nil {
		t.Errorf("got %v for a type that nobody knows", got)
	}
}

// Were a generic type that comes from source mentioned by another package, it would be declared twice.
func TestNobodyMentionsTypesFromSource(t *testing.T) {
	packages := map[string]*types.Package{}
	for _, path := range Packages() {
		if path == "unsafe" || slices.Contains(typed, path) {
			continue
		}
		data, err := entry("export/" + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gcexportdata.Read(bytes.NewBuffer(data), token.NewFileSet(), packages, path); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range typed {
		checked, ok := Source(path)
		if !ok {
			t.Fatalf("no source of %s", path)
		}
		for _, object := range checked.Info.Defs {
			if object == nil || object.Pkg() == nil || object.Parent() != object.Pkg().Scope() || packages[path] == nil {
				continue
			}
			if named, ok := object.Type().(*types.Named); ok && named.TypeParams().Len() > 0 && packages[path].Scope().Lookup(object.Name()) != nil {
				t.Errorf("%s.%s is mentioned", path, object.Name())
			}
		}
	}
}

// Unexported methods are imported only as far as interfaces ask for them; that must decide nothing differently.
func TestImplementsAsCompiled(t *testing.T) {
	count := 0
	for _, path := range Packages() {
		imported, err := Import(path)
		if err != nil {
			t.Fatal(err)
		}
		values := Symbols(path)
		for _, name := range imported.Scope().Names() {
			asked, ok := imported.Scope().Lookup(name).(*types.TypeName)
			if !ok || !asked.Exported() || !hasValue(asked) || !types.IsInterface(asked.Type()) {
				continue
			}
			for _, name := range imported.Scope().Names() {
				object, ok := imported.Scope().Lookup(name).(*types.TypeName)
				if !ok || !object.Exported() || !hasValue(object) {
					continue
				}
				want := values[object.Name()].Type().Implements(values[asked.Name()].Type().Elem())
				got := types.Implements(types.NewPointer(object.Type()), asked.Type().Underlying().(*types.Interface))
				if got != want {
					t.Errorf("*%s.%s implements %s: %t, want %t", path, object.Name(), asked.Name(), got, want)
				}
				if want {
					count++
				}
			}
		}
	}
	if count < 300 {
		t.Errorf("only %d types implement something", count)
	}
}
