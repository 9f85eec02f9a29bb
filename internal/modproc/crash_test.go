package modproc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadCrash(t *testing.T) {
	const gone = "\n\ngoroutine 7 [running]:\nexample.com/garden/chat.(*T[...]).get(0xc000012345, {0x1, 0x2})\n\t/p/chat/chat.go:12 +0x45\n" +
		"strings.Repeat({0x1?, 0x2?}, 0x3)\n\t/usr/local/go/src/strings/strings.go:600 +0x1\nexample.com/garden/chat.Run.func1()\n\t/p/chat/chat.go:8 +0x45\n" +
		"created by example.com/garden/chat.Run in goroutine 1\n\t/p/chat/chat.go:7 +0x1d\n\ngoroutine 1 [select]:\nmain.main()\n\t/p/main.go:1 +0x2\n"
	frames := []Frame{{File: "chat/chat.go", Line: 12, Function: "chat.(*T[...]).get"}, {File: "chat/chat.go", Line: 8, Function: "chat.Run.func1"}}
	tests := []struct {
		text string
		want Crash
	}{
		{"panic: boom [recovered, repanicked]" + gone, Crash{Cause: "panic: boom", Goroutine: 7, Frames: frames}},
		{"panic: boom\n\tpanic: again\n\ngoroutine 1 [running]:\n", Crash{Cause: "panic: boom", Goroutine: 1}},
		{"panic: two\n\tlines\n\ngoroutine 7 [running]:\n", Crash{Cause: "panic: two\nlines", Goroutine: 7}},
		{"panic: runtime error: invalid memory address or nil pointer dereference [recovered, repanicked]\n[signal SIGSEGV: segmentation violation]" + gone,
			Crash{Cause: "panic: runtime error: invalid memory address or nil pointer dereference", Goroutine: 7, Frames: frames}},
		{"runtime: goroutine stack exceeds 134217728-byte limit\nfatal error: stack overflow" + gone, Crash{Cause: "stack overflow", Goroutine: 7, Frames: frames}},
		{"fatal error: concurrent map writes" + gone, Crash{Cause: "fatal error: concurrent map writes", Goroutine: 7, Frames: frames}},
		{"runtime: out of memory: cannot allocate 8589934592-byte block\nfatal error: out of memory\n\ngoroutine 1 [running]:\n", Crash{Cause: "out of memory", Memory: true, Goroutine: 1}},
		{"panic: x\n\ngoroutine 3 [running]:\nx/y.F()\n\t/elsewhere/y.go:4 +0x1\n", Crash{Cause: "panic: x", Goroutine: 3, Frames: []Frame{{File: "/elsewhere/y.go", Line: 4, Function: "y.F"}}}},
		{"something else\n", Crash{}},
		{"goroutine \n", Crash{}},
		{"", Crash{}},
	}
	for _, test := range tests {
		if got := ReadCrash([]byte(test.text), "/p"); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q:\n%+v, want\n%+v", test.text, got, test.want)
		}
	}
}

// crashes are ways to die of the runtime, for a process of this test program.
var crashes = map[string]func(){
	"goroutine": func() {
		go func() {
			var m map[string]int
			m["x"] = 1 // dies here
		}()
		select {}
	},
	"deferred": func() {
		defer func() {
			panic(errors.New("second"))
		}()
		panic("first") // dies here
	},
	"overflow": func() { debug.SetMaxStack(1 << 20); endless(1) },
	"nil": func() {
		var p *Crash
		p.Cause = "x" // dies here
	},
}

func endless(n int) int { return endless(n+1) + 1 } // dies here

func TestRealCrashes(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("crash_test.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(source), "\n")
	causes := map[string]string{
		"goroutine": "panic: assignment to entry in nil map",
		"deferred":  "panic: first",
		"overflow":  "stack overflow",
		"nil":       "panic: runtime error: invalid memory address or nil pointer dereference",
	}
	for kind, cause := range causes {
		t.Run(kind, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), "COMA_TEST_CRASH="+kind)
			text, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("it has not died")
			}
			got := ReadCrash(text, dir)
			if got.Cause != cause {
				t.Errorf("cause %q, want %q", got.Cause, cause)
			}
			if len(got.Frames) == 0 || got.Frames[0].File != "crash_test.go" || !strings.Contains(lines[got.Frames[0].Line-1], "// dies here") {
				t.Errorf("frames %v in\n%s", got.Frames, text)
			}
		})
	}
}

func TestWords(t *testing.T) {
	tests := []struct {
		name, in string
		lines    []string
		kept     string
	}{
		{"nothing", "", nil, ""},
		{"a module's own lines", "one\ntwo\n\nthree", []string{"one", "two", "three"}, ""},
		{"then the end", "one\npanic: boom\n\ngoroutine 1 [running]:\n", []string{"one"}, "panic: boom\n\ngoroutine 1 [running]:\n"},
		{"the end without a line end", "fatal error: x", nil, "fatal error: x\n"},
		{"a line of any length", strings.Repeat("x", maxWords+3) + "\n", []string{strings.Repeat("x", maxWords), "xxx"}, ""},
	}
	for _, test := range tests {
		for _, step := range []int{1, 7, 1 << 20} {
			var lines []string
			w := NewWords(func(text string) { lines = append(lines, text) })
			file := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(file, []byte(test.in), 0o600); err != nil {
				t.Fatal(err)
			}
			if step == 1<<20 {
				from, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				w.Keep(from)
				if err := from.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				for part := range slices.Chunk([]byte(test.in), step) {
					if n, err := w.Write(part); n != len(part) || err != nil {
						t.Fatal(n, err)
					}
				}
				w.Keep(devNull(t))
			}
			if !slices.Equal(lines, test.lines) || string(w.Text()) != test.kept {
				t.Errorf("%s, by %d: %d lines, kept %q; want %d lines, kept %q", test.name, step, len(lines), w.Text(), len(test.lines), test.kept)
			}
		}
	}
}

func TestWordsAreBounded(t *testing.T) {
	w := NewWords(func(string) {})
	for range 10 {
		if _, err := w.Write([]byte("panic: " + strings.Repeat("x", maxWords/3) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.Text()); n > maxWords {
		t.Errorf("%d bytes are kept, want at most %d", n, maxWords)
	}
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // only read from
	return f
}

func FuzzReadCrash(f *testing.F) {
	f.Add([]byte("panic: boom [recovered]\n\ngoroutine 3 [running]:\nmain.f(0x1)\n\t/p/a.go:3 +0x1\n"))
	f.Add([]byte("fatal error: stack overflow\n"))
	f.Add([]byte("goroutine 1:\n)(\n\tx:1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := ReadCrash(text, "/p")
		if len(c.Cause) > MaxCause+100 || len(c.Frames) > MaxFrames {
			t.Errorf("a cause of %d bytes, %d frames", len(c.Cause), len(c.Frames))
		}
	})
}
