package interp

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestCallbacks: compiled code calls func values and methods of every shape, on goroutines of its own, while the
// collector runs and after the caller is done with them.
func TestCallbacks(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	for _, c := range []struct{ name, body, want string }{
		{"comparison", `s := []string{"b", "c", "a"}; sort.Slice(s, func(i, j int) bool { return s[i] > s[j] }); return fmt.Sprint(s)`, "[c b a]"},
		{"methods", `p := pairs{{2, "x"}, {1, "y"}}; sort.Sort(p); return fmt.Sprint(p)`, "[1y 2x]"},
		{"runes", `return strings.Map(func(r rune) rune { if r == 'a' { return -1 }; return r + 1 }, "banal")`, "com"},
		{"two results", `a, b, err := bufio.ScanLines, 0, error(nil); _ = a
			s := bufio.NewScanner(strings.NewReader("one two"))
			s.Split(func(data []byte, end bool) (int, []byte, error) { b++; return bufio.ScanWords(data, end) })
			n := 0
			for s.Scan() { n += len(s.Text()) }
			return fmt.Sprint(n, b > 0, err)`, "6 true <nil>"},
		{"structs and floats", `f := func(p pair, x float32, y [3]int8, z complex128) (pair, float32, [3]int8, bool) {
				return pair{p.n + 1, p.s + "!"}, x * 2, [3]int8{y[2], y[1], y[0]}, real(z) > 1 }
			out := reflect.ValueOf(f).Call([]reflect.Value{reflect.ValueOf(pair{1, "p"}), reflect.ValueOf(float32(1.5)), reflect.ValueOf([3]int8{1, 2, 3}), reflect.ValueOf(complex(2, 0))})
			return fmt.Sprint(out[0], out[1], out[2], out[3])`, "2p! 3 [3 2 1] true"},
		{"small results", `f := func(a int8, b bool) (bool, int8, bool, uint16) { return !b, a + 1, b, uint16(a) << 8 }
			out := reflect.ValueOf(f).Call([]reflect.Value{reflect.ValueOf(int8(-1)), reflect.ValueOf(true)})
			return fmt.Sprint(out[0], out[1], out[2], out[3])`, "false 0 true 65280"},
		{"variadic", `f := func(a string, rest ...int) int { return len(a) + len(rest) }
			v := reflect.ValueOf(f)
			return fmt.Sprint(v.Call([]reflect.Value{reflect.ValueOf("ab"), reflect.ValueOf(1), reflect.ValueOf(2)})[0],
				v.CallSlice([]reflect.Value{reflect.ValueOf("ab"), reflect.ValueOf([]int{1})})[0], v.Call([]reflect.Value{reflect.ValueOf("a")})[0])`, "4 3 1"},
		{"no results, no parameters", `n := 0; var once sync.Once; once.Do(func() { n++ }); once.Do(func() { n++ }); return fmt.Sprint(n)`, "1"},
		{"empty structs", `f := func(a struct{}, b [0]int) (struct{}, error) { return a, nil }
			return fmt.Sprint(reflect.ValueOf(f).Call([]reflect.Value{reflect.ValueOf(struct{}{}), reflect.ValueOf([0]int{})})[1])`, "<nil>"},
		{"timer", `c := make(chan string); s := "kept"; time.AfterFunc(time.Microsecond, func() { c <- s + " alive" }); runtime.GC(); return <-c`, "kept alive"},
		{"goroutines of compiled code", `var g sync.WaitGroup; var n atomic.Int64; for i := range 50 { g.Go(func() { n.Add(int64(i)) }) }; g.Wait(); return fmt.Sprint(n.Load())`, "1225"},
		{"handler", `h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })
			w := httptest.NewRecorder(); h.ServeHTTP(w, httptest.NewRequest("GET", "/path", nil)); return w.Body.String()`, "/path"},
		{"panic that compiled code recovers", `return fmt.Sprint(bad{})`, "%!v(PANIC=String method: bad)"},
		{"panic through compiled code", `defer func() { got = fmt.Sprint("got ", recover()) }()
			sort.Slice([]int{1, 2}, func(i, j int) bool { panic("thrown") }); return ""`, "got thrown"},
		{"recovered in the callback", `s := []int{2, 1}; sort.Slice(s, func(i, j int) (less bool) { defer func() { recover(); less = s[i] < s[j] }(); panic("x") }); return fmt.Sprint(s)`, "[1 2]"},
		{"callback in a callback", `return strings.Map(func(r rune) rune { return rune(strings.Map(func(q rune) rune { return q + 1 }, string(r))[0]) }, "abc")`, "bcd"},
		{"method value", `p := pair{7, "q"}; f := p.String; p.n = 8; return strings.Repeat(call(f), 2) + call(fmt.Stringer(p).String) + call((&p).String)`, "7q7q8q8q"},
		{"receiver is a copy", `c := counter{}; a, b := fmt.Sprint(c), fmt.Sprint(&c); return a + b + fmt.Sprint(c.n)`, "110"},
		{"receiver is a pointer", `var k ticks; fmt.Sprint(&k); fmt.Sprint(&k); return fmt.Sprint(k.n)`, "2"},
		{"receiver in the interface word", `m := table{"a": 1}; f := fun(func() string { return "fun" }); return fmt.Sprint(m, f)`, "table 1  fun"},
		{"walk", `n := 0; err := fs.WalkDir(fstest.MapFS{"a/b": {}, "c": {}}, ".", func(path string, d fs.DirEntry, err error) error { n++; if d.IsDir() && path == "a" { return fs.SkipDir }; return nil })
			return fmt.Sprint(n, err)`, "3 <nil>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustLoad(t, txtar.Parse(callbackProgram(c.body)), "calls")
			p.Init()
			if got := p.Lookup("calls", "Main").Interface().(func() string)(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			p.Halt()
			p.Close()
		})
	}
}

// callbackProgram is a program with some types, whose Main has the given body. Only the imports that it uses are there.
func callbackProgram(body string) []byte {
	const types = `
type pair struct { n int; s string }
func (p pair) String() string { return fmt.Sprint(p.n) + p.s }
type pairs []pair
func (p pairs) Len() int { return len(p) }
func (p pairs) Less(i, j int) bool { return p[i].n < p[j].n }
func (p pairs) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
type bad struct{}
func (bad) String() string { panic("bad") }
type counter struct { n int }
func (c counter) String() string { c.n++; return fmt.Sprint(c.n) }
type ticks struct { n int }
func (k *ticks) String() string { k.n++; return "" }
type table map[string]int
func (m table) String() string { return fmt.Sprint("table ", len(m)) }
type fun func() string
func (f fun) String() string { return " " + f() }
func call(f func() string) string { return reflect.ValueOf(f).Call(nil)[0].String() }
`
	var b strings.Builder
	b.WriteString("-- a.go --\npackage calls\n")
	for _, path := range []string{"bufio", "fmt", "io/fs", "net/http", "net/http/httptest", "reflect", "runtime", "sort", "strings", "sync",
		"sync/atomic", "testing/fstest", "time"} {
		name := path[strings.LastIndexByte(path, '/')+1:]
		if strings.Contains(types+body, name+".") {
			fmt.Fprintf(&b, "import %q\n", path)
		}
	}
	fmt.Fprintf(&b, "%s\nfunc Main() (got string) {\n%s\n}\n", types, body)
	return []byte(b.String())
}

// TestCallbackPanics: a panic on a goroutine that compiled code has started for a callback is told to the program's
// owner, with its place, as nobody can recover it.
func TestCallbackPanics(t *testing.T) {
	for _, start := range []string{
		`time.AfterFunc(0, func() { panic("thrown") })`,
		`var g sync.WaitGroup; g.Go(func() { panic("thrown") })`,
		`ctx, cancel := context.WithCancel(context.Background()); context.AfterFunc(ctx, func() { panic("thrown") }); cancel()`,
		`var v thrower; time.AfterFunc(0, v.Throw)`,
		`var v thrower; time.AfterFunc(0, interface{ Throw() }(v).Throw)`,
	} {
		t.Run(start, func(t *testing.T) {
			source := "-- a.go --\npackage calls\n"
			for _, name := range []string{"context", "sync", "time"} {
				if strings.Contains(start, name+".") {
					source += fmt.Sprintf("import %q\n", name)
				}
			}
			source += "type thrower struct{}\nfunc (thrower) Throw() { panic(\"thrown\") }\nfunc Main() {\n" + start + "\n}\n"
			told := make(chan string, 1)
			opt := Options{Uncaught: func(value any, frames []Frame) {
				told <- fmt.Sprint(value, " ", len(frames) > 0 && frames[0].Position.Filename == "a.go")
				runtime.Goexit()
			}}
			p, errs, err := loadWith(t, txtar.Parse([]byte(source)), "calls", opt)
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			p.Init()
			p.Lookup("calls", "Main").Interface().(func())()
			if got := <-told; got != "thrown true" {
				t.Error(got)
			}
		})
	}
}

// TestAfterClose: a method of a closed program that nobody has taken over says why it does not run.
func TestAfterClose(t *testing.T) {
	p := mustLoad(t, txtar.Parse([]byte("-- a.go --\npackage gone\ntype V struct{}\nfunc (V) String() string { return \"\" }\nfunc Value() any { return V{} }\n")), "gone")
	p.Init()
	v := p.Lookup("gone", "Value").Interface().(func() any)().(fmt.Stringer)
	if got := v.String(); got != "" {
		t.Fatal(got)
	}
	p.Halt()
	p.Close()
	defer func() {
		if r := recover(); r != errClosed {
			t.Error(r)
		}
	}()
	t.Error(v.String())
}

const callbackSource = `-- a.go --
package calls

import (
	"fmt"
	"sort"
	"strings"
)

type people []string
func (p people) Len() int { return len(p) }
func (p people) Less(i, j int) bool { return p[i] < p[j] }
func (p people) Swap(i, j int) { p[i], p[j] = p[j], p[i] }

type named struct{ name string }
func (n named) String() string { return n.name }

func fill() []string { s := make([]string, 100); for i := range s { s[i] = fmt.Sprint(i*7919%100) }; return s }

func Slice() int { s := fill(); sort.Slice(s, func(i, j int) bool { return s[i] < s[j] }); return len(s) }
func Sort() int { s := people(fill()); sort.Sort(s); return len(s) }
func Search() int { return sort.Search(1<<30, func(i int) bool { return i >= 12345 }) }
func Map() int { return len(strings.Map(func(r rune) rune { return r + 1 }, "abcdefghijklmnopqrstuvwxyz")) }
func Stringer() int { return len(fmt.Sprint(named{"n"}, named{"m"})) }
func Make() int { t := 0; for i := range 1000 { f := func(j int) int { return i + j }; t += apply(f) }; return t }
func apply(f func(int) int) int { return f(1) }
`

// BenchmarkCallback is what compiled code pays for calls into interpreted code.
func BenchmarkCallback(b *testing.B) {
	p, errs, err := load(b, txtar.Parse([]byte(callbackSource)), "calls")
	if err != nil || len(errs) > 0 {
		b.Fatal(err, errs)
	}
	p.Init()
	for _, name := range []string{"Slice", "Sort", "Search", "Map", "Stringer", "Make"} {
		run := p.Lookup("calls", name).Interface().(func() int)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
