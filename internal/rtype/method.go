package rtype

import (
	"cmp"
	"fmt"
	"go/token"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Method is one method of a type under construction.
type Method struct {
	Name    string
	PkgPath string       // the package that an unexported name belongs to; "" if it is exported
	Type    reflect.Type // a func type, without the receiver

	// Call runs the method when compiled code calls it, through an interface or reflect. recv is the address of the
	// receiver: of a T in T's method set, of a *T in the method set of *T. It must not be written to: an interface
	// may hold the very value. args and the results are as for reflect.MakeFunc: a variadic function gets its last
	// ones as a slice. Panics pass through.
	Call Call

	// Raw, if it is given, runs instead of Call, and for the commonest signatures several times as fast: frame has
	// the arguments and takes the results as the function Frame says. The results are zero at first. The memory is
	// new for each call, and may be kept. The methods of interface types have neither.
	Raw RawCall
}

// Call is the code of a method; see Method.
type Call func(recv unsafe.Pointer, args []reflect.Value) []reflect.Value

// methodName orders methods and tells them apart.
type methodName struct{ name, pkgPath string }

func (m Method) key() methodName {
	if token.IsExported(m.Name) {
		return methodName{name: m.Name}
	}
	return methodName{m.Name, m.PkgPath}
}

func (m Method) encodedName() name {
	return makeName(nameKey{text: m.Name, pkgPath: m.key().pkgPath})
}

// sorted returns methods in the order of a method table: exported ones first, by name. The runtime compares the
// tables of types and of interfaces in one pass that relies on it.
func sorted(owner string, methods []Method) ([]Method, error) {
	methods = slices.Clone(methods)
	slices.SortFunc(methods, func(a, b Method) int {
		if x, y := token.IsExported(a.Name), token.IsExported(b.Name); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.key().pkgPath, b.key().pkgPath))
	})
	for i, m := range methods {
		switch {
		case m.Type == nil || m.Type.Kind() != reflect.Func:
			return nil, fmt.Errorf("build method %s.%s: it has no func type", owner, m.Name)
		case m.Type.NumIn()+m.Type.NumOut() >= maxParams:
			return nil, fmt.Errorf("build method %s.%s: it has more than %d parameters and results; pass some in a struct", owner, m.Name, maxParams-1)
		case i > 0 && m.key() == methods[i-1].key():
			return nil, fmt.Errorf("build method %s.%s: it is given twice", owner, m.Name)
		}
	}
	if len(methods) > maxMethods {
		return nil, fmt.Errorf("build type %s: it has more than %d methods", owner, maxMethods)
	}
	return methods, nil
}

const (
	maxParams  = 128       // as in reflect.FuncOf; the receiver takes one
	maxMethods = 1<<16 - 1 // a table counts them in 16 bits
)

// built is what we know of a method in a table: what SetMethods needs to put new code behind it.
type built struct {
	methodName
	typ  reflect.Type
	code *atomic.Pointer[code]
}

// code is what runs a method: one of the two.
type code struct {
	call Call
	raw  RawCall
}

func (m Method) code() *code { return &code{m.Call, m.Raw} }

func (b built) run(recv unsafe.Pointer, args []reflect.Value) []reflect.Value {
	c := b.code.Load()
	if c.raw != nil {
		return viaRaw(c.raw, b.typ, recv, args)
	}
	return c.call(recv, args)
}

func (b built) runRaw(recv, frame unsafe.Pointer) {
	if c := b.code.Load(); c.raw != nil {
		c.raw(recv, frame)
	} else {
		viaCall(c.call, b.typ, recv, frame)
	}
}

// methodSets has the methods of each type that was built with some: header → []built, in table order.
var methodSets sync.Map

// SetMethods puts new code behind the methods of a type that this package built: methods must have the names and
// types of those that t has, in any order. Calls that have begun go on in the old code. It is safe while other
// goroutines use t.
func SetMethods(t reflect.Type, methods []Method) error {
	methods, err := sorted(t.String(), methods)
	if err != nil {
		return err
	}
	have, _ := methodSets.Load(headerOf(t))
	old, _ := have.([]built)
	if len(old) != len(methods) {
		return fmt.Errorf("set methods of %v: it was built with %d, not %d", t, len(old), len(methods))
	}
	for i, m := range methods {
		if old[i].methodName != m.key() || old[i].typ != m.Type {
			return fmt.Errorf("set methods of %v: it was built with %s %v, not %s %v", t, old[i].name, old[i].typ, m.Name, m.Type)
		}
	}
	for i := range methods {
		old[i].code.Store(methods[i].code())
	}
	return nil
}

// install gives a type its method table: h's kind and flags are set, hasMethods among them, and there is room for a
// methodTable behind the record. The entry points work once the layouts of all parameters are known; see bind.
func install(h *header, pkgPath string, methods []Method) error {
	table := h.table()
	table.pkgPath = nameOffset(plainName(pkgPath))
	if len(methods) == 0 {
		return nil
	}
	t := typeOf(h)
	methods, err := sorted(t.String(), methods)
	if err != nil {
		return err
	}
	at, err := reserve(uintptr(len(methods)) * unsafe.Sizeof(method{}))
	if err != nil {
		return fmt.Errorf("build methods of %v: %w", t, err)
	}
	list := unsafe.Slice((*method)(at), len(methods))
	sets := make([]built, len(methods))
	exported := 0
	for i := range methods {
		m := &methods[i]
		sets[i] = built{methodName: m.key(), typ: m.Type, code: new(atomic.Pointer[code])}
		sets[i].code.Store(m.code())
		if token.IsExported(m.Name) {
			exported++
		}
		iface, plain, err := bind(h, sets[i])
		if err != nil {
			return fmt.Errorf("build methods of %v: %w", t, err)
		}
		list[i] = method{name: nameOffset(m.encodedName()), typ: typeOffset(headerOf(m.Type)), iface: codeOffset(iface), plain: codeOffset(plain)}
	}
	methodSets.Store(h, sets)
	table.distance = uint32(uintptr(at) - uintptr(unsafe.Pointer(table)))
	table.exported = uint16(exported)
	table.count = uint16(len(methods))
	return nil
}

// taken is how many entry points have been given away.
var taken atomic.Int64

func newEntry() (int, error) {
	if i := taken.Add(1) - 1; i < entries {
		return int(i), nil
	}
	taken.Add(-1)
	return 0, ErrFull
}

// bind makes the two pieces of code of a method of h's type. They are the same where the interface's data word is
// what a plain call passes for the receiver.
func bind(h *header, m built) (iface, plain unsafe.Pointer, err error) {
	i, err := newEntry()
	if err != nil {
		return nil, nil, err
	}
	isDirect := h.flags&direct != 0
	if shape, ok := shape(m.typ); ok && quick["p"+shape] != nil { // the receiver is one parameter more
		empty := m.typ.NumIn()+m.typ.NumOut() == 0
		closures[i] = closureOf(quick["p"+shape](func(_, frame unsafe.Pointer) {
			recv := receiver((*ptr)(frame), isDirect)
			if empty {
				frame = nil // there is nothing behind the receiver that may be pointed to
			} else {
				frame = unsafe.Add(frame, wordSize)
			}
			m.runRaw(recv, frame)
		}, nil))
	} else {
		fill(i, m.typ, pointerType, func(args []reflect.Value) []reflect.Value {
			recv := args[0].UnsafePointer()
			return m.run(receiver(&recv, isDirect), args[1:])
		})
	}
	if isDirect || !token.IsExported(m.name) { // reflect hands out the plain code of exported methods alone
		return entryPoint(i), entryPoint(i), nil
	}
	j, err := newEntry()
	if err != nil {
		return nil, nil, err
	}
	t := typeOf(h)
	fill(j, m.typ, t, func(args []reflect.Value) []reflect.Value {
		recv := reflect.New(t)
		recv.Elem().Set(args[0])
		return m.run(recv.UnsafePointer(), args[1:])
	})
	return entryPoint(i), entryPoint(j), nil
}

var pointerType = reflect.TypeFor[unsafe.Pointer]()

// fill puts code behind entry point i: run, for a function of type typ that has a receiver before its parameters.
func fill(i int, typ, receiver reflect.Type, run func([]reflect.Value) []reflect.Value) {
	in := append(make([]reflect.Type, 0, typ.NumIn()+1), receiver)
	for p := range typ.Ins() {
		in = append(in, p)
	}
	out := slices.Collect(typ.Outs())
	closures[i] = closureOf(tooEarly)
	whenLaidOut(append(slices.Clone(in), out...), func() {
		f := reflect.MakeFunc(reflect.FuncOf(in, out, typ.IsVariadic()), run)
		closures[i] = closureOf(f.Interface())
	})
}

// closureOf is the address of a func value's code and context.
func closureOf(f any) unsafe.Pointer { return (*words)(unsafe.Pointer(&f)).data }

func tooEarly() { panic("rtype: a method was called before the types of its parameters had a layout") }

// unfinished lists the defined types that have no layout yet, each with what waits for it.
var unfinished struct {
	sync.Mutex
	waiting map[*header][]func()
}

// whenLaidOut runs do as soon as all of types can be passed to functions: at once, or when Layout or Complete has
// been called for the last of them. (A type that holds another by value can only be made once that has its layout.)
func whenLaidOut(types []reflect.Type, do func()) {
	unfinished.Lock()
	for i, t := range types {
		if _, ok := unfinished.waiting[headerOf(t)]; ok {
			h, rest := headerOf(t), types[i+1:]
			unfinished.waiting[h] = append(unfinished.waiting[h], func() { whenLaidOut(rest, do) })
			unfinished.Unlock()
			return
		}
	}
	unfinished.Unlock()
	do()
}

// isUnfinished notes that h has no layout yet.
func isUnfinished(h *header) {
	unfinished.Lock()
	defer unfinished.Unlock()
	if unfinished.waiting == nil {
		unfinished.waiting = map[*header][]func(){}
	}
	unfinished.waiting[h] = nil
}

// hasLayout notes that h has its layout and runs what waited for that.
func hasLayout(h *header) {
	unfinished.Lock()
	waiting := unfinished.waiting[h]
	delete(unfinished.waiting, h)
	unfinished.Unlock()
	for _, do := range waiting {
		do()
	}
}
