package interp

import (
	"go/token"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/concurrent-modular-agent/coma/internal/check"
)

// TestMechanisms holds what the compiler to closures does with SSA against what compiled Go does: each program's R() is the
// number that the Go compiler's program returns.
func TestMechanisms(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		want   int
	}{
		"a loop variable shares its register with its increment": {`
func R() int { s := 0; for i := 0; i < 10; i++ { s = s*3 + i }; return s }`, 14757},
		"but not while the old value is still wanted": {`
func R() int { a, b := 0, 1; for i := 0; i < 10; i++ { a, b = b, a+b }; return a*1000 + b }`, 55089},
		"nor where the first value lives on": {`
func R() int { x := []int{5, 6, 7}; n := len(x) - 1; s := 0; for i := n; i >= 0; i-- { s = s*10 + x[i] + n }; return s }`, 987},
		"an index computed from the loop variable after its increment": {`
func R() int { x := [...]int{1, 2, 3, 4}; s, i := 0, 0; for i < 3 { j := i; i = i + 1; s = s*10 + x[j] + x[i] }; return s }`, 357},
		"an element is addressed when it is stored to": {`
func R() (n int) {
	x := []int{1}
	defer func() { recover(); n = x[0] }()
	x[0], x[5] = 7, 8
	return 0
}`, 7},
		"a field of an element, read and written": {`
type p struct { a, b int; in struct { c [3]int8; d string } }
func R() int { x := make([]p, 3); x[1].in.d = "abc"; x[2].b += 4; q := &x[2]; q.b++; return len(x[1].in.d)*10 + x[2].b }`, 35},
		"a pointer is checked where its field's address is taken": {`
type p struct { a, b int }
func R() (n int) {
	defer func() { recover() }()
	var q *p
	f := &q.b
	n = 1
	*f = 2
	return 3
}`, 0},
		"a local struct has its fields in the frame": {`
type p struct { a, b int; s []int }
func R() int { var v p; for i := range 4 { var w p; w.a += i; w.s = append(w.s, i); v.a += w.a; v.b += len(w.s) }; return v.a*10 + v.b }`, 64},
		"a field far beyond the start of a nil struct": {`
type p struct { pad [1 << 16]byte; x int }
func R() (n int) {
	defer func() { if recover() != nil { n = 5 } }()
	var q *p
	return q.x
}`, 5},
		"a condition that is wanted as a value, too": {`
func R() int { n := 0; for i := range 5 { b := i > 2; if b { n += 10 }; if b == (i == 4) { n++ } }; return n }`, 24},
		"variables are read behind the calls of their statement": {`
func R() int { x := 1; f := func() int { x = 5; return 1 }; y, z := x, f(); return y*10 + z + x + f() }`, 57},
		"and behind those of && and ||": {`
func R() int {
	x := 1
	f := func() bool { x++; return true }
	n := func(a int, ok bool, b int) int { return a*10 + b }
	return n(x, f() && f(), x)
}`, 33},
		"but not behind those of another statement": {`
func R() int { x := 1; f := func() int { x = 5; return 1 }; y := x; z := f(); return y*10 + z }`, 11},
		"elements of a range are read when their turn comes": {`
func R() int { x := []int{1, 2, 3}; s := 0; f := func() int { for i := range x { x[i] *= 10 }; return 0 }; for _, v := range x { s += v + f() }; return s }`, 321},
		"frames are used again with fresh variables": {`
func deep(n int) int { var a [4]int; a[n%4] += n; if n == 0 { return a[0] }; return a[n%4] + deep(n-1) }
func R() int { return deep(10)*1000 + deep(10) }`, 55055},
		"a frame that panicked is not used again": {`
func f(n int) int { a := make([]int, n); return a[3] }
func g(n int) (r int) { defer func() { if recover() != nil { r = -1 } }(); return f(n) + 1 }
func R() int { return g(9)*100 + g(2)*10 + g(5) }`, 91},
		"shifts by constants as wide as the operand and wider": {`
func R() int { var a uint8 = 200; var b int8 = -100; const n = 9; return int(a<<n) + int(b>>n)*10 + int(a>>7) + int(uint64(1)<<63>>62) }`, -7},
		"deferred calls of loops over functions": {`
func R() (n int) {
	for i := range func(yield func(int) bool) { _ = yield(1) && yield(2) } {
		defer func() { n = n*10 + i }()
	}
	return 3
}`, 321},
		"many registers of all shapes": {`
func f(a int8, b string, c []int, d any, e [3]string, g struct { x *int; y float32 }, h complex128, i map[string]int, j func() int) int {
	return int(a) + len(b) + c[0] + d.(int) + len(e[2]) + *g.x + int(g.y) + int(imag(h)) + i["k"] + j()
}
func R() int { n := 6; return f(1, "ab", []int{3}, 4, [3]string{2: "12345"}, struct { x *int; y float32 }{&n, 7.5}, 2+8i, map[string]int{"k": 9}, func() int { return 10 }) }`, 55},
	} {
		t.Run(name, func(t *testing.T) {
			p, errs, err := load(t, txtar.Parse([]byte("-- a.go --\npackage a\n"+c.source)), "a")
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			p.Init()
			if got := p.Lookup("a", "R").Interface().(func() int)(); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// FuzzLoad loads whatever the checker accepts. Nothing of it runs.
func FuzzLoad(f *testing.F) {
	f.Add("func f[T ~int | ~string](x ...T) (r T) { for _, v := range x { r += v }; return }\nvar x = f(1, 2)")
	f.Add("type t struct { *t; m map[string][]func(t) chan<- t }\nfunc (t) m2() {}\nvar v interface{ m2() } = t{}")
	f.Add("func f() (n int) { defer func() { n, _ = recover().(int) }(); select {}; }")
	f.Add("func f(y func(func(int) bool)) int { L: for i := range y { for range 3 { if i > 2 { continue L }; return i } }; return len([...]int{9: 1}) }")
	f.Add("func f() { x := struct{ a [2]int }{}; x.a[0], x.a[1] = x.a[1], 5; p := &x.a; for i := range p { go func() { p[i]++ }() } }")
	f.Fuzz(func(t *testing.T, body string) {
		fset := token.NewFileSet()
		file, errs := check.Parse(fset, "a.go", []byte("package a\n"+body))
		if len(errs) > 0 || len(file.Imports) > 0 {
			return
		}
		checked, errs := check.Check(fset, []check.Package{{Path: "a", Name: "a", Files: append(check.Package{}.Files, file)}})
		if len(errs) > 0 || len(check.Refused(fset, checked)) > 0 {
			return
		}
		p, err := Load(fset, checked, Options{})
		if err != nil {
			return // told, not crashed
		}
		p.Close()
	})
}
