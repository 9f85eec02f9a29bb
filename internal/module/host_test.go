//go:build unix

package module

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// TestOrphans ends modules that have started processes of their own.
func TestOrphans(t *testing.T) {
	tests := []struct{ name, body, more string }{
		{"in its group", `exec.Command("sleep", "1000").Start(); println("on"); return nil`, ""},
		{"with its output", `c := exec.Command("sleep", "1000"); c.Stdout = os.Stdout; c.Stderr = os.Stderr; c.Start(); println("on"); return nil`, ""},
		{"out of its group", `exec.Command("setsid", "sleep", "1000").Start(); exec.Command("sh", "-c", "setsid sleep 1001 & setsid sh -c 'echo on; sleep 1002'").Start(); time.Sleep(200*time.Millisecond); println("on"); return nil`, "var _ = time.Now"},
		{"when it panics", `exec.Command("sleep", "1000").Start(); println("on"); panic(1)`, ""},
		{"when it is stopped", `exec.Command("sleep", "1000").Start(); println("on"); for {}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i, out := start(t, "process", wrap([]string{"os/exec", "os", "time"}, test.body, "var _ = os.Stdout\nvar _ = time.Now"), nil)
			out.await(t, "on")
			if test.name == "when it is stopped" {
				i.Stop(0)
			}
			exit := end(t, i)
			if !exit.Asked && test.name != "when it panics" && exit.Err != nil {
				t.Error(exit.Err)
			}
			marker := modproc.InstanceVariable + "=" + i.(*process).marker
			waitGone(t, marker)
		})
	}
}

// waitGone waits until no process has the variable: a killed one may take a moment to end.
func waitGone(t *testing.T, variable string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(running(t, variable)) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("processes left: %v", running(t, variable))
		}
		time.Sleep(5 * time.Millisecond) // there is nothing to wait on: it is not our child
	}
}

// TestHostKilled kills a host with SIGKILL while its module does one thing or another.
func TestHostKilled(t *testing.T) {
	tests := []struct{ name, body, init string }{
		{"waits", `println("on"); <-ctx.Done(); select {}`, ""},
		{"spins", `println("on"); for {}`, ""},
		{"spins everywhere", `for i := 0; i < 8; i++ { go spin() }; println("on"); for {}`, "func spin() { for {} }"},
		{"has children", `exec.Command("sleep", "1000").Start(); println("on"); select {}`, ""},
		{"loads", "return nil", `func init() { println("on"); for {} }`},
		{"ignores signals", `signal.Ignore(); println("on"); select {}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, map[string]string{"chat/chat.go": wrap([]string{"os/exec", "os/signal"}, test.body, test.init, "var _ = exec.Command\nvar _ = signal.Ignore")})
			killHost(t, dir)
		})
	}
}

// killHost starts a host of the project, with more in its environment, kills it when its module says that it is on, and
// waits until nothing of it is left.
func killHost(t *testing.T, dir string, more ...string) {
	t.Helper()
	host := exec.Command(os.Args[0])
	host.Env = append(append(os.Environ(), "COMA_TEST_HOST="+dir), more...)
	stdout, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); strings.TrimSpace(line) != "on" {
		t.Fatalf("host says %q, %v", line, err)
	}
	if len(running(t, "COMA_TEST_HOST="+dir)) < 2 {
		t.Fatal("the module does not run")
	}
	host.Process.Kill()
	host.Wait()
	waitGone(t, "COMA_TEST_HOST="+dir)
}

// TestWaits checks that a module does not run before Start, and ends without having run.
func TestWaits(t *testing.T) {
	for _, isolation := range []string{"process", "none"} {
		t.Run(isolation, func(t *testing.T) {
			s := spec(source(t, project(t, map[string]string{"chat/a.go": wrap(nil, `println("runs"); return nil`, "func init() { println(\"loads\") }")}), "chat"))
			out := newCapture()
			session := &testSession{id: s.identity()}
			var i Instance
			var err error
			if isolation == "none" {
				i, err = StartGoroutines(t.Context(), s, out, func() (api.Session, error) { return session, nil })
			} else {
				i, err = StartProcess(t.Context(), s, out)
			}
			if err != nil {
				t.Fatal(err)
			}
			out.await(t, "loads")
			i.Stop(time.Minute)
			i.Stop(time.Minute)
			exit := end(t, i)
			if exit.Err != nil || !exit.Asked || exit.Outcome != api.Stopped {
				t.Errorf("exit %+v", exit)
			}
			if strings.Contains(out.text(), "runs") || len(session.closed) > 0 {
				t.Errorf("it ran: %s", out.text())
			}
			if err := i.Start(); err == nil {
				t.Error("starts after its end")
			}
		})
	}
}

// TestOutcomes checks what the host is told about the session's end, among goroutines.
func TestOutcomes(t *testing.T) {
	for body, want := range map[string]api.Outcome{
		"return nil": api.Finished, "panic(1)": api.Died, "os.Exit(0); return nil": api.Finished, "os.Exit(1); return nil": api.Died,
	} {
		s := spec(source(t, project(t, map[string]string{"chat/a.go": wrap([]string{"os"}, body, "var _ = os.Exit")}), "chat"))
		session := &testSession{id: s.identity()}
		i, err := StartGoroutines(t.Context(), s, newCapture(), func() (api.Session, error) { return session, nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Start(); err != nil {
			t.Fatal(err)
		}
		end(t, i)
		if !slices.Equal(session.closed, []api.Outcome{want}) {
			t.Errorf("%s: session closed %v, want %s", body, session.closed, want)
		}
	}
}

// TestOutput checks that lines arrive whole, in order and bounded.
func TestOutput(t *testing.T) {
	const n = 2000
	i, out := start(t, "process", wrap([]string{"fmt", "os", "strings"},
		`for i := 0; i < 2000; i++ { fmt.Println("line", i); fmt.Fprintln(os.Stderr, "err", i) }
		fmt.Println(strings.Repeat("x", 150000)); fmt.Print("no end"); return nil`), nil)
	if exit := end(t, i); exit.Err != nil {
		t.Fatal(exit.Err)
	}
	next := map[string]int{}
	long := 0
	last := ""
	for _, line := range out.lines {
		stream, text, _ := strings.Cut(line, ": ")
		switch word, number, _ := strings.Cut(text, " "); {
		case word == "line" || word == "err":
			if number != strconv.Itoa(next[stream]) {
				t.Fatalf("%s: %s after %d", stream, text, next[stream])
			}
			next[stream]++
		case strings.HasPrefix(word, "x"):
			long += strings.Count(text, "x")
			if len(text) > MaxLine+len(continues) {
				t.Errorf("a line of %d bytes", len(text))
			}
		}
		if stream == "stdout" {
			last = text
		}
	}
	if next["stdout"] != n || next["stderr"] != n || long != 150000 || last != "no end" {
		t.Errorf("lines %v, x %d, last %q", next, long, last)
	}
}

// TestNothingLeft starts and ends modules of all kinds and compares goroutines and descriptors.
func TestNothingLeft(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("needs /proc")
		}
		return len(entries)
	}
	before := descriptors()
	leaks := goleak.IgnoreCurrent()
	dir := project(t, map[string]string{
		"good/a.go": wrap([]string{"os"}, "go wait(); os.Stdout.WriteString(\"x\\n\"); <-ctx.Done(); return nil", "func wait() { <-make(chan int) }\nvar w = func() int { go wait(); return 1 }()"),
		"bad/a.go":  wrap(nil, "return x"),
		"dies/a.go": wrap(nil, "panic(1)"),
	})
	for range 3 {
		for _, folder := range []string{"good", "bad", "dies"} {
			for _, isolation := range []string{"process", "none"} {
				s := spec(source(t, dir, folder))
				var i Instance
				var err error
				if isolation == "none" {
					i, err = StartGoroutines(t.Context(), s, newCapture(), func() (api.Session, error) { return &testSession{id: s.identity()}, nil })
				} else {
					i, err = StartProcess(t.Context(), s, newCapture())
				}
				if (err != nil) != (folder == "bad") {
					t.Fatal(err)
				}
				if err == nil {
					if err := i.Start(); err != nil {
						t.Fatal(err)
					}
					i.Stop(10 * time.Second)
					end(t, i)
				}
			}
		}
	}
	goleak.VerifyNone(t, leaks)
	if after := descriptors(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// TestStartFunc runs compiled functions.
func TestStartFunc(t *testing.T) {
	s := Spec{Source: Source{Name: "f", ProjectDir: filepath.Dir(mustAbs(t, "host_test.go"))}, Agent: "a", Generation: 1}
	open := func() (api.Session, error) { return &testSession{id: s.identity()}, nil }
	run := func(f coma.RunFunc) Exit {
		i, err := StartFunc(t.Context(), s, f, newCapture(), open)
		if err != nil {
			t.Fatal(err)
		}
		if err := i.Start(); err != nil {
			t.Fatal(err)
		}
		i.Stop(50 * time.Millisecond)
		return end(t, i)
	}
	if exit := run(obedient); exit.Err != nil || exit.Outcome != api.Finished {
		t.Errorf("obedient: %+v", exit)
	}
	exit := run(panics)
	f := failureOf(t, exit)
	if f.Cause != "panic: assignment to entry in nil map" || len(f.Frames) == 0 || f.Frames[0].Function != "module.panics" || f.Frames[0].File != "func_test.go" {
		t.Errorf("panicking: %+v", f)
	}
	release := make(chan struct{})
	defer close(release)
	if f := failureOf(t, run(stubborn(release))); !strings.Contains(f.Cause, "goes on") {
		t.Errorf("stubborn: %+v", f)
	}
}

func mustAbs(t *testing.T, name string) string {
	t.Helper()
	abs, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestSignal checks that Ctrl-C at the terminal does not reach a module.
func TestSignal(t *testing.T) {
	i, out := start(t, "process", wrap(nil, `println("on"); <-ctx.Done(); println("asked"); return nil`), nil)
	out.await(t, "on")
	if err := syscall.Kill(i.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	i.Stop(20 * time.Second)
	if exit := end(t, i); exit.Outcome != api.Finished || exit.Err != nil {
		t.Errorf("exit %+v", exit)
	}
	out.await(t, "asked")
}
