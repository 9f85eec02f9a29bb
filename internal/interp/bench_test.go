package interp

import (
	"testing"

	"golang.org/x/tools/txtar"
)

const speedSource = `
-- a.go --
package speed

import (
	"fmt"
	"strconv"
	"strings"
)

type node struct{ left, right *node; v int }

func (n *node) sum() int {
	if n == nil { return 0 }
	return n.left.sum() + n.v + n.right.sum()
}

type shape interface{ area() int }
type square struct{ a int }
func (s square) area() int { return s.a * s.a }

func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }

func Fib() int { return fib(20) }

func Loop() int { s := 0; for i := 0; i < 100000; i++ { s += i ^ (s >> 3) }; return s }

func Slice() int {
	x := make([]int, 1000)
	for r := range 100 { for i := range x { x[i] += i * r } }
	return x[999]
}

func Methods() int {
	n := &node{v: 1}
	for i := range 10 { n = &node{left: n, right: n, v: i} }
	return n.sum()
}

func Interface() int { var s shape = square{3}; t := 0; for range 10000 { t += s.area() }; return t }

func Map() int { m := map[int]int{}; for i := range 10000 { m[i%97] += i }; return len(m) }

func Strings() int { s := 0; for i := range 1000 { t := "a" + string(rune('a'+i%26)); s += len(t) }; return s }

func Channel() int {
	c := make(chan int)
	go func() { for i := range 1000 { c <- i }; close(c) }()
	s := 0
	for v := range c { s += v }
	return s
}

func Compiled() int { n := 0; for i := range 1000 { if strings.Contains("abcdef", "de") { n += len(strconv.Itoa(i)) } }; return n }

func Format() int { n := 0; for i := range 1000 { n += len(fmt.Sprintf("%d-%s", i, "x")) }; return n }

func Closure() int { s := 0; add := func(i int) { s += i }; for i := range 10000 { add(i) }; return s }
`

func BenchmarkSpeed(b *testing.B) {
	p, errs, err := load(b, txtar.Parse([]byte(speedSource)), "speed")
	if err != nil || len(errs) > 0 {
		b.Fatal(err, errs)
	}
	p.Init()
	for _, name := range []string{"Fib", "Loop", "Slice", "Methods", "Interface", "Map", "Strings", "Channel", "Closure", "Compiled", "Format"} {
		run := p.Lookup("speed", name).Interface().(func() int)
		b.Run(name, func(b *testing.B) {
			timed(b, func() { run() })
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	timed(b, func() {
		if _, _, err := load(b, txtar.Parse([]byte(speedSource)), "speed"); err != nil {
			b.Fatal(err)
		}
	})
}
