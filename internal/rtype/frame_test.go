package rtype

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
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
		shapes = append(shapes, s)
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
	values := func(s string) (v []reflect.Value, types []reflect.Type) {
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
	seven := 7
	for _, s := range shapes {
		at := strings.IndexByte(s, '>')
		for _, receiver := range []any{7, &seven} {
			args, in := values(s[:at])
			want, out := values(s[at+1:])
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

func show(v reflect.Value) string { return fmt.Sprintf("%#v", v) }
