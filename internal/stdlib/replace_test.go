package stdlib

import (
	"cmp"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	ourhkdf "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/crypto/hkdf"
	ourpbkdf2 "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/crypto/pbkdf2"
	ouriter "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/iter"
	ourmaps "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/maps"
	ourrand "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/math/rand/v2"
	ourreflect "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/reflect"
	ourruntime "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/runtime"
	ourslices "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/slices"
	ouratomic "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/sync/atomic"
	ourunique "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/unique"
	ourweak "github.com/concurrent-modular-agent/coma/internal/stdlib/replace/weak"
)

// said is what a call returns or panics with.
func said(call func() string) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = fmt.Sprintf("panic: %v (%T)", p, p)
		}
	}()
	return call()
}

// What stands in for iter.Pull does what it does, whichever way the sequence and its reader end.
func TestPull(t *testing.T) {
	type pull = func(iter.Seq[int]) (func() (int, bool), func())
	count := func(yield func(int) bool) {
		for i := range 3 {
			if !yield(i) {
				return
			}
		}
	}
	cases := map[string]func(pull) string{
		"to the end": func(pull pull) (text string) {
			next, stop := pull(count)
			defer stop()
			for range 5 {
				text += fmt.Sprintln(next())
			}
			return text
		},
		"stopped": func(pull pull) (text string) {
			next, stop := pull(count)
			text += fmt.Sprintln(next())
			stop()
			stop()
			return text + fmt.Sprintln(next())
		},
		"stopped at once": func(pull pull) string {
			next, stop := pull(func(func(int) bool) { panic("ran") })
			stop()
			return fmt.Sprintln(next())
		},
		"panics": func(pull pull) (text string) {
			next, stop := pull(func(yield func(int) bool) { yield(1); panic("seq") })
			defer stop()
			return fmt.Sprintln(next()) + said(func() string { return fmt.Sprintln(next()) }) + fmt.Sprintln(next())
		},
		"panics when stopped": func(pull pull) string {
			next, stop := pull(func(yield func(int) bool) { yield(1); panic("seq") })
			next()
			return said(func() string { stop(); return "stopped" })
		},
		"goes on after stop": func(pull pull) string {
			next, stop := pull(func(yield func(int) bool) { yield(1); yield(2) })
			next()
			return said(func() string { stop(); return "stopped" })
		},
		"calls itself": func(pull pull) (text string) {
			var next func() (int, bool)
			next, stop := pull(func(yield func(int) bool) { text = said(func() string { return fmt.Sprintln(next()) }) })
			defer stop()
			next()
			return text
		},
	}
	for name, run := range cases {
		want := said(func() string { return run(iter.Pull[int]) })
		if got := said(func() string { return run(ouriter.Pull[int]) }); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	next, stop := ouriter.Pull2(slices.All([]string{"a", "b"}))
	defer stop()
	for i, want := range []string{"a", "b", ""} {
		k, v, ok := next()
		if v != want || ok != (want != "") || ok && k != i {
			t.Errorf("got %d %q %t, want %d %q", k, v, ok, i, want)
		}
	}
}

func TestTypeAssert(t *testing.T) {
	type hidden struct{ n int }
	var null error
	values := []reflect.Value{
		{}, reflect.ValueOf(1), reflect.ValueOf("x"), reflect.ValueOf(errors.New("x")), reflect.ValueOf(&null).Elem(),
		reflect.ValueOf(hidden{1}).Field(0), reflect.ValueOf(time.Second).Method(0), reflect.Zero(reflect.TypeFor[any]()),
	}
	for i, v := range values {
		same(t, i, func() string { return fmt.Sprint(reflect.TypeAssert[int](v)) }, func() string { return fmt.Sprint(ourreflect.TypeAssert[int](v)) })
		same(t, i, func() string { return fmt.Sprint(reflect.TypeAssert[error](v)) }, func() string { return fmt.Sprint(ourreflect.TypeAssert[error](v)) })
		same(t, i, func() string { return fmt.Sprint(reflect.TypeAssert[any](v)) }, func() string { return fmt.Sprint(ourreflect.TypeAssert[any](v)) })
	}
	if ourreflect.TypeFor[error]() != reflect.TypeFor[error]() || ourreflect.TypeFor[int]() != reflect.TypeFor[int]() {
		t.Error("TypeFor gives another type")
	}
}

func same(t *testing.T, about any, want, got func() string) {
	t.Helper()
	if w, g := said(want), said(got); g != w && !(len(w) > 2 && w[:2] == "0x") {
		t.Errorf("%v: got %q, want %q", about, g, w)
	}
}

func TestKeys(t *testing.T) {
	for _, length := range []int{0, 1, 40, 255 * 32, 255*32 + 1} {
		same(t, length,
			func() string { return fmt.Sprint(hkdf.Key(sha256.New, []byte("s"), []byte("salt"), "info", length)) },
			func() string {
				return fmt.Sprint(ourhkdf.Key(sha256.New, []byte("s"), []byte("salt"), "info", length))
			})
		same(t, length,
			func() string { return fmt.Sprint(hkdf.Expand(sha256.New, []byte("s"), "info", length)) },
			func() string { return fmt.Sprint(ourhkdf.Expand(sha256.New, []byte("s"), "info", length)) })
		same(t, length,
			func() string { return fmt.Sprint(pbkdf2.Key(sha256.New, "p", []byte("salt"), 3, length)) },
			func() string { return fmt.Sprint(ourpbkdf2.Key(sha256.New, "p", []byte("salt"), 3, length)) })
	}
	same(t, "extract",
		func() string { return fmt.Sprint(hkdf.Extract(sha256.New, []byte("s"), nil)) },
		func() string { return fmt.Sprint(ourhkdf.Extract(sha256.New, []byte("s"), nil)) })
}

func TestMapsAndRand(t *testing.T) {
	m := map[string]int{"a": 1, "b": 2}
	clone := ourmaps.Clone(m)
	if !maps.Equal(clone, m) || ourmaps.Clone(map[string]int(nil)) != nil {
		t.Errorf("got %v", clone)
	}
	clone["c"] = 3
	if len(m) != 2 {
		t.Error("the clone is the map")
	}
	for range 100 {
		if n := ourrand.N(int8(3)); n < 0 || n > 2 {
			t.Errorf("got %d", n)
		}
	}
	if got := said(func() string { return fmt.Sprint(ourrand.N(0)) }); got != "panic: invalid argument to N (string)" {
		t.Errorf("got %s", got)
	}
}

func TestSort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sorts[int](t, func() int { return r.IntN(50) - 25 })
	sorts[int8](t, func() int8 { return int8(r.Int()) })
	sorts[int16](t, func() int16 { return int16(r.Int()) })
	sorts[int32](t, func() int32 { return int32(r.Int()) })
	sorts[time.Duration](t, func() time.Duration { return time.Duration(r.Int()) })
	sorts[uint](t, func() uint { return uint(r.Int()) })
	sorts[uint8](t, func() uint8 { return uint8(r.Int()) })
	sorts[uint16](t, func() uint16 { return uint16(r.Int()) })
	sorts[uint32](t, func() uint32 { return uint32(r.Int()) })
	sorts[uint64](t, func() uint64 { return uint64(r.Int()) })
	sorts[uintptr](t, func() uintptr { return uintptr(r.Int()) })
	sorts[float32](t, func() float32 { return float32(r.NormFloat64()) })
	sorts[float64](t, func() float64 {
		return []float64{math.NaN(), math.Copysign(0, -1), 0, 1, math.Inf(-1), r.Float64()}[r.IntN(6)]
	})
	sorts[string](t, func() string { return fmt.Sprint(r.IntN(100)) })
}

// sorts compares our Sort with the standard library's, down to the signs of zeros.
func sorts[E cmp.Ordered](t *testing.T, value func() E) {
	for _, n := range []int{0, 1, 2, 12, 13, 100, 1000} {
		want := make([]E, n)
		for i := range want {
			want[i] = value()
		}
		got := slices.Clone(want)
		slices.Sort(want)
		ourslices.Sort(got)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestUnique(t *testing.T) {
	type pair struct {
		a string
		b int
	}
	first := ourunique.Make(pair{"x", 1})
	if first != ourunique.Make(pair{"x", 1}) || first == ourunique.Make(pair{"x", 2}) || first.Value() != (pair{"x", 1}) {
		t.Error("handles are equal where values are not, or the other way round")
	}
	if ourunique.Make(struct{}{}) != ourunique.Make(struct{}{}) {
		t.Error("empty values have different handles")
	}
	if ourunique.Make[any](1).Value() != 1 || ourunique.Make(1).Value() != 1 {
		t.Error("a value of an interface type is mixed up with what is in it")
	}
	// Handles stay equal, whatever the collector has taken in between.
	for i := range 100 {
		h := ourunique.Make(fmt.Sprint("value", i%3))
		if i%10 == 0 {
			runtime.GC()
		}
		if h != ourunique.Make(fmt.Sprint("value", i%3)) {
			t.Fatal("a handle that is in use is forgotten")
		}
	}
	runtime.KeepAlive(first)
}

func TestWeakAndCleanup(t *testing.T) {
	type big struct{ bytes [100]byte }
	kept, lost := new(big), new(big)
	cleaned := make(chan string, 1)
	ourruntime.AddCleanup(lost, func(name string) { cleaned <- name }, "lost")
	toKept, toLost := ourweak.Make(kept), ourweak.Make(lost)
	if toKept != ourweak.Make(kept) || toKept.Value() != kept || toLost.Value() == nil || ourweak.Make[big](nil).Value() != nil {
		t.Error("a weak pointer is not what it was made from")
	}
	lost = nil
	for done := false; !done; {
		runtime.GC()
		select {
		case name := <-cleaned:
			done = name == "lost"
		default:
		}
	}
	if toLost.Value() != nil || toKept.Value() != kept {
		t.Error("the wrong one is gone")
	}
	runtime.KeepAlive(kept)
	p := new(int)
	same(t, "cleanup",
		func() string { runtime.AddCleanup(p, func(*int) {}, p); return "" },
		func() string { ourruntime.AddCleanup(p, func(*int) {}, p); return "" })
	same(t, "cleanup",
		func() string { runtime.AddCleanup((*int)(nil), func(*int) {}, p); return "" },
		func() string { ourruntime.AddCleanup((*int)(nil), func(*int) {}, p); return "" })
}

func TestAtomicPointer(t *testing.T) {
	var p ouratomic.Pointer[int]
	one, two := new(int), new(int)
	*two = 2
	if p.Load() != nil || p.CompareAndSwap(one, two) || !p.CompareAndSwap(nil, one) || p.Swap(two) != one || p.Load() != two {
		t.Error("not an atomic pointer")
	}
	p.Store(nil)
	if got := fmt.Sprintf("%v", &p); got != "&{[] {} <nil>}" {
		t.Errorf("prints as %s", got)
	}
}
