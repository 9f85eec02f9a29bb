//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a coma at a terminal.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	done chan error // what Wait returned

	mu    sync.Mutex
	shown bytes.Buffer
	more  chan struct{} // capacity 1: something was shown
}

// atTerminal starts coma at a terminal, with folders of its own in dir.
func atTerminal(t *testing.T, dir string, env []string, args ...string) *terminal {
	t.Helper()
	cmd := exec.Command("coma", args...)
	cmd.Dir = dir
	runtimeDir, err := os.MkdirTemp("", "coma")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtimeDir) })
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", "XDG_DATA_HOME="+filepath.Join(dir, "data"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_RUNTIME_DIR="+runtimeDir)
	cmd.Env = append(cmd.Env, env...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, cmd: cmd, tty: tty, done: make(chan error, 1), more: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		part := make([]byte, 4096)
		for {
			n, err := tty.Read(part)
			term.mu.Lock()
			term.shown.Write(part[:n])
			term.mu.Unlock()
			select {
			case term.more <- struct{}{}:
			default:
			}
			if err != nil {
				return // the command has ended
			}
		}
	}()
	go func() {
		<-read
		term.done <- cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // it has ended, unless the test has failed
		tty.Close()
		<-read
	})
	return term
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

// expect waits until the terminal shows text.
func (x *terminal) expect(text string) {
	x.t.Helper()
	timeout := time.After(patience)
	for !strings.Contains(x.text(), text) {
		select {
		case <-x.more:
		case <-timeout:
			x.t.Fatalf("%q does not come; the terminal shows:\n%s", text, x.text())
		}
	}
}

func (x *terminal) typed(text string) {
	x.t.Helper()
	if _, err := x.tty.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// ends waits for the command's end with that exit code.
func (x *terminal) ends(code int) {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(patience):
		x.t.Fatalf("does not end; the terminal shows:\n%s", x.text())
	}
	if got := x.cmd.ProcessState.ExitCode(); got != code {
		x.t.Fatalf("exit code %d, want %d; the terminal shows:\n%s", got, code, x.text())
	}
}

// projectOf makes a project of one module whose Run has that body.
func projectOf(t *testing.T, dir, name, body string) {
	t.Helper()
	source := `package only

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
` + body + `
}
`
	if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name, "only.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInputAndColorsAtATerminal(t *testing.T) {
	dir := t.TempDir()
	projectOf(t, dir, "garden", `
	name, err := agent.Input(ctx, "who? ")
	if err != nil {
		return err
	}
	agent.Print("hello, ", name, "\n")
	agent.Log("asked")
	return nil`)
	x := atTerminal(t, dir, nil, "run", "--once", "--backend", "own", "garden")
	x.expect("who? ")
	x.typed("Ada\n")
	x.ends(exitOK)
	for _, want := range []string{"hello, Ada\r\n", "\x1b[2m │ \x1b[0masked"} {
		if !strings.Contains(x.text(), want) {
			t.Errorf("%q is not in\n%q", want, x.text())
		}
	}

	x = atTerminal(t, dir, []string{"NO_COLOR=1"}, "check", "garden")
	x.ends(exitOK)
	if strings.Contains(x.text(), "\x1b") {
		t.Errorf("colours despite NO_COLOR: %q", x.text())
	}
}

func TestCtrlC(t *testing.T) {
	dir := t.TempDir()
	projectOf(t, dir, "polite", `
	agent.Log("up")
	<-ctx.Done()
	return ctx.Err()`)
	x := atTerminal(t, dir, nil, "run", "--backend", "own", "polite")
	x.expect("up")
	x.typed("\x03")
	x.ends(exitOK)
	if !strings.Contains(x.text(), "stopped") {
		t.Errorf("the terminal shows\n%s", x.text())
	}

	projectOf(t, dir, "stubborn", `
	agent.Log("up")
	for {
	}`)
	x = atTerminal(t, dir, nil, "run", "--backend", "own", "stubborn")
	x.expect("up")
	x.typed("\x03")
	x.expect("Ctrl-C again")
	x.typed("\x03")
	x.ends(exitInterrupted)
}

func TestRemovingAsks(t *testing.T) {
	dir := t.TempDir()
	projectOf(t, dir, "garden", `
	_, err := agent.Memory.Add(ctx, "a rose")
	return err`)
	atTerminal(t, dir, nil, "run", "--once", "--backend", "own", "garden").ends(exitOK)

	for _, answer := range []string{"n\n", "\n", "\x04"} {
		x := atTerminal(t, dir, nil, "memory", "rm", "garden")
		x.expect("Remove the memory of garden for good? [y/N] ")
		x.typed(answer)
		x.ends(exitFailed)
		if !strings.Contains(x.text(), "nothing was done") {
			t.Errorf("answer %q: %s", answer, x.text())
		}
	}
	x := atTerminal(t, dir, nil, "memory", "rm", "garden")
	x.expect("[y/N] ")
	x.typed("y\n")
	x.ends(exitOK)
	x = atTerminal(t, dir, nil, "memory", "show", "garden")
	x.ends(exitFailed)
}

func TestWatchingPs(t *testing.T) {
	dir := t.TempDir()
	x := atTerminal(t, dir, nil, "ps", "-w")
	x.expect("no agent runs")
	if err := x.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	x.ends(exitOK)
}
