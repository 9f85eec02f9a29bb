package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets this binary be coma: scripts find it in their PATH, and its modules' processes and its daemon are copies
// of it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coma": main})
}

// patience is how long something may take to happen on a slow machine.
const patience = 60 * time.Second

// TestScripts runs testdata/script/*.txtar. Beside testscript's own, scripts have the commands below.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: prepare,
		// One that hangs ends with what its processes were doing.
		Deadline: time.Now().Add(12 * time.Minute),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"eventually": eventually,
			"appears":    appears,
			"freeport":   freePort,
			"killpid":    killPID,
		},
	})
}

// prepare gives a script folders of its own, and sees to it that no daemon outlives it.
func prepare(env *testscript.Env) error {
	runtimeDir, err := os.MkdirTemp("", "coma") // not in the script's folder: a socket's path must be short
	if err != nil {
		return err
	}
	env.Vars = append(env.Vars,
		"XDG_DATA_HOME="+filepath.Join(env.WorkDir, "data"),
		"XDG_CACHE_HOME="+filepath.Join(env.WorkDir, "cache"),
		"XDG_STATE_HOME="+filepath.Join(env.WorkDir, "state"),
		"XDG_RUNTIME_DIR="+runtimeDir,
	)
	if out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output(); err == nil {
		cache, modules, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		env.Vars = append(env.Vars, "GOCACHE="+cache, "GOMODCACHE="+modules, "GOFLAGS=-mod=readonly", "GOPROXY=off")
	}
	vars := env.Vars
	env.Defer(func() {
		stop := exec.Command("coma", "backend", "stop")
		stop.Env = vars
		if out, err := stop.CombinedOutput(); err != nil {
			panic(fmt.Sprintf("stop backend: %v: %s", err, out))
		}
		os.RemoveAll(runtimeDir)
	})
	return nil
}

// exits <code> <command> <args...> runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// eventually <regexp> <command> <args...> runs a command until what it prints matches.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually regexp command args...")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	until(ts, args[0], func() string {
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Dir = ts.MkAbs(".")
		for _, name := range []string{"PATH", "HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
			cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
		}
		out, _ := cmd.CombinedOutput() // a failure shows in what does not match
		return string(out)
	}, want)
}

// appears <regexp> <file> waits until the file holds a match.
func appears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: appears regexp file")
	}
	path := ts.MkAbs(args[1])
	until(ts, args[0], func() string {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			ts.Fatalf("%v", err)
		}
		return string(text)
	}, regexp.MustCompile("(?m)"+args[0]))
}

// until looks again and again.
func until(ts *testscript.TestScript, what string, look func() string, want *regexp.Regexp) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		text := look()
		if want.MatchString(text) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			ts.Fatalf("%q does not come; there is:\n%s", what, text)
		}
	}
}

// freeport <variable...> sets variables to ports that are free.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer listener.Close() // at the end: so they differ
		ts.Setenv(name, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
}

// killpid <file> kills the process whose number is in the file with SIGKILL.
func killPID(ts *testscript.TestScript, neg bool, args []string) {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(err)
	process, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(process.Kill())
}
