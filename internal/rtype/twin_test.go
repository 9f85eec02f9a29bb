package rtype

import (
	"reflect"
	"testing"
	"unsafe"
)

// A twin is a built copy of a compiled type: same name, same fields, same methods, whose code is the compiled one.
// What a program can see of the two must be the same, and the tests of this package compare that. Making twins also
// shows the order in which types that mention each other are built.
type twins struct {
	t     *testing.T
	named map[reflect.Type]*Named
	other map[reflect.Type]reflect.Type // the unnamed types so far
	raw   bool                          // methods work on frames
}

// newTwins builds copies of defined types, which may mention each other.
func newTwins(t *testing.T, types ...reflect.Type) *twins {
	t.Helper()
	w := &twins{t: t, named: map[reflect.Type]*Named{}, other: map[reflect.Type]reflect.Type{}}
	w.build(types)
	return w
}

// eachWay runs a test with twins whose methods are given as Call, and with others that have Raw.
func eachWay(t *testing.T, types []reflect.Type, test func(t *testing.T, w *twins)) {
	for name, raw := range map[string]bool{"call": false, "raw": true} {
		t.Run(name, func(t *testing.T) {
			w := &twins{t: t, named: map[reflect.Type]*Named{}, other: map[reflect.Type]reflect.Type{}, raw: raw}
			w.build(types)
			test(t, w)
		})
	}
}

func (w *twins) build(types []reflect.Type) {
	w.t.Helper()
	for _, typ := range types {
		w.named[typ] = NewNamed(typ.PkgPath(), "rtype", typ.Name())
	}
	for _, typ := range types {
		w.must(w.named[typ].Layout(w.placeholder(typ, true)))
	}
	for _, typ := range types {
		w.must(w.named[typ].Complete(w.underlying(typ)))
	}
	for _, typ := range types {
		if typ.Kind() != reflect.Interface {
			w.must(w.named[typ].SetMethods(w.methods(typ), w.methods(reflect.PointerTo(typ))))
		}
	}
}

func (w *twins) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// of is the type that stands for typ: built where typ is, or mentions, one of the compiled types.
func (w *twins) of(typ reflect.Type) reflect.Type {
	if n, ok := w.named[typ]; ok {
		return n.Type()
	}
	if typ.Name() != "" {
		return typ
	}
	if _, ok := w.other[typ]; !ok {
		w.other[typ] = w.underlying(typ)
	}
	return w.other[typ]
}

// value is a copy of v as its twin.
func (w *twins) value(v reflect.Value) reflect.Value { return recast(v, w.of(v.Type())) }

// recast is a copy of v as a value of type to, which has the same layout.
func recast(v reflect.Value, to reflect.Type) reflect.Value {
	box := reflect.New(v.Type())
	box.Elem().Set(v)
	return reflect.NewAt(to, box.UnsafePointer()).Elem()
}

var basic = map[reflect.Kind]reflect.Type{}

func init() {
	for _, v := range []any{false, 0, int8(0), int16(0), int32(0), int64(0), uint(0), uint8(0), uint16(0), uint32(0), uint64(0),
		uintptr(0), float32(0), float64(0), complex64(0), complex128(0), "", unsafe.Pointer(nil)} {
		basic[reflect.TypeOf(v).Kind()] = reflect.TypeOf(v)
	}
}

// underlying is typ's underlying type, with twins in it.
func (w *twins) underlying(typ reflect.Type) reflect.Type {
	switch typ.Kind() {
	case reflect.Array:
		return reflect.ArrayOf(typ.Len(), w.of(typ.Elem()))
	case reflect.Chan:
		return reflect.ChanOf(typ.ChanDir(), w.of(typ.Elem()))
	case reflect.Func:
		in, out := w.all(typ.Ins()), w.all(typ.Outs())
		return reflect.FuncOf(in, out, typ.IsVariadic())
	case reflect.Interface:
		var methods []Method
		for m := range typ.Methods() {
			methods = append(methods, Method{Name: m.Name, PkgPath: m.PkgPath, Type: w.of(m.Type)})
		}
		made, err := Interface(typ.PkgPath(), methods)
		w.must(err)
		return made
	case reflect.Map:
		return reflect.MapOf(w.of(typ.Key()), w.of(typ.Elem()))
	case reflect.Pointer:
		return reflect.PointerTo(w.of(typ.Elem()))
	case reflect.Slice:
		return reflect.SliceOf(w.of(typ.Elem()))
	case reflect.Struct:
		var fields []Field
		for f := range typ.Fields() {
			fields = append(fields, Field{Name: f.Name, PkgPath: f.PkgPath, Type: w.of(f.Type), Tag: string(f.Tag), Embedded: f.Anonymous})
		}
		var value, pointer []Method
		if typ.Name() == "" {
			value, pointer = w.methods(typ), w.methods(reflect.PointerTo(typ))
		}
		made, err := Struct(fields, value, pointer)
		w.must(err)
		return made
	default:
		return basic[typ.Kind()]
	}
}

// placeholders stand in for types whose values are of one size whatever they hold or point to.
var placeholders = map[reflect.Kind]reflect.Type{
	reflect.Pointer: reflect.TypeFor[*byte](), reflect.Slice: reflect.TypeFor[[]byte](), reflect.Map: reflect.TypeFor[map[byte]byte](),
	reflect.Chan: reflect.TypeFor[chan byte](), reflect.Func: reflect.TypeFor[func()](), reflect.Interface: reflect.TypeFor[any](),
}

// placeholder is a type of typ's layout that mentions no twin.
func (w *twins) placeholder(typ reflect.Type, under bool) reflect.Type {
	if _, ok := w.named[typ]; !ok && !under && typ.Name() != "" {
		return typ
	}
	if t, ok := placeholders[typ.Kind()]; ok {
		return t
	}
	switch typ.Kind() {
	case reflect.Array:
		return reflect.ArrayOf(typ.Len(), w.placeholder(typ.Elem(), false))
	case reflect.Struct:
		var fields []Field
		for f := range typ.Fields() {
			fields = append(fields, Field{Name: f.Name, PkgPath: f.PkgPath, Type: w.placeholder(f.Type, false)})
		}
		made, err := Struct(fields, nil, nil)
		w.must(err)
		return made
	default:
		return basic[typ.Kind()]
	}
}

func (w *twins) all(types func(func(reflect.Type) bool)) (list []reflect.Type) {
	for t := range types {
		list = append(list, w.of(t))
	}
	return list
}

// methods is typ's exported method set, run by the compiled methods.
func (w *twins) methods(typ reflect.Type) (methods []Method) {
	for m := range typ.Methods() {
		in := make([]reflect.Type, m.Type.NumIn()-1) // without the receiver
		for i := range in {
			in[i] = w.of(m.Type.In(i + 1))
		}
		out := w.all(m.Type.Outs())
		twin := Method{Name: m.Name, Type: reflect.FuncOf(in, out, m.Type.IsVariadic())}
		call := func(recv unsafe.Pointer, args []reflect.Value) []reflect.Value {
			f := reflect.NewAt(typ, recv).Elem().Method(m.Index)
			compiled := make([]reflect.Value, len(args))
			for i, a := range args {
				compiled[i] = recast(a, f.Type().In(i))
			}
			call := f.Call
			if f.Type().IsVariadic() {
				call = f.CallSlice
			}
			results := call(compiled)
			for i, r := range results {
				results[i] = recast(r, out[i])
			}
			return results
		}
		if w.raw {
			twin.Raw = func(recv, frame unsafe.Pointer) { viaCall(call, twin.Type, recv, frame) }
		} else {
			twin.Call = call
		}
		methods = append(methods, twin)
	}
	return methods
}
