//go:build unix

package module

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// TestEnds runs modules that end in all the ways that interpreted code can, each in a process and, where that contains
// it, among the host's goroutines.
func TestEnds(t *testing.T) {
	tests := []struct {
		name    string
		imports []string
		body    string
		more    string
		only    string // the one isolation that contains it; "" both
		limit   int64
		outcome api.Outcome
		cause   string // exact, or a part if it begins with …
		frame   string // the innermost, or ""
	}{
		{name: "nil", body: "return nil", outcome: api.Finished},
		{name: "error", imports: []string{"errors"}, body: `return errors.New("no water")`, outcome: api.Died, cause: "no water"},
		{name: "panic value", body: `panic("boom")`, outcome: api.Died, cause: "panic: boom", frame: "chat/chat.go:14:1: chat.Run"},
		{name: "panic error", imports: []string{"fmt"}, body: `panic(fmt.Errorf("boom %d", 3))`, outcome: api.Died, cause: "panic: boom 3", frame: "chat/chat.go:14:1: chat.Run"},
		{name: "panic number", body: `panic(42)`, outcome: api.Died, cause: "panic: 42", frame: "chat/chat.go:14:1: chat.Run"},
		{name: "panic custom", body: `panic(&E{"own"})`, more: "type E struct{ msg string }\nfunc (e *E) Error() string { return e.msg }", outcome: api.Died, cause: "…own"},
		{name: "index", body: "x := []int{1}; n := 3\nreturn use(x[n])", more: "func use(int) error { return nil }", outcome: api.Died, cause: "…index out of range", frame: "chat/chat.go:15:12: chat.Run"},
		{name: "nil map", body: "var m map[string]int\nm[\"a\"] = 1\nreturn nil", outcome: api.Died, cause: "…nil map", frame: "chat/chat.go:15:1: chat.Run"},
		{name: "nil pointer", body: "var e *E\nreturn use(e.n)", more: "type E struct{ n int }\nfunc use(int) error { return nil }", outcome: api.Died, cause: "…nil pointer", frame: "chat/chat.go:15:12: chat.Run"},
		{name: "deep", body: "return one()", more: "func one() error {\n\ttwo()\n\treturn nil\n}\nfunc two() { panic(1) }", outcome: api.Died, cause: "panic: 1", frame: "chat/chat.go:20:14: chat.two"},
		{name: "recovered before", body: "func() {\n defer func() { recover() }()\n inner()\n}()\npanic(2)", more: "func inner() { panic(1) }", outcome: api.Died, cause: "panic: 2", frame: "chat/chat.go:18:1: chat.Run"},
		{name: "goroutine", body: "go work()\n<-ctx.Done()\nreturn nil", more: `func work() { panic("boom") }`, outcome: api.Died, cause: "…panic", frame: "chat/chat.go:18:15: chat.work"},
		{name: "goroutine in a process", only: "process", body: "go work()\n<-ctx.Done()\nreturn nil", more: `func work() { panic("boom") }`, outcome: api.Died, cause: "panic: boom", frame: "chat/chat.go:18:15: chat.work"},
		{name: "timer", imports: []string{"time"}, body: "time.AfterFunc(1, work)\n<-ctx.Done()\nreturn nil", more: `func work() { panic("boom") }`, outcome: api.Died, cause: "…panic", frame: "chat/chat.go:18:15: chat.work"},
		{name: "exit", imports: []string{"os"}, body: "defer func() { println(\"panic:\") }()\nos.Exit(3); return nil", outcome: api.Died, cause: "exit status 3 (os.Exit)", frame: "chat/chat.go:15:1: chat.Run"},
		{name: "exit 0", imports: []string{"os"}, body: "os.Exit(0); return nil", outcome: api.Finished},
		{name: "exit in a goroutine", imports: []string{"os"}, body: "go work()\nfor {}", more: "func work() { os.Exit(4) }", outcome: api.Died, cause: "exit status 4 (os.Exit)", frame: "chat/chat.go:17:15: chat.work"},
		{name: "log.Fatal", imports: []string{"log"}, body: "log.Fatal(\"so it\", \" ends\"); return nil", outcome: api.Died, cause: "exit status 1 (log.Fatal)", frame: "chat/chat.go:14:1: chat.Run"},
		{name: "log.Fatalf in a goroutine", imports: []string{"log"}, body: "go work()\n<-ctx.Done()\nreturn nil", more: "func work() { log.Fatalf(\"%d\", 1) }", outcome: api.Died, cause: "exit status 1 (log.Fatalf)", frame: "chat/chat.go:18:15: chat.work"},
		{name: "Goexit", imports: []string{"runtime"}, body: "runtime.Goexit(); return nil", outcome: api.Died, cause: "…Goexit"},
		{name: "stack overflow", only: "process", body: "return use(1)", more: "func use(n int) error { return use(n+1) }", outcome: api.Died, cause: "stack overflow"},
		{name: "memory in small steps", only: "process", limit: 128 << 20, imports: []string{"strings"}, body: "var all []string\nfor { all = append(all, strings.Repeat(\"x\", 10000)) }", outcome: api.Died, cause: "killed: used more than 128 MiB of memory"},
		{name: "memory at once", only: "process", limit: 128 << 20, body: "b := make([]byte, 8<<30)\nb[0] = 1\nreturn nil", outcome: api.Died, cause: "killed: used more than 128 MiB of memory"},
		{name: "memory in huge steps", only: "process", limit: 128 << 20, body: "var all [][]byte\nfor { b := make([]byte, 100<<20); for i := 0; i < len(b); i += 4096 { b[i] = 1 }; all = append(all, b) }", outcome: api.Died, cause: "killed: used more than 128 MiB of memory"},
		{name: "garbage within the limit", only: "process", limit: 128 << 20, imports: []string{"strings"}, body: "var all [100]string\nfor i := 0; i < 5000; i++ { all[i%100] = strings.Repeat(\"x\", 500000) }\nreturn nil", outcome: api.Finished},
		{name: "reads standard input", imports: []string{"os", "io"}, body: "b, err := io.ReadAll(os.Stdin); if len(b) > 0 { panic(1) }\nreturn err", outcome: api.Finished},
		{name: "concurrent map writes", only: "process", body: "m := map[int]int{}\ngo work(m); go work(m); work(m)\nreturn nil", more: "func work(m map[int]int) { for { m[1] = 1 } }", outcome: api.Died, cause: "…map"},
		{name: "killed from outside", only: "process", imports: []string{"syscall"}, body: "syscall.Kill(syscall.Getpid(), syscall.SIGKILL); select {}", outcome: api.Died, cause: "…SIGKILL"},
		{name: "closed report pipe", only: "process", imports: []string{"syscall"}, body: "syscall.Close(4); select {}", outcome: api.Died, cause: "…SIGKILL"},
		{name: "written report pipe", only: "process", imports: []string{"syscall"}, body: "syscall.Write(4, []byte(\"hello\\n\")); select {}", outcome: api.Died, cause: "…descriptor 4"},
		{name: "silent output", imports: []string{"os"}, body: "os.Stdout.Close(); os.Stderr.Close(); os.Stdout.WriteString(\"x\"); return nil", outcome: api.Finished},
	}
	for _, test := range tests {
		for _, isolation := range []string{"process", "none"} {
			if test.only != "" && test.only != isolation {
				continue
			}
			t.Run(test.name+"/"+isolation, func(t *testing.T) {
				if test.name == "memory at once" && !hasHardLimit {
					t.Skip("the system refuses no allocation here")
				}
				t.Parallel()
				i, out := start(t, isolation, wrap(test.imports, test.body, test.more), func(s *Spec) {
					s.MemoryLimit = test.limit
					if isolation == "process" { // where this is built with -race, it tells there of the module that races
						s.Env = map[string]string{"GORACE": "log_path=" + filepath.Join(t.TempDir(), "race")}
					}
				})
				exit := end(t, i)
				if exit.Outcome != test.outcome || exit.Asked {
					t.Errorf("exit %+v, want %s", exit, test.outcome)
				}
				if test.cause == "" {
					if exit.Err != nil {
						t.Errorf("failed: %v", exit.Err)
					}
					return
				}
				f := failureOf(t, exit)
				if part, ok := strings.CutPrefix(test.cause, "…"); ok && !strings.Contains(f.Cause, part) || !ok && f.Cause != test.cause {
					t.Errorf("cause %q, want %q", f.Cause, test.cause)
				}
				if test.frame != "" && (len(f.Frames) == 0 || f.Frames[0].String() != test.frame) {
					t.Errorf("frames %v, want first %s", f.Frames, test.frame)
				}
				for _, trouble := range []string{"goroutine ", "yaegi", "runtime.", "src/", "panic:"} {
					if strings.Contains(out.text(), trouble) {
						t.Errorf("the log holds %q:\n%s", trouble, out.text())
					}
				}
			})
		}
	}
}

// TestStops stops modules that do not want to.
func TestStops(t *testing.T) {
	const grace = 200 * time.Millisecond
	tests := []struct {
		name    string
		imports []string
		body    string
		more    string
		only    string
		outcome api.Outcome
		cause   string
	}{
		{name: "returns nil", body: `println("on"); <-ctx.Done(); return nil`, outcome: api.Finished},
		{name: "returns ctx's error", body: `println("on"); <-ctx.Done(); return ctx.Err()`, outcome: api.Finished},
		{name: "returns it wrapped", imports: []string{"fmt"}, body: `println("on"); _, err := agent.Receive(ctx); return fmt.Errorf("receive: %w", err)`, outcome: api.Finished},
		{name: "returns its text", imports: []string{"errors"}, body: `println("on"); <-ctx.Done(); return errors.New("stopping: context canceled")`, outcome: api.Finished},
		{name: "fails while stopping", imports: []string{"errors"}, body: `println("on"); <-ctx.Done(); return errors.New("no")`, outcome: api.Stopped, cause: "no"},
		{name: "panics while stopping", body: `println("on"); <-ctx.Done(); panic("no")`, outcome: api.Stopped, cause: "panic: no"},
		{name: "endless loop", body: `println("on"); for {}`, outcome: api.Stopped, cause: "did not stop within 200ms"},
		{name: "endless calls", body: `println("on"); for { use() }`, more: "func use() {}", outcome: api.Stopped, cause: "did not stop within 200ms"},
		{name: "waits for ever", body: `println("on"); <-make(chan int); return nil`, outcome: api.Stopped, cause: "did not stop within 200ms"},
		{name: "all goroutines spin", body: `for i := 0; i < 8; i++ { go use() }; println("on"); for {}`, more: "func use() { for {} }", outcome: api.Stopped, cause: "did not stop within 200ms"},
		{name: "ignores signals", only: "process", imports: []string{"os/signal"}, body: `signal.Ignore(); println("on"); select {}`, outcome: api.Stopped, cause: "did not stop within 200ms"},
	}
	for _, test := range tests {
		for _, isolation := range []string{"process", "none"} {
			if test.only != "" && test.only != isolation {
				continue
			}
			t.Run(test.name+"/"+isolation, func(t *testing.T) {
				t.Parallel()
				i, out := start(t, isolation, wrap(test.imports, test.body, test.more), nil)
				out.await(t, "on")
				i.Stop(grace)
				i.Stop(time.Hour) // the shorter grace counts
				exit := end(t, i)
				if exit.Outcome != test.outcome || !exit.Asked {
					t.Errorf("exit %+v, want %s", exit, test.outcome)
				}
				if test.cause == "" && exit.Err != nil {
					t.Errorf("failed: %v", exit.Err)
				}
				if test.cause != "" && !strings.Contains(failureOf(t, exit).Cause, test.cause) {
					t.Errorf("cause %q, want %q", exit.Err, test.cause)
				}
			})
		}
	}
}
