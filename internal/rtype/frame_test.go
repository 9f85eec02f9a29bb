package rtype

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

// letters are values for each letter of a shape.
var letters = map[byte][]any{
	'w': {true, int8(-7), uint16(65535), int32(-1), rune('x'), uint64(1 << 63), -1, uintptr(9)},
	'p': {&[]int{1}[0], map[string]int{"a": 1}, make(chan int), unsafe.Pointer(&[]byte{1}[0])},
	't': {"", "text"},
	's': {[]byte("bytes"), []string{"a", "b"}, []any{1, nil}},
	'i': {io.EOF, errors.New("other"), nil},
	'f': {1.5, -2.25},
}

// TestShapes calls a method of each quick signature, and of random ones, through the registers and back.
func TestShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var shapes []string
	for s := range quick {
		shapes = append(shapes, s, strings.TrimPrefix(s, "p")) // as that of a function, and of a method
	}
	all := "wptsif"
	for range 60 { // some are quick, most are not
		s := ""
		for range r.IntN(4) {
			s += string(all[r.IntN(len(all))])
		}
		s += ">"
		for range r.IntN(4) {
			s += string(all[r.IntN(len(all))])
		}
		shapes = append(shapes, s)
	}
	seven := 7
	for _, s := range shapes {
		at := strings.IndexByte(s, '>')
		for _, receiver := range []any{7, &seven} {
			args, in := letterValues(r, s[:at])
			want, out := letterValues(r, s[at+1:])
			signature := reflect.FuncOf(in, out, false)
			if got, ok := shape(signature); !ok || got != s {
				t.Fatalf("%v has shape %s, not %s", signature, got, s)
			}
			check := func(recv unsafe.Pointer, got []reflect.Value) {
				n := *(*uintptr)(recv)
				if _, direct := receiver.(*int); direct {
					n = uintptr(**(**int)(recv))
				}
				if n != 7 {
					t.Errorf("%s: receiver %d", s, n)
				}
				for i := range args {
					if show(got[i]) != show(args[i]) {
						t.Errorf("%v: argument %d is %s, not %s", signature, i, show(got[i]), show(args[i]))
					}
				}
			}
			_, offsets := Frame(signature)
			for name, m := range map[string]Method{
				"call": {Call: func(recv unsafe.Pointer, got []reflect.Value) []reflect.Value { check(recv, got); return want }},
				"raw": {Raw: func(recv, frame unsafe.Pointer) {
					var got []reflect.Value
					for i, typ := range in {
						got = append(got, reflect.NewAt(typ, unsafe.Add(frame, offsets[i])).Elem())
					}
					check(recv, got)
					for i, v := range want {
						result := reflect.NewAt(v.Type(), unsafe.Add(frame, offsets[len(in)+i])).Elem()
						if !result.IsZero() {
							t.Errorf("%v: result %d is not zero at first", signature, i)
						}
						result.Set(v)
					}
				}},
			} {
				m.Name, m.Type = "M", signature
				n := NewNamed("p", "p", "T")
				if _, direct := receiver.(*int); direct {
					must(t, n.Complete(reflect.TypeFor[struct{ p *int }]()))
				} else {
					must(t, n.Complete(reflect.TypeFor[int]()))
				}
				must(t, n.SetMethods([]Method{m}, nil))
				v := recast(reflect.ValueOf(receiver), n.Type())
				for _, got := range [][]reflect.Value{v.Method(0).Call(args), n.Type().Method(0).Func.Call(append([]reflect.Value{v}, args...))} {
					for i := range want {
						if show(got[i]) != show(want[i]) {
							t.Errorf("%v, %s: result %d is %s, not %s", signature, name, i, show(got[i]), show(want[i]))
						}
					}
				}
			}
		}
	}
}

// TestFuncs calls func values of the same signatures in every way that Go has.
func TestFuncs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	shapes := []string{"wwwwwwwwwwww>w", "ffff>tsi", "titititi>i"}
	for s := range quick {
		shapes = append(shapes, s)
	}
	for _, s := range shapes {
		at := strings.IndexByte(s, '>')
		args, in := letterValues(r, s[:at])
		want, out := letterValues(r, s[at+1:])
		signature := reflect.FuncOf(in, out, false)
		_, offsets := Frame(signature)
		subject := new(int)
		calls := make(chan bool, 10)
		fn := FuncsOf(signature).Make(func(given, frame unsafe.Pointer) {
			if given != unsafe.Pointer(subject) {
				t.Errorf("%s: subject %p, not %p", s, given, subject)
			}
			for i, typ := range in {
				if got := reflect.NewAt(typ, unsafe.Add(frame, offsets[i])).Elem(); show(got) != show(args[i]) {
					t.Errorf("%v: argument %d is %s, not %s", signature, i, show(got), show(args[i]))
				}
			}
			for i, v := range want {
				reflect.NewAt(v.Type(), unsafe.Add(frame, offsets[len(in)+i])).Elem().Set(v)
			}
			calls <- true
		}, unsafe.Pointer(subject))
		if Subject(fn) != unsafe.Pointer(subject) {
			t.Errorf("%s: the func value does not know its subject", s)
		}
		for i, got := range reflect.NewAt(signature, unsafe.Pointer(&fn)).Elem().Call(args) {
			if show(got) != show(want[i]) {
				t.Errorf("%v: result %d is %s, not %s", signature, i, show(got), show(want[i]))
			}
		}
		if len(calls) != 1 {
			t.Errorf("%s: called %d times", s, len(calls))
		}
	}
	for _, f := range []any{func() {}, strings.ToUpper, func() { _ = shapes }, reflect.MakeFunc(reflect.TypeFor[func()](), nil).Interface()} {
		if s := Subject(closureOf(f)); s != nil {
			t.Errorf("%T has subject %v", f, s)
		}
	}
}

// TestFuncsBegin starts goroutines with built func values and lets the collector look at them before they run, defers
// calls to them, and lets timers call them.
func TestFuncsBegin(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	var group sync.WaitGroup
	make1 := func(do func()) func() {
		word := FuncsOf(reflect.TypeFor[func()]()).Make(func(subject, _ unsafe.Pointer) { (*(*func())(subject))() }, unsafe.Pointer(&do))
		return *(*func())(unsafe.Pointer(&word))
	}
	for i := range 200 {
		group.Add(4)
		kept := fmt.Sprint("kept ", i)
		f := make1(func() {
			defer group.Done()
			if kept != fmt.Sprint("kept ", i) {
				t.Error(kept)
			}
		})
		go f()
		go func() { defer f() }()
		time.AfterFunc(time.Microsecond, f)
		if i%20 == 0 {
			runtime.GC()
		}
		sync.OnceFunc(f)()
	}
	group.Wait()
	func() {
		defer func() {
			if r := recover(); r != "thrown" {
				t.Error(r)
			}
		}()
		make1(func() { panic("thrown") })()
	}()
	done := make(chan string)
	go make1(func() { done <- string(debug.Stack()) })()
	if stack := <-done; !strings.Contains(stack, "TestFuncsBegin") {
		t.Error(stack)
	}
}

func show(v reflect.Value) string { return fmt.Sprintf("%#v", v) }

// letterValues are values of the types that a shape's letters stand for.
func letterValues(r *rand.Rand, s string) (v []reflect.Value, types []reflect.Type) {
	for i := range len(s) {
		x := letters[s[i]][r.IntN(len(letters[s[i]]))]
		typ := reflect.TypeOf(x)
		if s[i] == 'i' {
			typ = reflect.TypeFor[error]()
		}
		box := reflect.New(typ).Elem()
		if x != nil {
			box.Set(reflect.ValueOf(x))
		}
		v, types = append(v, box), append(types, typ)
	}
	return v, types
}
