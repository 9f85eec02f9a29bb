package rtype

import (
	"bytes"
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"
)

// The compiled types that the tests build again.
type (
	fault struct {
		Code int
		Text string
		at   time.Duration
	}
	celsius float64
	mode    uint8
	ranking []int
	base    struct {
		ID     int `json:"id"`
		secret string
	}
	Extra struct {
		Notes []string `json:"notes,omitempty"`
		Level mode     `json:"level"`
	}
	record struct {
		base
		*Extra
		When  stamp            `json:"when"`
		Temps map[mode]celsius `json:"temps"`
		Blob  any
		inner struct{ a, b int }
		_     int32
		Keys  map[point]string
	}
	stamp   struct{ sec int64 }
	point   struct{ X, Y float64 }
	handler func(string) string
	grid    [2][3]float32
	queue   chan int
	holder  struct{ p *int }
	boxed   struct {
		_ [0]int
		p *string
	}
	locked struct {
		sync.Mutex
		*bytes.Buffer
		n int
	}
	reader interface {
		io.Reader
		Level() mode
	}
	large struct {
		Words [40]string
		Tail  [9000]*int
	}
	wide [3000]struct {
		n int
		p *point
	}
)

func (f fault) Error() string               { return fmt.Sprintf("fault %d: %s", f.Code, f.Text) }
func (f *fault) Clear()                     { f.Code, f.Text = 0, "" }
func (f fault) Is(target error) bool        { return target == io.EOF }
func (c celsius) String() string            { return fmt.Sprintf("%.1f°C", float64(c)) }
func (m mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "mode-%d", uint8(m)), nil }
func (m *mode) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "mode-%d", (*uint8)(m))
	return err
}
func (r ranking) Len() int           { return len(r) }
func (r ranking) Less(i, j int) bool { return r[i] < r[j] }
func (r ranking) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ranking) Push(x any)        { *r = append(*r, x.(int)) }
func (r *ranking) Pop() any          { x := (*r)[len(*r)-1]; *r = (*r)[:len(*r)-1]; return x }
func (b base) Describe() string      { return fmt.Sprintf("base %d", b.ID) }
func (b *base) Touch()               { b.ID++ }
func (e *Extra) First() string {
	if e == nil {
		return ""
	}
	return e.Notes[0]
}
func (s stamp) MarshalJSON() ([]byte, error) { return json.Marshal(time.Unix(s.sec, 0).UTC()) }
func (s *stamp) UnmarshalJSON(b []byte) error {
	var t time.Time
	err := json.Unmarshal(b, &t)
	s.sec = t.Unix()
	return err
}
func (s stamp) GoString() string             { return "stamp!" }
func (p point) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%g/%g", p.X, p.Y), nil }
func (p *point) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "%g/%g", &p.X, &p.Y)
	return err
}
func (p point) Format(s fmt.State, verb rune) { fmt.Fprintf(s, "<%g %c %g>", p.X, verb, p.Y) }
func (h handler) Serve(s string) string       { return h(s) }
func (g grid) Sum() (sum float32) {
	for _, r := range g {
		for _, x := range r {
			sum += x
		}
	}
	return
}
func (g *grid) Scale(by float32) {
	for i := range g {
		for j := range g[i] {
			g[i][j] *= by
		}
	}
}
func (q queue) Peek() int      { return len(q) }
func (h holder) Get() int      { return *h.p }
func (h *holder) Put(p *int)   { h.p = p }
func (b boxed) String() string { return *b.p }
func (l large) String() string { return l.Words[39] }

func compiledTypes() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[fault](), reflect.TypeFor[celsius](), reflect.TypeFor[mode](), reflect.TypeFor[ranking](), reflect.TypeFor[base](),
		reflect.TypeFor[Extra](), reflect.TypeFor[record](), reflect.TypeFor[stamp](), reflect.TypeFor[point](), reflect.TypeFor[handler](),
		reflect.TypeFor[grid](), reflect.TypeFor[queue](), reflect.TypeFor[holder](), reflect.TypeFor[boxed](), reflect.TypeFor[locked](),
		reflect.TypeFor[reader](), reflect.TypeFor[large](), reflect.TypeFor[wide](),
	}
}

func sampleValues() []any {
	seven, text := 7, "text"
	q := make(queue, 3)
	q <- 1
	l := large{}
	l.Words[39] = "last"
	return []any{
		fault{404, "not found", 3}, &fault{Code: 1}, celsius(21.25), mode(3), ranking{3, 1, 2}, base{1, "s"}, Extra{[]string{"a"}, 2},
		record{base: base{4, "hidden"}, Extra: &Extra{Notes: []string{"n"}, Level: 9}, When: stamp{1e9}, Temps: map[mode]celsius{1: 20, 2: -3},
			Blob: []any{1, "x", nil}, Keys: map[point]string{{1, 2}: "here"}},
		stamp{12}, point{1, 2}, grid{{1, 2, 3}, {4, 5, 6}}, q, holder{&seven}, boxed{p: &text}, l,
		struct{ base }{base{5, "promoted"}}, &struct{ base }{base{6, "promoted"}}, struct {
			*Extra
			n int
		}{&Extra{Notes: []string{"first"}}, 1},
		map[string]fault{"a": {Code: 1}}, []celsius{1, 2}, [2]mode{1, 2}, []any{1},
	}
}

// TestDescriptions compares all that reflect tells of compiled types and their twins.
func TestDescriptions(t *testing.T) {
	types := compiledTypes()
	w := newTwins(t, types...)
	for _, v := range sampleValues() {
		types = append(types, reflect.TypeOf(v))
	}
	for _, typ := range types {
		for _, typ := range []reflect.Type{typ, reflect.PointerTo(typ), reflect.SliceOf(typ)} {
			want, got := describe(typ), describe(w.of(typ))
			if want != got {
				t.Errorf("%v is described as\n%s\nand should be\n%s", typ, got, want)
			}
			if err := compare(headerOf(w.of(typ)), w.of(typ)); err != nil {
				t.Errorf("%v: %v", typ, err)
			}
		}
		if got, want := reflect.PointerTo(w.of(typ)), w.of(reflect.PointerTo(typ)); got != want {
			t.Errorf("there are two types %v", got)
		}
	}
}

func describe(t reflect.Type) string {
	var b strings.Builder
	fmt.Fprintln(&b, t, t.Name(), t.PkgPath(), t.Kind(), t.Size(), t.Align(), t.FieldAlign(), t.Comparable(), t.NumMethod(), t.CanSeq(), t.CanSeq2())
	for m := range t.Methods() {
		fmt.Fprintln(&b, m.Name, m.PkgPath, m.Type, m.Index, m.Func.IsValid())
	}
	if t.Kind() == reflect.Struct {
		for f := range t.Fields() {
			fmt.Fprintln(&b, f.Name, f.PkgPath, f.Type, f.Tag, f.Offset, f.Index, f.Anonymous, f.IsExported())
		}
		for _, name := range []string{"ID", "Notes", "secret", "Mutex", "n"} {
			f, ok := t.FieldByName(name)
			fmt.Fprintln(&b, name, f.Name, f.Index, ok)
		}
	}
	for _, u := range []reflect.Type{reflect.TypeFor[error](), reflect.TypeFor[fmt.Stringer](), reflect.TypeFor[sort.Interface](), reflect.TypeFor[heap.Interface](),
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[sync.Locker](), reflect.TypeFor[io.Reader](), reflect.TypeFor[io.WriterTo](), reflect.TypeFor[any](),
		reflect.TypeFor[int](), reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]int](), reflect.TypeFor[func(string) string](), reflect.TypeFor[chan int]()} {
		fmt.Fprintln(&b, u, u.Kind() == reflect.Interface && t.Implements(u), t.AssignableTo(u), t.ConvertibleTo(u), u.AssignableTo(t), u.ConvertibleTo(t))
	}
	return b.String()
}

// TestLibraries compares what the standard library makes of compiled values and their twins.
func TestLibraries(t *testing.T) {
	eachWay(t, compiledTypes(), func(t *testing.T, w *twins) {
		fresh := sampleValues() // what the one has changed is not for the other
		for i, v := range sampleValues() {
			want, got := use(reflect.ValueOf(v)), use(w.value(reflect.ValueOf(fresh[i])))
			if want != got {
				t.Errorf("%T is used as\n%s\nand should be\n%s", v, got, want)
			}
		}
	})
}

var page = template.Must(template.New("").Parse(
	`{{.}} {{with .Describe}}{{.}}{{end}}`))

// use has the standard library look at v, and returns what it saw.
func use(v reflect.Value) string {
	var b strings.Builder
	x := v.Interface()
	for _, verb := range []string{"%v", "%+v", "%#v", "%T", "%s", "%d", "%q", "%x"} {
		if v.Kind() == reflect.Chan || v.Kind() == reflect.Struct && strings.Contains(fmt.Sprintf("%#v", x), "(0x") && verb != "%T" {
			continue
		}
		fmt.Fprintf(&b, verb+"\n", x)
	}
	text, err := json.Marshal(x)
	fmt.Fprintln(&b, string(text), strings.ReplaceAll(fmt.Sprint(err), "0x", ""))
	if err == nil {
		back := reflect.New(v.Type())
		fmt.Fprintln(&b, json.Unmarshal(text, back.Interface()))
		again, err := json.Marshal(back.Interface())
		fmt.Fprintln(&b, string(again), err)
		fmt.Fprintln(&b, reflect.DeepEqual(back.Elem().Interface(), x))
	}
	var out bytes.Buffer
	err = page.Execute(&out, x)
	if v.Kind() != reflect.Chan && !strings.Contains(out.String(), "0x") {
		fmt.Fprintln(&b, out.String(), err)
	}
	if v.Comparable() {
		m := map[any]int{x: 1}
		y := v.Interface() // another copy
		fmt.Fprintln(&b, x == y, m[y])
		typed := reflect.MakeMap(reflect.MapOf(v.Type(), reflect.TypeFor[int]()))
		typed.SetMapIndex(v, reflect.ValueOf(1))
		fmt.Fprintln(&b, typed.MapIndex(reflect.ValueOf(y)))
	}
	if err, ok := x.(error); ok {
		wrapped := fmt.Errorf("wrapped: %w", err)
		target := reflect.New(v.Type())
		fmt.Fprintln(&b, wrapped, errors.Is(wrapped, io.EOF), errors.Is(wrapped, err), errors.As(wrapped, target.Interface()), target.Elem().Interface() == x)
	}
	box := reflect.New(v.Type())
	box.Elem().Set(v)
	if h, ok := box.Interface().(heap.Interface); ok {
		heap.Init(h)
		heap.Push(h, 0)
		fmt.Fprintln(&b, heap.Pop(h), heap.Pop(h), h.Len())
		sort.Sort(sort.Reverse(h))
		fmt.Fprintln(&b, h)
	}
	for i := range v.NumMethod() {
		if m := v.Method(i); m.Type().NumIn() == 0 {
			fmt.Fprintln(&b, v.Type().Method(i).Name, m.Call(nil), v.Type().Method(i).Func.Call([]reflect.Value{v}))
		}
	}
	return b.String()
}
