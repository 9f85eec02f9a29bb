package rtype

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"sync"
	"unsafe"
)

// Check tells whether types can be built in this program: whether the records of the Go that it was compiled with are
// laid out as descriptor.go says, and whether a type built on that works. Call it before anything else here; it costs
// well under a millisecond, once.
func Check() error { return checkOnce() }

var checkOnce = sync.OnceValue(func() error {
	if entries == 0 {
		return fmt.Errorf("interpreted modules need an amd64 or arm64 processor, not %s; use engine go", runtime.GOARCH)
	}
	for _, t := range samples {
		if err := compare(headerOf(t), t); err != nil {
			return fmt.Errorf("the interpreter was not made for %s: type %v: %w; use engine go", runtime.Version(), t, err)
		}
	}
	if err := errors.Join(tryBuilding(), tryFuncs()); err != nil {
		return fmt.Errorf("the interpreter was not made for %s: %w; use engine go", runtime.Version(), err)
	}
	return nil
})

// samples are types of every kind, with and without names and methods.
var samples = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[uint16](), reflect.TypeFor[float64](),
	reflect.TypeFor[complex128](), reflect.TypeFor[string](), reflect.TypeFor[unsafe.Pointer](),
	reflect.TypeFor[*int](), reflect.TypeFor[[]string](), reflect.TypeFor[[3]float32](),
	reflect.TypeFor[chan<- int](), reflect.TypeFor[map[string][]int](), reflect.TypeFor[func(int, ...string) error](),
	reflect.TypeFor[any](), reflect.TypeFor[error](), reflect.TypeFor[io.ReadWriteCloser](), reflect.TypeFor[reflect.Type](),
	reflect.TypeFor[reflect.Kind](), reflect.TypeFor[reflect.StructField](), reflect.TypeFor[*reflect.StructField](),
	reflect.TypeFor[reflect.Value](), reflect.TypeFor[*sync.Mutex](), reflect.TypeFor[func()](),
	reflect.TypeFor[struct {
		A byte `tag:"yes"`
		b *int
		io.Reader
	}](),
}

// compare reads h, t's record, as we understand it and as reflect does.
func compare(h *header, t reflect.Type) error {
	same := func(what string, ours, theirs any) error {
		if ours != theirs {
			return fmt.Errorf("%s is read as %v and is %v", what, ours, theirs)
		}
		return nil
	}
	errs := []error{
		same("the type", typeOf(headerOf(t)), t),
		same("size", h.size, t.Size()),
		same("kind", reflect.Kind(h.kind), t.Kind()),
		same("alignment", int(h.align), t.Align()),
		same("field alignment", int(h.fieldAlign), t.FieldAlign()),
		same("having a name", h.flags&hasName != 0, t.Name() != ""),
		same("being comparable", h.equal != nil, t.Comparable()),
		same("being a pointer", h.flags&direct != 0, h.size == unsafe.Sizeof(h) && h.ptrBytes == h.size),
		same("having a mask of pointers", h.ptrBytes == 0 || h.pointers != nil, true),
	}
	if h.flags&hasMethods != 0 && t.Kind() != reflect.Interface {
		table := h.table()
		errs = append(errs, same("the number of methods", int(table.exported), t.NumMethod()))
		if table.count > 0 {
			errs = append(errs, same("the place of methods", table.distance >= uint32(unsafe.Sizeof(*table)), true))
		}
	}
	errs = append(errs, compareKind(h, t, same)...)
	return errors.Join(errs...)
}

// compareKind is compare for what differs from kind to kind.
func compareKind(h *header, t reflect.Type, same func(what string, ours, theirs any) error) (errs []error) {
	at := unsafe.Pointer(h)
	add := func(what string, ours, theirs any) { errs = append(errs, same(what, ours, theirs)) }
	switch t.Kind() {
	case reflect.Array:
		a := (*arrayType)(at)
		add("element", typeOf(a.elem), t.Elem())
		add("slice", typeOf(a.slice), reflect.SliceOf(t.Elem()))
		add("length", int(a.len), t.Len())
	case reflect.Chan:
		c := (*chanType)(at)
		add("element", typeOf(c.elem), t.Elem())
		add("direction", reflect.ChanDir(c.dir), t.ChanDir())
	case reflect.Pointer, reflect.Slice:
		add("element", typeOf((*elemType)(at).elem), t.Elem())
	case reflect.Map:
		m := (*mapType)(at)
		add("key", typeOf(m.key), t.Key())
		add("element", typeOf(m.elem), t.Elem())
		add("group", typeOf(m.group).Size(), m.groupSize)
	case reflect.Func:
		f := (*funcType)(at)
		add("parameters", int(f.in), t.NumIn())
		add("results", int(f.out&^(1<<15)), t.NumOut())
		add("being variadic", f.out>>15 == 1, t.IsVariadic())
		params := h.params(t.NumIn() + t.NumOut())
		for i := range t.NumIn() {
			add("parameter", typeOf(params[i]), t.In(i))
		}
		for i := range t.NumOut() {
			add("result", typeOf(params[t.NumIn()+i]), t.Out(i))
		}
	case reflect.Interface:
		add("the number of methods", len(h.asInterface().methods), t.NumMethod())
	case reflect.Struct:
		fields := h.asStruct().fields
		add("the number of fields", len(fields), t.NumField())
		for i := range min(len(fields), t.NumField()) {
			f := t.Field(i)
			add("a field's name", fields[i].name.String(), f.Name)
			add("a field's name", bitsOf(fields[i].name), bitsOf(makeName(nameKey{text: f.Name, tag: string(f.Tag), embedded: f.Anonymous})))
			add("a field's type", typeOf(fields[i].typ), f.Type)
			add("a field's offset", fields[i].offset, f.Offset)
			if f.PkgPath != "" {
				add("a field's package", h.asStruct().pkgPath.String(), f.PkgPath)
			}
		}
	}
	return errs
}

// bitsOf is the first byte of a name.
func bitsOf(n name) byte { return *n.bytes }

// tryBuilding builds an error type and uses it as compiled code would.
func tryBuilding() error {
	n := NewNamed("rtype", "rtype", "trial")
	text := func(recv unsafe.Pointer, _ []reflect.Value) []reflect.Value {
		return []reflect.Value{reflect.ValueOf(*(*string)(recv))}
	}
	textBehind := func(recv unsafe.Pointer, args []reflect.Value) []reflect.Value {
		return text(*(*unsafe.Pointer)(recv), args)
	}
	typ := reflect.TypeFor[func() string]()
	if err := n.SetMethods([]Method{{Name: "Error", Type: typ, Call: text}}, []Method{{Name: "Error", Type: typ, Call: textBehind}}); err != nil {
		return err
	}
	if err := n.Complete(reflect.TypeFor[string]()); err != nil {
		return err
	}
	if err := compare(n.h, n.Type()); err != nil {
		return err
	}
	if err := compare(n.pointer, n.PointerTo()); err != nil {
		return err
	}
	v := reflect.New(n.Type())
	v.Elem().SetString("it works")
	for _, x := range []any{v.Interface(), v.Elem().Interface()} {
		err, ok := x.(error)
		if !ok {
			return fmt.Errorf("a built type %T does not have its methods", x)
		}
		if err.Error() != "it works" {
			return fmt.Errorf("a method of built type %T gives %q", x, err.Error())
		}
	}
	if got := fmt.Sprintf("%T", v.Elem().Interface()); got != "rtype.trial" {
		return fmt.Errorf("a built type is called %s", got)
	}
	return nil
}

// tryFuncs makes func values and has compiled code call them.
func tryFuncs() error {
	subject := new(int)
	add := func(subject, frame unsafe.Pointer) {
		*(*int)(subject) += *(*int)(frame)
		*(*int)(unsafe.Add(frame, wordSize)) = *(*int)(subject)
	}
	quick := FuncsOf(reflect.TypeFor[func(int) int]()).Make(add, unsafe.Pointer(subject))
	slow := Funcs{typ: reflect.TypeFor[func(int) int]()}.Make(add, unsafe.Pointer(subject))
	for i, fn := range []unsafe.Pointer{quick, slow} {
		if got := (*(*func(int) int)(unsafe.Pointer(&fn)))(3); got != 3*(i+1) {
			return fmt.Errorf("a built func value gives %d", got)
		}
		if Subject(fn) != unsafe.Pointer(subject) {
			return errors.New("a built func value is not recognised")
		}
	}
	return nil
}
