package rtype

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// constant is a method func() string that returns text.
func constant(name, text string) Method {
	return Method{Name: name, PkgPath: "rtype/test", Type: reflect.TypeFor[func() string](), Call: func(unsafe.Pointer, []reflect.Value) []reflect.Value {
		return []reflect.Value{reflect.ValueOf(text)}
	}}
}

func namedInt(t *testing.T, methods ...Method) *Named {
	n := NewNamed("rtype/test", "test", "T")
	must(t, n.Complete(reflect.TypeFor[int]()))
	must(t, n.SetMethods(methods, methods))
	return n
}

// TestReuse: new code behind old methods, while others call them.
func TestReuse(t *testing.T) {
	n := namedInt(t, constant("Error", "0"), constant("secret", "0"))
	v := reflect.New(n.Type()).Interface().(error)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for last := ""; ; {
				got := v.Error()
				if got < last {
					t.Errorf("%s after %s", got, last)
				}
				last = got
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	before := taken.Load()
	for i := range 100 {
		text := fmt.Sprintf("%03d", i)
		list := []Method{constant("secret", text), constant("Error", text)} // in any order
		must(t, n.SetMethods(list, list))
		if got := v.Error(); got != text {
			t.Fatalf("%s, want %s", got, text)
		}
		if got := reflect.Zero(n.Type()).Interface().(error).Error(); got != text {
			t.Fatalf("value: %s, want %s", got, text)
		}
	}
	close(stop)
	group.Wait()
	if taken.Load() != before {
		t.Error("reuse took entry points")
	}
	for name, other := range map[string][]Method{
		"fewer": {constant("Error", "")}, "more": {constant("Error", ""), constant("secret", ""), constant("More", "")},
		"other name": {constant("Errors", ""), constant("secret", "")},
		"other type": {constant("Error", ""), {Name: "secret", PkgPath: "rtype/test", Type: reflect.TypeFor[func() int]()}},
		"other home": {constant("Error", ""), {Name: "secret", PkgPath: "elsewhere", Type: reflect.TypeFor[func() string]()}},
	} {
		if err := n.SetMethods(other, other); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := v.Error(); got != "099" {
		t.Error("a failed SetMethods changed a method:", got)
	}
}

func TestErrors(t *testing.T) {
	stringer := reflect.TypeFor[func() string]()
	params := make([]reflect.Type, 128)
	for i := range params {
		params[i] = reflect.TypeFor[int]()
	}
	method := func(m Method) func(*Named) error {
		return func(n *Named) error {
			return errors.Join(n.Complete(reflect.TypeFor[int]()), n.SetMethods([]Method{m}, nil))
		}
	}
	for _, c := range []struct {
		name, want string
		do         func(n *Named) error
	}{
		{"complete twice", "it is complete", func(n *Named) error {
			return errors.Join(n.Complete(reflect.TypeFor[int]()), n.Complete(reflect.TypeFor[int]()))
		}},
		{"layout twice", "it has a layout", func(n *Named) error {
			return errors.Join(n.Layout(reflect.TypeFor[int]()), n.Layout(reflect.TypeFor[int]()))
		}},
		{"another layout", "that of another type than string", func(n *Named) error {
			return errors.Join(n.Layout(reflect.TypeFor[int]()), n.Complete(reflect.TypeFor[string]()))
		}},
		{"not comparable", "that of another type", func(n *Named) error {
			return errors.Join(n.Layout(reflect.TypeFor[struct{ p *int }]()), n.Complete(reflect.TypeFor[struct{ f func() }]()))
		}},
		{"large func", "room for 23 parameters", func(n *Named) error { return n.Complete(reflect.FuncOf(params[:20], params[:4], false)) }},
		{"large method", "more than 127", method(Method{Name: "M", Type: reflect.FuncOf(params, nil, false)})},
		{"no func", "no func type", method(Method{Name: "M", Type: reflect.TypeFor[int]()})},
		{"interface", "by Complete alone", func(n *Named) error {
			return errors.Join(n.Complete(reflect.TypeFor[error]()), n.SetMethods([]Method{constant("A", "")}, nil))
		}},
		{"twice", "given twice", func(n *Named) error {
			return n.SetMethods(nil, []Method{{Name: "M", Type: stringer}, {Name: "M", Type: stringer}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(NewNamed("p", "p", "T")); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s…", err, c.want)
			}
		})
	}
	n := NewNamed("p", "p", "F") // the largest defined func type there is room for
	must(t, n.Complete(reflect.FuncOf(params[:20], params[:3], false)))
	must(t, n.SetMethods([]Method{constant("Error", "")}, nil))
	if n.Type().In(19) != params[0] || n.Type().Out(2) != params[0] || n.Type().NumMethod() != 1 {
		t.Error(n.Type(), "is damaged")
	}
}

// TestUnexportedMethods: an unexported method is found by interfaces of its own package alone.
func TestUnexportedMethods(t *testing.T) {
	n := namedInt(t, constant("secret", "mine"), constant("Public", "all"))
	v := reflect.New(n.Type()).Elem().Interface()
	if got := n.Type().NumMethod(); got != 1 {
		t.Errorf("%d methods are exported", got)
	}
	for _, c := range []struct {
		pkgPath string
		names   []string
		want    bool
	}{
		{"rtype/test", []string{"secret"}, true}, {"rtype/test", []string{"secret", "Public"}, true}, {"elsewhere", []string{"secret"}, false},
		{"elsewhere", []string{"Public"}, true}, {"rtype/test", []string{"secret", "other"}, false},
	} {
		var methods []Method
		for _, name := range c.names {
			methods = append(methods, Method{Name: name, PkgPath: c.pkgPath, Type: reflect.TypeFor[func() string]()})
		}
		i, err := Interface(c.pkgPath, methods)
		must(t, err)
		if again, _ := Interface(c.pkgPath, methods); again != i {
			t.Errorf("there are two types %v", i)
		}
		named := NewNamed(c.pkgPath, "test", "I")
		must(t, named.Complete(i))
		for _, i := range []reflect.Type{i, named.Type()} {
			if got := n.Type().Implements(i); got != c.want {
				t.Errorf("%v implements %v: %t", n.Type(), i, got)
			}
			if got := n.PointerTo().Implements(i); got != c.want {
				t.Errorf("%v implements %v: %t", n.PointerTo(), i, got)
			}
			if i.NumMethod() != len(c.names) {
				t.Errorf("%v has %d methods", i, i.NumMethod())
			}
			if !c.want {
				continue
			}
			held := reflect.New(i).Elem()
			held.Set(reflect.ValueOf(v))
			for m := range i.Methods() {
				if m.IsExported() {
					if got := held.Method(m.Index).Call(nil)[0].String(); got != "all" {
						t.Errorf("%s gives %s", m.Name, got)
					}
				} else if m.PkgPath != c.pkgPath {
					t.Errorf("%s is of package %s", m.Name, m.PkgPath)
				}
			}
		}
		if named.Type().PkgPath() != c.pkgPath {
			t.Errorf("%v is of package %q", named.Type(), named.Type().PkgPath())
		}
	}
	type unexported interface{ secret() string } // of this package, which is not rtype/test
	if _, ok := v.(unexported); ok {
		t.Error("another package's unexported method was found")
	}
	type local interface {
		io.Reader
		secret(int) string
	}
	typ := reflect.TypeFor[interface {
		Read([]byte) (int, error)
		secret(int) string
	}]()
	var methods []Method
	for m := range reflect.TypeFor[local]().Methods() {
		methods = append(methods, Method{Name: m.Name, PkgPath: m.PkgPath, Type: m.Type})
	}
	same, err := Interface(typ.PkgPath(), methods)
	must(t, err)
	if same.String() != typ.String() {
		t.Errorf("%v should be %v", same, typ)
	}
}

func TestStruct(t *testing.T) {
	intType := reflect.TypeFor[int]()
	plain, err := Struct([]Field{{Name: "A", Type: intType, Tag: `json:"a"`}, {Name: "b", PkgPath: "github.com/concurrent-modular-agent/coma/internal/rtype", Type: intType}}, nil, nil)
	must(t, err)
	if want := reflect.TypeFor[struct {
		A int `json:"a"`
		b int
	}](); plain != want {
		t.Errorf("%v is not the compiled %v", plain, want)
	}
	blank := []Field{{Name: "A", Type: intType}, {Name: "_", PkgPath: "p", Type: intType}, {Name: "B", Type: reflect.TypeFor[string]()}}
	typ, err := Struct(blank, nil, nil)
	must(t, err)
	if again, _ := Struct(blank, nil, nil); again != typ {
		t.Error("the same fields gave two types")
	}
	x, y := reflect.New(typ).Elem(), reflect.New(typ).Elem()
	reflect.NewAt(intType, y.Field(1).Addr().UnsafePointer()).Elem().SetInt(1)
	if x.Interface() != y.Interface() || (map[any]int{x.Interface(): 1})[y.Interface()] != 1 {
		t.Error("a blank field counts")
	}
	y.Field(2).SetString("b")
	if x.Interface() == y.Interface() {
		t.Error("a field does not count")
	}
	huge := reflect.ArrayOf(math.MaxInt, reflect.TypeFor[byte]())
	typ, err = Struct([]Field{blank[0], blank[1]}, nil, nil) // whose bytes alone could be hashed, were it not for the blank one
	must(t, err)
	x, y = reflect.New(typ).Elem(), reflect.New(typ).Elem()
	reflect.NewAt(intType, y.Field(1).Addr().UnsafePointer()).Elem().SetInt(1)
	if (map[any]int{x.Interface(): 1})[y.Interface()] != 1 {
		t.Error("a blank field is hashed")
	}
	for name, fields := range map[string][]Field{
		"no name": {{Type: intType}}, "no type": {{Name: "A"}},
		"two packages": {{Name: "a", PkgPath: "p", Type: intType}, {Name: "b", PkgPath: "q", Type: intType}},
		"same name":    {{Name: "A", Type: intType}, {Name: "A", Type: intType}},
		"large":        {{Name: "A", Type: huge}, {Name: "B", Type: huge}, {Name: "C", Type: huge}},
	} {
		if typ, err := Struct(fields, nil, nil); err == nil {
			t.Errorf("%s: made %v", name, typ)
		}
	}
}

// TestEqualityOfPlaceholders: an array made before its elements were complete compares them as what they became.
func TestEqualityOfPlaceholders(t *testing.T) {
	n := NewNamed("p", "p", "T")
	must(t, n.Layout(reflect.TypeFor[struct{ E any }]()))
	array := reflect.ArrayOf(2, n.Type())
	must(t, n.Complete(reflect.TypeFor[struct{ E error }]())) // its interfaces are compared in another way than any
	must(t, n.SetMethods(nil, nil))
	x := reflect.New(array).Elem()
	x.Index(1).Field(0).Set(reflect.ValueOf(exec.ErrNotFound))
	y := reflect.New(array).Elem()
	if x.Interface() == y.Interface() {
		t.Error("different arrays are equal")
	}
	y.Set(x)
	if x.Interface() != y.Interface() || (map[any]int{x.Interface(): 1})[y.Interface()] != 1 {
		t.Error("equal arrays differ")
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ pkgPath, pkgName, name, text string }{
		{"example.com/m", "m", "T", "m.T"},
		{"example.com/m", "m", "List[int]", "m.List[int]"},
		{"example.com/m", "m", "Map[string,example.com/m.List[int]]", "m.Map[string,example.com/m.List[int]]"},
		{"main", "main", "Ärger", "main.Ärger"},
	} {
		n := NewNamed(c.pkgPath, c.pkgName, c.name)
		must(t, n.Complete(reflect.TypeFor[string]()))
		for _, got := range [][2]string{{n.Type().String(), c.text}, {n.Type().Name(), c.name}, {n.Type().PkgPath(), c.pkgPath},
			{n.PointerTo().String(), "*" + c.text}, {n.PointerTo().Name(), ""}, {n.PointerTo().PkgPath(), ""},
			{fmt.Sprintf("%T", reflect.Zero(n.PointerTo()).Interface()), "*" + c.text}} {
			if got[0] != got[1] {
				t.Errorf("%s, want %s", got[0], got[1])
			}
		}
	}
}

// TestParallel builds and uses types on many goroutines, as modules that load at the same time do.
func TestParallel(t *testing.T) {
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range 5 {
				w := newTwins(t, append(compiledTypes(), recursive()...)...)
				v := w.value(reflect.ValueOf(fault{Code: 1})).Interface().(error)
				if v.Error() != "fault 1: " {
					t.Error(v)
				}
			}
		})
	}
}

// TestExhaustion fills what a process has for methods, in a process of its own.
func TestExhaustion(t *testing.T) {
	if os.Getenv("RTYPE_EXHAUST") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestExhaustion$", "-test.v")
		cmd.Env = append(os.Environ(), "RTYPE_EXHAUST=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS: TestExhaustion") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	first := namedInt(t, constant("Error", "first"))
	var values []any
	for i := 0; ; i++ {
		n := NewNamed("p", "p", "T")
		must(t, n.Complete(reflect.TypeFor[int]()))
		if err := n.SetMethods([]Method{constant("A", fmt.Sprint("A", i)), constant("B", fmt.Sprint("B", i))}, nil); err != nil {
			if !errors.Is(err, ErrFull) || i < entries/4-10 {
				t.Fatalf("type %d: %v", i, err)
			}
			break
		}
		values = append(values, reflect.Zero(n.Type()).Interface())
	}
	for i, v := range values { // every entry point leads to its own method
		ab := v.(interface {
			A() string
			B() string
		})
		if ab.A() != fmt.Sprint("A", i) || ab.B() != fmt.Sprint("B", i) {
			t.Fatalf("type %d has methods %s and %s", i, ab.A(), ab.B())
		}
	}
	for _, size := range []uintptr{1 << 20, 1 << 10, 8} { // the arena too
		for err := error(nil); err == nil; {
			_, err = reserve(size)
		}
	}
	n := NewNamed("p", "p", "T")
	must(t, n.Complete(reflect.TypeFor[struct{ A, B int }]()))
	if got := fmt.Sprintf("%+v", reflect.Zero(n.Type()).Interface()); got != "{A:0 B:0}" {
		t.Error(got)
	}
	if err := n.SetMethods([]Method{constant("A", "a")}, nil); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if got := fmt.Sprint(reflect.Zero(first.Type()).Interface()); got != "first" {
		t.Error(got)
	}
}
