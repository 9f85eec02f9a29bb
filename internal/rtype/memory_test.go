package rtype

import (
	"bytes"
	"io"
	"reflect"
	"runtime"
	"sync"
	"testing"
)

// TestPointersSurvive fills values of built types with pointers that nobody else holds, in every kind of memory that
// the collector scans by a type's mask, and looks whether what they point to is still there.
func TestPointersSurvive(t *testing.T) {
	type leaf = *[4]int // large enough to have a size class of its own
	w := newTwins(t, append(recursive(), compiledTypes()...)...)
	node := func(i int) leaf { return &[4]int{i, i, i, i} }
	intact := func(p leaf, i int) bool { return *p == [4]int{i, i, i, i} }
	mixed, err := Struct([]Field{
		{Name: "_", PkgPath: "p", Type: reflect.TypeFor[uint16]()},
		{Name: "Word", Type: w.named[reflect.TypeFor[point]()].Type()},
		{Name: "Leaf", Type: reflect.TypeFor[leaf]()},
		{Name: "many", PkgPath: "p", Type: reflect.TypeFor[[3]struct {
			n byte
			p leaf
		}]()},
		{Name: "Any", Type: reflect.TypeFor[any]()},
		{Name: "N", Type: reflect.TypeFor[int]()},
	}, nil, nil)
	must(t, err)
	small := NewNamed("p", "p", "Small")
	must(t, small.Complete(mixed))
	big := NewNamed("p", "p", "Big")
	must(t, big.Complete(reflect.ArrayOf(5000, small.Type())))

	fill := func(v reflect.Value, i int) {
		v.Field(2).Set(reflect.ValueOf(node(i)))
		v.Field(4).Set(reflect.ValueOf(node(i)))
	}
	check := func(where string, v reflect.Value, i int) {
		t.Helper()
		if !intact(v.Field(2).Interface().(leaf), i) || !intact(v.Field(4).Interface().(leaf), i) {
			t.Fatalf("%s: a pointer was lost", where)
		}
	}
	const n = 100
	one := reflect.New(small.Type()).Elem()
	all := reflect.New(big.Type()).Elem()
	slice := reflect.MakeSlice(reflect.SliceOf(small.Type()), n, n)
	m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[int](), small.Type()))
	ch := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, small.Type()), n)
	var boxed []any
	fill(one, -1)
	for i := range n {
		fill(slice.Index(i), i)
		fill(all.Index(i*50), i)
		m.SetMapIndex(reflect.ValueOf(i), slice.Index(i))
		fresh := reflect.New(small.Type()).Elem()
		fill(fresh, i)
		ch.Send(fresh)
		boxed = append(boxed, fresh.Interface())
	}
	slice = reflect.AppendSlice(reflect.MakeSlice(slice.Type(), 0, 1), slice) // moved by the runtime
	for range 3 {
		runtime.GC()
		for range 10_000 { // would take the place of what was lost
			sink = node(-2)
		}
	}
	check("variable", one, -1)
	for i := range n {
		check("slice", slice.Index(i), i)
		check("large array", all.Index(i*50), i)
		check("map", m.MapIndex(reflect.ValueOf(i)), i)
		v, _ := ch.Recv()
		check("channel", v, i)
		check("interface", reflect.ValueOf(boxed[i]), i)
	}
	// The twins of types whose masks the runtime makes on demand.
	for _, typ := range []reflect.Type{reflect.TypeFor[wide](), reflect.TypeFor[large]()} {
		v := reflect.New(w.of(typ)).Elem()
		for i := range 3000 {
			if typ.Kind() == reflect.Array {
				p := reflect.New(v.Index(0).Field(1).Type().Elem())
				p.Elem().Field(0).SetFloat(float64(i))
				reflect.NewAt(p.Type(), v.Index(i).Field(1).Addr().UnsafePointer()).Elem().Set(p)
			} else {
				v.FieldByName("Tail").Index(i).Set(reflect.ValueOf(&[]int{i}[0]))
			}
		}
		runtime.GC()
		for range 10_000 {
			sink = node(-2)
		}
		for i := range 3000 {
			if typ.Kind() == reflect.Array && v.Index(i).Field(1).Elem().Field(0).Float() != float64(i) || typ.Kind() == reflect.Struct && v.FieldByName("Tail").Index(i).Elem().Int() != int64(i) {
				t.Fatalf("%v: a pointer was lost", typ)
			}
		}
	}
}

var sink any

// TestEmbeddedHostTypes: what compiled types promote works through interfaces of compiled code.
func TestEmbeddedHostTypes(t *testing.T) {
	w := newTwins(t, reflect.TypeFor[locked]())
	box := reflect.New(w.named[reflect.TypeFor[locked]()].Type())
	reflect.NewAt(reflect.TypeFor[*bytes.Buffer](), box.Elem().Field(1).Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(bytes.NewBufferString("promoted")))
	locker := box.Interface().(sync.Locker)
	locker.Lock()
	if box.Interface().(interface{ TryLock() bool }).TryLock() {
		t.Error("the lock is not the value's")
	}
	locker.Unlock()
	if _, ok := box.Elem().Interface().(sync.Locker); ok {
		t.Error("a value has the methods of a pointer")
	}
	text, err := io.ReadAll(box.Elem().Interface().(io.Reader))
	if string(text) != "promoted" || err != nil {
		t.Errorf("%s, %v", text, err)
	}
}

// TestConversions: values go between built types, and their underlying ones, as the language says.
func TestConversions(t *testing.T) {
	w := newTwins(t, compiledTypes()...)
	c := w.value(reflect.ValueOf(celsius(20)))
	if f := c.Convert(reflect.TypeFor[float64]()).Float(); f != 20 {
		t.Error(f)
	}
	if s := reflect.ValueOf(21.0).Convert(c.Type()).Interface().(interface{ String() string }).String(); s != "21.0°C" {
		t.Error(s)
	}
	f := w.value(reflect.ValueOf(fault{Code: 3}))
	bare, err := Struct([]Field{{Name: "Code", Type: reflect.TypeFor[int]()}, {Name: "Text", Type: reflect.TypeFor[string]()},
		{Name: "at", PkgPath: f.Type().PkgPath(), Type: f.Type().Field(2).Type}}, nil, nil)
	must(t, err)
	if back := f.Convert(bare).Convert(f.Type()); back.Interface() != f.Interface() {
		t.Error("a struct did not come back from its underlying type")
	}
	if !bare.AssignableTo(f.Type()) || !f.Type().AssignableTo(bare) {
		t.Error("a defined type and its underlying type are assignable to each other")
	}
	if f.Type().ConvertibleTo(reflect.TypeFor[fault]()) != true || f.Type().AssignableTo(reflect.TypeFor[fault]()) {
		t.Error("two defined types of one underlying type convert, and no more")
	}
}
