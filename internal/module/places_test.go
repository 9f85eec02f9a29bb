//go:build unix

package module

import (
	"slices"
	"testing"
)

// TestPlaces checks which places in the source panics are told to come from.
func TestPlaces(t *testing.T) {
	const more = "func use(any) error { return nil }\ntype E struct{ n int }\nfunc (e *E) Do() {\n\te.n = 1\n}\ntype I interface{ Do() }\nvar _ = strings.Repeat"
	tests := []struct {
		name, body, cause string // Run begins at line 13, its body at 14
		frames            []string
	}{
		{"index", "x := []int{1}; n := 3\nreturn use(x[n])", "panic: runtime error: index out of range [3] with length 1", []string{"chat/chat.go:15:12: chat.Run"}},
		{"index of two", "x := []int{1}; n := 3\nuse(x[0])\nreturn use(x[n])", "panic: runtime error: index out of range [3] with length 1", []string{"chat/chat.go:16:12: chat.Run"}},
		{"array", "var x [3]int; n := 3\nx[n] = 2; return nil", "panic: runtime error: index out of range [3] with length 3", []string{"chat/chat.go:15:1: chat.Run"}},
		{"string", "s := \"abc\"; n := 5\nreturn use(s[n])", "panic: runtime error: index out of range [5] with length 3", []string{"chat/chat.go:15:12: chat.Run"}},
		{"slice", "x := []int{1}; n := 3\n_ = x[n:]; return nil", "panic: runtime error: slice bounds out of range [3:1]", []string{"chat/chat.go:15:5: chat.Run"}},
		{"nil map", "var m map[string]int\nm[\"a\"] = 1\nreturn nil", "panic: assignment to entry in nil map", []string{"chat/chat.go:15:1: chat.Run"}},
		{"field", "var e *E\nreturn use(e.n)", "panic: runtime error: invalid memory address or nil pointer dereference", []string{"chat/chat.go:15:12: chat.Run"}},
		{"divide", "a, b := 1, 0\nreturn use(a/b)", "panic: runtime error: integer divide by zero", []string{"chat/chat.go:15:12: chat.Run"}},
		{"remainder", "a, b := 1, 0\na %= b\nreturn nil", "panic: runtime error: integer divide by zero", []string{"chat/chat.go:15:1: chat.Run"}},
		{"assertion", "var v any = 1\nreturn use(len(v.(string)))", "panic: interface conversion: interface {} is int, not string", []string{"chat/chat.go:15:16: chat.Run"}},
		{"send", "c := make(chan int, 1)\nclose(c); c <- 1; return nil", "panic: send on closed channel", []string{"chat/chat.go:15:11: chat.Run"}},
		{"close twice", "c := make(chan int)\nclose(c); close(c); return nil", "panic: close of closed channel", []string{"chat/chat.go:15:11: chat.Run"}},
		{"host", "return use(strings.Repeat(\"a\", -1))", "panic: strings: negative Repeat count", []string{"chat/chat.go:14:12: chat.Run"}},
		{"method", "var e *E\ne.Do(); return nil", "panic: runtime error: invalid memory address or nil pointer dereference", []string{"chat/chat.go:20:2: chat.(*E).Do", "chat/chat.go:15:1: chat.Run"}},
		{"literal", "f := func() {\n\tpanic(1) }\nf(); return nil", "panic: 1", []string{"chat/chat.go:15:2: chat.Run.func1", "chat/chat.go:16:1: chat.Run"}},
		{"literal in place", "func() {\n\tpanic(1) }()\nreturn nil", "panic: 1", []string{"chat/chat.go:15:2: chat.Run.func1", "chat/chat.go:14:1: chat.Run"}},
		{"nil function", "var f func()\nf(); return nil", "panic: runtime error: invalid memory address or nil pointer dereference", []string{"chat/chat.go:15:1: chat.Run"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := project(t, map[string]string{"chat/chat.go": wrap([]string{"strings"}, test.body, more)})
			p, err := Load(t.Context(), source(t, dir, "chat"), newCapture())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			f := failureOf(t, Exit{Err: p.Run(t.Context(), nil)})
			var got []string
			for _, frame := range f.Frames {
				got = append(got, frame.String())
			}
			if f.Cause != test.cause || !slices.Equal(got, test.frames) {
				t.Errorf("%s at %q, want %s at %q", f.Cause, got, test.cause, test.frames)
			}
		})
	}
}
