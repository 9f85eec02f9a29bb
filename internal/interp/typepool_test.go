package interp

import (
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/concurrent-modular-agent/coma/internal/rtype"
)

// thirtyTypes is a module of 30 types with 5 methods each, which mention each other, embed each other and are passed to
// compiled code; %s is a further field of one of them.
func thirtyTypes(field string) string {
	var b strings.Builder
	b.WriteString("package many\n\nimport (\n\"fmt\"\n\"sync\"\n\"time\"\n)\n\ntype pair[K comparable, V any] struct { Key K; Val V }\nfunc (p pair[K, V]) String() string { return fmt.Sprintf(\"%v=%v\", p.Key, p.Val) }\n")
	for i := range 30 {
		fmt.Fprintf(&b, "type T%d struct { N int; Next *T%d; All map[string]T%d", i, (i+1)%30, (i+7)%30)
		if i%7 == 3 {
			fmt.Fprintf(&b, "; T%d", i-1)
		}
		if i == 0 {
			b.WriteString("; " + field)
		}
		b.WriteString(" }\n")
		fmt.Fprintf(&b, "func (t T%d) String() string { return fmt.Sprint(\"T%d:\", t.N) }\n", i, i)
		fmt.Fprintf(&b, "func (t *T%d) Set(n int) { t.N = n }\n", i)
		fmt.Fprintf(&b, "func (t *T%d) Follow(o T%d) (*T%d, error) { return t.Next, nil }\n", i, (i+2)%30, (i+1)%30)
		fmt.Fprintf(&b, "func (t T%d) hidden(p pair[string, *T%d]) { }\n", i, i)
		fmt.Fprintf(&b, "func (t T%d) Double() int { return 2 * t.N }\n", i)
	}
	b.WriteString("func Main() string {\n\tvar all []fmt.Stringer\n")
	for i := range 30 {
		fmt.Fprintf(&b, "\t{ t := &T%d{}; t.Set(%d); all = append(all, t) }\n", i, i)
	}
	b.WriteString("\tvar boxed struct { sync.Mutex; *T3 }\n\tboxed.T3 = &T3{N: 5}\n\tboxed.Lock()\n\tdefer boxed.Unlock()\n")
	b.WriteString("\ttype local struct { time.Duration }\n")
	b.WriteString("\treturn fmt.Sprint(all, boxed.Double(), fmt.Stringer(&boxed), pair[string, T1]{\"k\", T1{N: 1}}, local{3})\n}\n")
	return "-- a.go --\n" + b.String()
}

// TestReload loads, runs and closes a module again and again: nothing that cannot be freed may grow, and what can be
// must be. RELOADS says how often.
func TestReload(t *testing.T) {
	rounds := 300
	if testing.Short() || raceEnabled {
		rounds = 50
	}
	if n, err := strconv.Atoi(os.Getenv("RELOADS")); err == nil {
		rounds = n
	}
	archive := txtar.Parse([]byte(thirtyTypes("")))
	collected := make(chan bool, rounds+2)
	want := ""
	once := func() {
		p := mustLoad(t, archive, "many")
		p.Init()
		got := p.Lookup("many", "Main").Interface().(func() string)()
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("got %s\nwant %s", got, want)
		}
		p.Halt()
		p.Close()
		runtime.AddCleanup(p, func(c chan bool) { c <- true }, collected)
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	once()
	if !strings.Contains(want, "T29:29") || !strings.Contains(want, "k=T1:1") {
		t.Fatal(want)
	}
	once()
	methods, bytes := rtype.Used()
	before := heap()
	for range rounds {
		once()
	}
	if m, b := rtype.Used(); m != methods || b != bytes {
		t.Errorf("%d methods and %d bytes before, %d and %d after", methods, bytes, m, b)
	}
	if after := heap(); after > before+before/4+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	} else {
		t.Logf("%d rounds: heap from %d to %d bytes; %d methods, %d bytes of records", rounds, before, after, methods, bytes)
	}
	deadline := time.After(time.Minute)
	for n := 0; n < rounds+1; { // the collector may see the last program on a stack
		select {
		case <-collected:
			n++
		case <-deadline:
			t.Fatalf("only %d of %d programs were collected", n, rounds+2)
		default:
			runtime.GC()
		}
	}
}

func mustLoad(t testing.TB, archive *txtar.Archive, root string) *Program {
	t.Helper()
	p, errs, err := load(t, archive, root)
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	return p
}

func mainOf(p *Program, root string) string {
	p.Init()
	return p.Lookup(root, "Main").Interface().(func() string)()
}

// typeOfValue is the runtime type of what a program's function Value returns.
func typeOfValue(p *Program, root string) reflect.Type {
	return reflect.TypeOf(p.Lookup(root, "Value").Interface().(func() any)())
}

// TestTypesLast: which changes of a module leave a type what it was, and that programs do not share one.
func TestTypesLast(t *testing.T) {
	const first = `package lasts
import "fmt"
type other struct{ a int }
func (o other) Do(v *Value_) error { return nil }
type Value_ struct { o *other; N int ` + "`json:\"n\"`" + ` }
func (v Value_) String() string { return fmt.Sprint("first ", v.N) }
func (v *Value_) set() {}
type apart struct{ x, y int }
func Value() any { _ = apart{}; _ = other{}; return Value_{N: 1} }
`
	for _, c := range []struct {
		name, old, new string
		same           bool
	}{
		{"nothing", "", "", true},
		{"code", `"first "`, `"second "`, true},
		{"a method less", "func (v *Value_) set() {}\n", "", false},
		{"a type apart", "x, y int", "x, y, z int", true},
		{"a field", "N int", "N int; M int", false},
		{"a field's name", "o *other", "p *other", false},
		{"a tag", "json:\"n\"", "json:\"m\"", false},
		{"a type mentioned", "a int", "a uint", false},
		{"a method's signature", "set() {}", "set(int) {}", false},
		{"a method's receiver", "(v *Value_) set", "(v Value_) set", false},
		{"a method of a type mentioned", "(v *Value_) error", "(v *Value_) any", false},
		{"a method more", "type apart", "func (v Value_) More() {}\ntype apart", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := "lasts/" + strings.ReplaceAll(c.name, " ", "") // each with types of its own
			source := func(s string) *txtar.Archive { return txtar.Parse([]byte("-- a.go --\n" + s)) }
			p := mustLoad(t, source(first), root)
			was := typeOfValue(p, root)
			q := mustLoad(t, source(first), root) // while p lives
			if typeOfValue(q, root) == was {
				t.Fatal("two programs share a type")
			}
			q.Halt()
			p.Halt()
			p.Close()
			r := mustLoad(t, source(strings.Replace(first, c.old, c.new, 1)), root)
			if is := typeOfValue(r, root); (is == was) != c.same {
				t.Errorf("the type is the same: %t", is == was)
			}
			said := fmt.Sprint(reflect.Zero(typeOfValue(r, root)).Interface())
			if want := strings.Contains(c.new, "second"); strings.HasPrefix(said, "second") != want {
				t.Errorf("it says %s", said)
			}
			r.Halt()
			r.Close()
			q.Close()
		})
	}
}

// TestLocalTypesLast: types that only the instance around them tells apart keep apart, in whatever order they are met.
func TestLocalTypesLast(t *testing.T) {
	const source = `-- a.go --
package locals
import ("fmt"; "reflect")
func one[T any]() (any, any) { type inner struct { n int }; type outer struct { in inner }; return inner{1}, outer{inner{2}} }
func describe(in, out any) string {
	return fmt.Sprintf("%%t %%T %%+v %%T, ", reflect.TypeOf(out).Field(0).Type == reflect.TypeOf(in), in, out, out)
}
func Main() string {
	a, b := one[%[1]s]()
	c, d := one[%[2]s]()
	return describe(a, b) + describe(c, d) + fmt.Sprint(reflect.TypeOf(a) == reflect.TypeOf(c), reflect.TypeOf(b) == reflect.TypeOf(d))
}`
	const said = "true locals.inner[%[1]s] {in:{n:2}} locals.outer[%[1]s], true locals.inner[%[2]s] {in:{n:2}} locals.outer[%[2]s], false false"
	for _, order := range [][]any{{"int", "string"}, {"string", "int"}, {"int", "string"}} {
		p := mustLoad(t, txtar.Parse(fmt.Appendf(nil, source, order...)), "locals")
		if got, want := mainOf(p, "locals"), fmt.Sprintf(said, order...); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		p.Halt()
		p.Close()
	}
}

// TestLocalTypesNumbered: a type lasts with the number of a local type in its name only as long as that is the number.
func TestLocalTypesNumbered(t *testing.T) {
	const source = `-- a.go --
package numbered
import "fmt"
type list[T any] []T
func Main() string { %s type item struct { n int }; return fmt.Sprintf("%%T %%T", item{}, list[item]{}) }`
	for _, c := range []struct{ before, want string }{
		{"", "numbered.item numbered.list[numbered.item·1]"},
		{"type first int;", "numbered.item numbered.list[numbered.item·2]"},
		{"type first = int;", "numbered.item numbered.list[numbered.item·1]"},
	} {
		p := mustLoad(t, txtar.Parse(fmt.Appendf(nil, source, c.before)), "numbered")
		if got := mainOf(p, "numbered"); got != c.want {
			t.Errorf("after %q: got %s, want %s", c.before, got, c.want)
		}
		p.Halt()
		p.Close()
	}
}

// TestNoRoom fills the process with types, in a process of its own: what is told must say what helps.
func TestNoRoom(t *testing.T) {
	if os.Getenv("INTERP_NO_ROOM") == "" {
		if testing.Short() || raceEnabled {
			t.Skip("takes tens of seconds")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoRoom$", "-test.v")
		cmd.Env = append(os.Environ(), "INTERP_NO_ROOM=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestNoRoom") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	same := txtar.Parse([]byte(thirtyTypes("")))
	p := mustLoad(t, same, "many")
	want := mainOf(p, "many")
	p.Halt()
	p.Close()
	for i := 0; ; i++ {
		p, errs, err := load(t, txtar.Parse([]byte(thirtyTypes(fmt.Sprint("F", i, " int")))), "many")
		if err != nil {
			if !strings.Contains(err.Error(), "isolation: process") || i < 20 {
				t.Fatalf("load %d: %v", i, err)
			}
			break
		}
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		p.Halt()
		p.Close()
	}
	p = mustLoad(t, same, "many") // what there is goes on
	if got := mainOf(p, "many"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
