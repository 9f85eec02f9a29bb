// Package generate makes Go programs from seeds: small, concurrent, right by construction, and with output that does not
// depend on chance, so that a compiled and an interpreted run of one must say the same.
//
// How to read it: generate.go lays a program out, types.go has the types that its values have, expression.go and
// statement.go are the grammar, concurrent.go the shapes in which goroutines meet.
//
// What keeps the programs right and their output certain:
//
//   - Operands are never all constant: the compiler would refuse what overflows. Literals come through id.
//   - Integer divisors are made odd by |1. Where a program divides by zero, indexes out of range or the like, it recovers.
//   - Conversions from floats to integers are left to Go only in range: outside, the specification leaves them open. A
//     float product is converted at once, which forbids the compiler to fuse it with an addition.
//   - Expressions call only what changes nothing that the expression reads, since Go leaves that order open.
//   - Functions call only functions that were declared before them, loops are short and nest at most twice: all end.
//   - Each goroutine has a trace of its own; traces are put together in a fixed order.
//   - Maps are ranged over only to sum up.
package generate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Program returns the source of the program of a seed: one file of package program with func Main() string. The same seed
// makes the same program, as long as this package does not change.
func Program(seed uint64) string {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0x636f6d61))}
	g.head()
	g.declareTypes()
	g.declareGlobals()
	for level := range levels {
		for range 1 + g.rng.IntN(3) {
			g.declareFunction(level)
		}
	}
	g.declareMain()
	return g.b.String()
}

// levels bounds how deep calls nest: a function calls those of lower levels only.
const levels = 3

type generator struct {
	rng    *rand.Rand
	b      strings.Builder
	indent int
	names  int

	structs []*typ
	named   []*typ // of basic types
	funcs   []function
	level   int // of the function that is being written; levels in Main

	scope  []variable
	loops  int      // how many surround what is being written, in this function
	labels []string // of loops that a statement may continue or break
	inFunc *function
	depth  int // of blocks

	nesting int // of literals
}

type variable struct {
	name   string
	typ    *typ
	frozen bool // not to be assigned to: a loop counts with it, or others share it
}

type function struct {
	name   string
	level  int
	params []*typ
	result *typ
}

// line writes one line, indented.
func (g *generator) line(format string, args ...any) {
	g.b.WriteString(strings.Repeat("\t", g.indent))
	fmt.Fprintf(&g.b, format, args...)
	g.b.WriteByte('\n')
}

// block writes head { body } and forgets the variables that body declares.
func (g *generator) block(head string, body func()) { g.blockTail(head, body, "}") }

func (g *generator) blockTail(head string, body func(), tail string) {
	g.line("%s {", head)
	g.inside(body)
	g.line("%s", tail)
}

func (g *generator) inside(body func()) {
	variables, labels := len(g.scope), len(g.labels)
	g.indent++
	g.depth++
	body()
	g.depth--
	g.indent--
	g.scope, g.labels = g.scope[:variables], g.labels[:labels]
}

func (g *generator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

// chance is true in n of 100 cases.
func (g *generator) chance(n int) bool { return g.rng.IntN(100) < n }

func pick[T any](g *generator, of []T) T { return of[g.rng.IntN(len(of))] }

const prelude = `package program

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

type trace struct{ lines []string }

func (t *trace) say(format string, args ...any) {
	if len(t.lines) < 3000 {
		t.lines = append(t.lines, fmt.Sprintf(format, args...))
	}
}

func (t *trace) try(name string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			if err, ok := r.(error); ok {
				t.say("%s: error %v", name, err)
				return
			}
			t.say("%s: %T %v", name, r, r)
		}
	}()
	f()
	t.say("%s: fine", name)
}

type thing interface {
	Weight() int
	Name() string
}

type number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64
}

type failure struct{ code int }

func (f *failure) Error() string { return fmt.Sprint("failure ", f.code) }

type box[T any] struct {
	V    T
	Next *box[T]
}

func (b box[T]) Get() T   { return b.V }
func (b *box[T]) Put(v T) { b.Next = &box[T]{b.V, b.Next}; b.V = v }
func (b *box[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for ; b != nil; b = b.Next {
			if !yield(b.V) {
				return
			}
		}
	}
}

// newer is what follows b in a count.
func newer(b *box[int]) *box[int] {
	if b == nil {
		return &box[int]{V: 1}
	}
	return &box[int]{V: b.V + 1}
}

// weigh and called take a nil thing, which a zero value may hold.
func weigh(x thing) int {
	if x == nil {
		return -1
	}
	return x.Weight()
}

func called(x thing) string {
	if x == nil {
		return "nothing"
	}
	return x.Name()
}

func id[T any](v T) T { return v }

func pickOne[T any](c bool, a, b T) T {
	if c {
		return a
	}
	return b
}

func apply[T, U any](xs []T, f func(T) U) []U {
	var out []U
	for _, x := range xs {
		out = append(out, f(x))
	}
	return out
}

func total[T number](xs ...T) (t T) {
	for _, x := range xs {
		t += x
	}
	return t
}

func least[T cmp.Ordered](first T, rest ...T) T {
	for _, x := range rest {
		first = min(first, x)
	}
	return first
}

func upto(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func pairs[T any](xs []T) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		defer func() { xs = nil }()
		for i, x := range xs {
			if !yield(i, x) {
				return
			}
		}
	}
}

// at never indexes out of range.
func at[T any](xs []T, i int) (v T) {
	if len(xs) == 0 {
		return v
	}
	return xs[uint(i)%uint(len(xs))]
}

// clip keeps what grows in bounds.
func clip[T any](xs []T) []T { return xs[:min(len(xs), 12)] }
func clipText(s string) string { return s[:min(len(s), 40)] }

// whole is a float as an integer, where that is certain.
func whole[F ~float32 | ~float64](f F) int {
	if f > -1e6 && f < 1e6 {
		return int(f)
	}
	return 0
}

var (
	_ = errors.New
	_ = slices.Sort[[]int]
	_ = sort.Ints
	_ sync.Mutex
	_ atomic.Int64
)
`

func (g *generator) head() { g.b.WriteString(prelude) }

func (g *generator) declareMain() {
	g.level = levels
	g.b.WriteString("\n")
	g.block("func Main() string", func() {
		g.line("t := &trace{}")
		for range 5 + g.rng.IntN(6) {
			g.statement()
		}
		for range 1 + g.rng.IntN(3) {
			g.concurrent()
		}
		for _, f := range g.funcs {
			if f.level == levels-1 {
				g.line(`t.say("%s %%v", %s)`, f.name, g.call(f, 1))
			}
		}
		g.report()
		g.line(`return strings.Join(t.lines, "\n")`)
	})
}

// report says the values of the variables in scope.
func (g *generator) report() {
	for _, v := range g.scope {
		g.line(`t.say("%s %%%s", %s)`, v.name, pick(g, []string{"v", "+v", "v"}), g.shown(v))
	}
}

// shown is an expression that prints the same in every run: no addresses.
func (g *generator) shown(v variable) string {
	switch v.typ.kind {
	case pointerKind:
		return "*" + v.name
	case funcKind:
		return v.name + "(" + g.expr(v.typ.param, 1) + ")"
	case boxKind:
		return "slices.Collect(" + v.name + ".All())"
	}
	return v.name
}
