package rtype

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"unsafe"
)

// Types that mention themselves and each other in every way that Go allows.
type (
	tree struct {
		Left, Right *tree
		Kids        map[string]tree
		All         []tree
		Pairs       map[string][2]tree
		walk        func(tree, ...tree) tree
		Any         interface{ Visit(tree) tree }
		feed        chan<- tree
		Loose       map[string]struct{ T tree }
		Value       int
	}
	list    []list
	fn      func(fn, ...fn) fn
	dict    map[string]dict
	ring    *ring
	pipe    chan pipe
	deepArr [2]map[string]deepArr
	visitor interface{ Visit(visitor) visitor }

	// Two and three types in a circle, by pointer, by value and by array.
	author struct {
		Name  string
		Books []book
		Best  map[string]book
	}
	book struct {
		Title   string
		Writer  *author
		Reviews [2]review
	}
	review struct {
		Stars int
		Of    *book
		By    func(author) map[review2]book
	}
	review2 struct {
		N    int
		Seen interface{ Seen(review2, book) author }
	}
)

func (t tree) Sum() int {
	sum := t.Value
	for _, k := range t.Kids {
		sum += k.Sum()
	}
	for _, k := range t.All {
		sum += k.Sum()
	}
	if t.Left != nil {
		sum += t.Left.Sum()
	}
	return sum
}
func (t *tree) Visit(u tree) tree { t.Value += u.Value; return u }
func (l list) Depth() int {
	d := 0
	for _, x := range l {
		d = max(d, x.Depth())
	}
	return d + 1
}
func (f fn) Apply(g fn) fn { return f(g) }
func (d dict) Size() int {
	n := len(d)
	for _, x := range d {
		n += x.Size()
	}
	return n
}
func (a author) First() book        { return a.Books[0] }
func (b book) Again(a author) book  { b.Title += a.Name; return b }
func (b *book) By() *author         { return b.Writer }
func (r review2) Twice() [2]review2 { return [2]review2{r, r} }

func recursive() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[tree](), reflect.TypeFor[list](), reflect.TypeFor[fn](), reflect.TypeFor[dict](), reflect.TypeFor[ring](), reflect.TypeFor[pipe](),
		reflect.TypeFor[deepArr](), reflect.TypeFor[visitor](),
		reflect.TypeFor[author](), reflect.TypeFor[book](), reflect.TypeFor[review](), reflect.TypeFor[review2](),
	}
}

func TestRecursiveTypes(t *testing.T) {
	w := newTwins(t, recursive()...)
	for _, typ := range recursive() {
		for _, typ := range []reflect.Type{typ, reflect.PointerTo(typ), reflect.MapOf(reflect.TypeFor[string](), typ), reflect.ArrayOf(3, typ)} {
			if want, got := describe(typ), describe(w.of(typ)); got != want {
				t.Errorf("%v is described as\n%s\nand should be\n%s", typ, got, want)
			}
		}
	}
	for typ, n := range w.named {
		if typ.Kind() == reflect.Struct {
			for i := range typ.NumField() {
				if got, want := n.Type().Field(i).Type, w.of(typ.Field(i).Type); got != want {
					t.Errorf("field %s of %v is of another type %v", typ.Field(i).Name, typ, got)
				}
			}
		}
	}
	leaf := tree{Value: 1}
	some := tree{Value: 2, Left: &leaf, Kids: map[string]tree{"a": leaf, "b": {Value: 5}}, All: []tree{leaf, leaf}, Pairs: map[string][2]tree{"p": {leaf, {Value: 7}}}}
	writer := author{Name: "A", Books: []book{{Title: "T", Reviews: [2]review{{Stars: 3}}}}}
	for _, v := range []any{some.All, some.Pairs, list{{}, {{}, {}}}, dict{"a": {"b": nil}, "c": {}}, review2{N: 3}} {
		// A copy by JSON leaves nothing of the compiled value in the twin.
		text, err := json.Marshal(v)
		must(t, err)
		back := reflect.New(w.of(reflect.TypeOf(v)))
		must(t, json.Unmarshal(text, back.Interface()))
		if want, got := fmt.Sprintf("%#v", v), fmt.Sprintf("%#v", back.Elem()); want != got {
			t.Errorf("%s became %s", want, got)
		}
	}
	if got := w.value(reflect.ValueOf(some)).MethodByName("Sum").Call(nil)[0].Int(); got != int64(some.Sum()) {
		t.Errorf("sum is %d", got)
	}
	// Methods whose parameters had no layout when they were given.
	first := w.value(reflect.ValueOf(writer)).MethodByName("First").Call(nil)[0]
	again := first.MethodByName("Again").Call([]reflect.Value{w.value(reflect.ValueOf(writer))})[0]
	if again.Type() != w.named[reflect.TypeFor[book]()].Type() || again.Field(0).String() != "TA" {
		t.Errorf("%v of type %v", again.Field(0), again.Type())
	}
	// Equality and hashes of arrays and maps made while a placeholder stood in.
	twice := w.value(reflect.ValueOf(review2{N: 4})).MethodByName("Twice").Call(nil)[0]
	if same := twice.Interface() == twice.Interface(); !same || map[any]int{twice.Interface(): 1}[twice.Interface()] != 1 {
		t.Error("an array differs from itself")
	}
}

// TestMethodsBeforeLayout: methods may come first, before the types in their signatures have a layout.
func TestMethodsBeforeLayout(t *testing.T) {
	pair, one := NewNamed("p", "p", "Pair"), NewNamed("p", "p", "One")
	call := func(_ unsafe.Pointer, args []reflect.Value) []reflect.Value { return args }
	method := Method{Name: "Both", Type: reflect.FuncOf([]reflect.Type{pair.Type(), one.Type()}, []reflect.Type{pair.Type(), one.Type()}, false), Call: call}
	must(t, one.SetMethods([]Method{method}, []Method{behind(method)}))
	must(t, one.Complete(reflect.TypeFor[int]()))
	made, err := Struct([]Field{{Name: "A", Type: one.Type()}, {Name: "B", Type: reflect.TypeFor[string]()}}, nil, nil)
	must(t, err)
	must(t, pair.Complete(made))
	v := reflect.New(one.Type()).Elem()
	p := reflect.New(pair.Type()).Elem()
	p.Field(1).SetString("b")
	out := v.MethodByName("Both").Call([]reflect.Value{p, v})
	if out[0].Interface() != p.Interface() || out[1].Interface() != v.Interface() {
		t.Error(out)
	}
}
