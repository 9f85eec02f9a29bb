package interp

import (
	"runtime"
	"runtime/debug"
	"testing"
	"unsafe"

	"golang.org/x/tools/txtar"
)

const deep = `
-- a.go --
package deep

var bottom func()

func Set(f func()) { bottom = f }

type walker interface{ walk(n int) int }
type w struct{ pad [8]int }

func (x w) walk(n int) int {
	if n == 0 { bottom(); return 0 }
	var next walker = x
	return next.walk(n-1) + 1
}

func Method(n int) int { return w{}.walk(n) }

func Static(n int) int {
	if n == 0 { bottom(); return 0 }
	return Static(n-1) + 1
}

func Closure(n int) int {
	var f func(int) int
	f = func(n int) int {
		if n == 0 { bottom(); return 0 }
		return f(n-1) + 1
	}
	return f(n)
}

func Deferred(n int) (result int) {
	defer func() { result++ }()
	if n == 0 { bottom(); return 0 }
	return Deferred(n - 1)
}
`

func loadDeep(t *testing.T, opt Options, bottom func()) *Program {
	t.Helper()
	p, errs, err := loadWith(t, txtar.Parse([]byte(deep)), "deep", opt)
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	p.Init()
	p.Lookup("deep", "Set").Interface().(func(func()))(bottom)
	return p
}

var deepFunctions = []string{"Method", "Static", "Closure", "Deferred"}

func TestDeepRecursion(t *testing.T) {
	p := loadDeep(t, Options{}, func() {})
	for _, name := range deepFunctions {
		const n = 100_000
		got := p.Lookup("deep", name).Interface().(func(int) int)(n)
		if name == "Deferred" {
			got--
		}
		if got != n {
			t.Errorf("%s: got %d, want %d", name, got, n)
		}
	}
}

func TestStackOverflow(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes stack of its own")
	}
	defer debug.SetMaxStack(debug.SetMaxStack(64 << 20))
	for _, name := range deepFunctions {
		var told any
		ended := make(chan struct{})
		p := loadDeep(t, Options{Uncaught: func(value any, frames []Frame) {
			told = value
			if len(frames) == 0 {
				t.Error("no frames")
			}
			runtime.Goexit()
		}}, func() {})
		go func() {
			defer close(ended)
			p.Lookup("deep", name).Interface().(func(int) int)(1 << 40)
		}()
		<-ended
		if told != ErrStackOverflow {
			t.Errorf("%s: told of %v", name, told)
		}
	}
}

// TestCallStack measures callStack.
func TestCallStack(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes stack of its own")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector shrinks stacks, which moves them
	for _, name := range deepFunctions {
		var at uintptr
		p := loadDeep(t, Options{}, func() {
			var here byte
			at = uintptr(unsafe.Pointer(&here))
		})
		run := p.Lookup("deep", name).Interface().(func(int) int)
		measured := make(chan uintptr)
		go func() {
			const calls = 1000
			run(10 * calls) // makes the stack large enough
			run(1)
			first := at
			run(1 + calls)
			measured <- (first - at) / calls
		}()
		n := <-measured
		t.Logf("%s takes %d bytes a call", name, n)
		if n > callStack {
			t.Errorf("%s takes %d bytes of stack a call, more than callStack", name, n)
		}
	}
}

func TestMaxDepth(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(16 << 20))
	if n := maxDepth(); n > 16<<20/callStack {
		t.Errorf("calls may nest %d deep with 16 MB of stack", n)
	}
}
