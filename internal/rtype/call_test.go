package rtype

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

// many has methods that need every way of passing arguments: integer and float registers, the stack, and pointers in
// each.
type many struct {
	name string
	seed int
}

type quad struct{ A, B, C, D float64 }

type mixed struct {
	S string
	F float32
	P *int
	I any
}

// manyCaller is what compiled code calls; assertions to it must find the twin's methods.
type manyCaller interface {
	Registers(a int8, b float32, c string, d *int, e uint16, f float64) (float64, *int, string)
	Spilled(a, b, c, d, e, f, g, h, i, j, k, l int, p *int, s string, t ...string) (int, *int, []string, error)
	Structs(q quad, m mixed, n [3]int64, o [1]*int, z struct{}) (mixed, quad, [3]int64, [1]*int)
	Floats(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q float64) (complex128, float64)
	Callback(f func(int) string, c chan int, m map[string]int) (func() string, error)
	Nothing()
}

func (m many) Registers(a int8, b float32, c string, d *int, e uint16, f float64) (float64, *int, string) {
	return float64(a) + float64(b) + float64(e) + f, d, m.name + c
}
func (m many) Spilled(a, b, c, d, e, f, g, h, i, j, k, l int, p *int, s string, t ...string) (int, *int, []string, error) {
	return a - b + c - d + e - f + g - h + i - j + k - l + m.seed, p, append([]string{s}, t...), errors.New(m.name)
}
func (m many) Structs(q quad, x mixed, n [3]int64, o [1]*int, z struct{}) (mixed, quad, [3]int64, [1]*int) {
	x.S += m.name
	q.A, q.D = q.D, q.A
	n[2] += int64(m.seed)
	return x, q, n, o
}
func (m many) Floats(a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q, r float64) (complex128, float64) {
	return complex(a+b+c+d+e+f+g+h, i+j+k+l+n+o+p), q*100 + r
}
func (m many) Callback(f func(int) string, c chan int, x map[string]int) (func() string, error) {
	c <- len(x)
	return func() string { return f(m.seed) }, nil
}
func (m many) Nothing() {}

// exercise calls every method, several times over, and says what came of it.
func exercise(c manyCaller) string {
	var b strings.Builder
	n := 42
	f, p, s := c.Registers(-3, 1.5, "c", &n, 65535, 0.25)
	fmt.Fprintln(&b, f, *p, s, p == &n)
	i, p, list, err := c.Spilled(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, &n, "s", "t", "u")
	fmt.Fprintln(&b, i, p == &n, list, err)
	_, _, list, _ = c.Spilled(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, nil, "s")
	fmt.Fprintln(&b, list)
	m, q, a, o := c.Structs(quad{1, 2, 3, 4}, mixed{"s", 2.5, &n, "any"}, [3]int64{1, 2, 3}, [1]*int{&n}, struct{}{})
	fmt.Fprintln(&b, m.S, m.F, m.P == &n, m.I, q, a, o[0] == &n)
	z, x := c.Floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
	fmt.Fprintln(&b, z, x)
	ch := make(chan int, 1)
	text, err := c.Callback(func(i int) string { return strings.Repeat("x", i) }, ch, map[string]int{"a": 1})
	fmt.Fprintln(&b, text(), <-ch, err)
	c.Nothing()
	return b.String()
}

func TestCalls(t *testing.T) {
	eachWay(t, []reflect.Type{reflect.TypeFor[many]()}, func(t *testing.T, w *twins) {
		v := many{"name", 3}
		want := exercise(v)
		twin := w.value(reflect.ValueOf(v))
		for _, c := range []any{twin.Interface(), twin.Addr().Interface(), &v} {
			if got := exercise(c.(manyCaller)); got != want {
				t.Errorf("%T: got\n%s\nwant\n%s", c, got, want)
			}
		}
		f := twin.Addr().Interface().(manyCaller).Nothing // a method value
		f()
	})
}

// TestCallsUnderCollection runs methods on many goroutines while stacks grow and move below and above them and the
// garbage collector runs all the time. Values that only registers or stack slots hold must survive.
func TestCallsUnderCollection(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	w := newTwins(t, reflect.TypeFor[many]())
	want := exercise(many{"name", 3})
	var deep func(n int, c manyCaller) string
	deep = func(n int, c manyCaller) string {
		var room [64]byte
		if n == 0 {
			return exercise(c)
		}
		room[n%len(room)] = byte(n)
		s := deep(n-1, c)
		if room[n%len(room)] != byte(n) {
			return "the stack was damaged"
		}
		return s
	}
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range rounds {
				c := w.value(reflect.ValueOf(many{"name", 3})).Addr().Interface().(manyCaller)
				done := make(chan string)
				go func() { done <- deep(i*40+g, c) }() // on a small, new stack
				runtime.GC()
				if got := <-done; got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
					return
				}
			}
		})
	}
	group.Wait()
}

// TestStackMovesInsideCall: the callee grows the stack and lets it shrink while pointers to it are in the caller's
// frame.
func TestStackMovesInsideCall(t *testing.T) {
	n := NewNamed("rtype", "rtype", "grower")
	must(t, n.Complete(reflect.TypeFor[int]()))
	var grow func(depth int, p *int) int
	grow = func(depth int, p *int) int {
		var room [128]int
		room[depth%128] = depth
		if depth == 0 {
			runtime.GC()
			_ = runtime.Stack(make([]byte, 1<<16), false)
			return *p
		}
		return grow(depth-1, p) + room[depth%128] - depth
	}
	call := func(recv unsafe.Pointer, args []reflect.Value) []reflect.Value {
		p := (*int)(args[0].UnsafePointer())
		*p += *(*int)(recv)
		return []reflect.Value{reflect.ValueOf(grow(2000, p))}
	}
	method := Method{Name: "Grow", Type: reflect.TypeFor[func(*int) int](), Call: call}
	must(t, n.SetMethods([]Method{method}, []Method{behind(method)}))
	for range 20 {
		done := make(chan int)
		go func() {
			local := 1
			v := reflect.New(n.Type()).Elem()
			v.SetInt(41)
			done <- v.Interface().(interface{ Grow(*int) int }).Grow(&local)
		}()
		if got := <-done; got != 42 {
			t.Fatal(got)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// behind is the method that *T has for a method of T.
func behind(m Method) Method {
	call := m.Call
	m.Call = func(recv unsafe.Pointer, args []reflect.Value) []reflect.Value {
		return call(*(*unsafe.Pointer)(recv), args)
	}
	return m
}

// TestPanics: panics, Goexit and stack traces pass through a built method as through a compiled one.
func TestPanics(t *testing.T) {
	n := NewNamed("rtype", "rtype", "panicker")
	must(t, n.Complete(reflect.TypeFor[string]()))
	method := Method{Name: "Error", Type: reflect.TypeFor[func() string](), Call: func(recv unsafe.Pointer, _ []reflect.Value) []reflect.Value {
		switch s := *(*string)(recv); s {
		case "exit":
			runtime.Goexit()
		case "stack":
			return []reflect.Value{reflect.ValueOf(string(debug.Stack()))}
		default:
			panic("panic: " + s)
		}
		return nil
	}}
	must(t, n.SetMethods([]Method{method}, []Method{behind(method)}))
	value := func(s string) error {
		v := reflect.New(n.Type())
		v.Elem().SetString(s)
		return v.Elem().Interface().(error)
	}
	func() {
		defer func() {
			if r := recover(); r != "panic: boom" {
				t.Errorf("recovered %v", r)
			}
		}()
		t.Error(value("boom").Error())
	}()
	if got := fmt.Sprint(value("boom")); !strings.Contains(got, "PANIC=Error method: panic: boom") {
		t.Error(got)
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		_ = value("exit").Error()
		t.Error("still running")
	}()
	<-done
	if got := value("stack").Error(); !strings.Contains(got, "TestPanics") {
		t.Error("the stack ends at the method:\n" + got)
	}
}

// TestDirectReceivers: a value that is one pointer is held in the interface itself; its methods get its address all
// the same.
func TestDirectReceivers(t *testing.T) {
	x := 5
	for _, v := range []any{map[string]int{"a": 5}, &x, [1]*int{&x}, struct{ p *int }{&x}, struct {
		_ struct{}
		p [1]*int
	}{p: [1]*int{&x}}, func() int { return 5 }, unsafe.Pointer(&x)} {
		typ := reflect.TypeOf(v)
		n := NewNamed("rtype", "rtype", "direct")
		must(t, n.Complete(typ))
		method := Method{Name: "Same", Type: reflect.TypeFor[func(unsafe.Pointer) bool](), Call: func(recv unsafe.Pointer, args []reflect.Value) []reflect.Value {
			return []reflect.Value{reflect.ValueOf(*(*unsafe.Pointer)(recv) == args[0].UnsafePointer())}
		}}
		if typ.Kind() == reflect.Pointer {
			continue // a defined pointer type has no methods; that it can be complete is enough
		}
		must(t, n.SetMethods([]Method{method}, []Method{behind(method)}))
		twin := recast(reflect.ValueOf(v), n.Type())
		want := *(*unsafe.Pointer)(twin.Addr().UnsafePointer())
		for _, x := range []any{twin.Interface(), twin.Addr().Interface()} {
			if !x.(interface{ Same(unsafe.Pointer) bool }).Same(want) {
				t.Errorf("%v in %T: another receiver", typ, x)
			}
		}
		if m := n.Type().Method(0); !m.Func.Call([]reflect.Value{twin, reflect.ValueOf(want)})[0].Bool() {
			t.Errorf("%v: another receiver for the plain call", typ)
		}
	}
}
