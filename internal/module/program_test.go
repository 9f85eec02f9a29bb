//go:build unix

package module

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/program"
)

// programSpec is a module that is the program in one file of a new project; the test is skipped where nothing runs it.
func programSpec(t *testing.T, file, text string) Spec {
	t.Helper()
	dir := project(t, map[string]string{file: text})
	path := filepath.Join(dir, filepath.FromSlash(file))
	if strings.HasPrefix(text, "#!") {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kind := program.KindOf(path)
	if command := map[program.Kind]string{program.Python: "python3", program.Node: "node", program.Shell: "bash"}[kind]; command != "" {
		if _, err := exec.LookPath(command); err != nil {
			t.Skip(err)
		}
	}
	p := program.Find(path, nil, filepath.Dir(path), dir, func(string, bool) bool { return false })
	s := spec(Source{Name: "eye", Dir: p.Dir, ProjectDir: dir})
	s.Program = &p
	return s
}

// startProgram starts the program in one file and lets it run.
func startProgram(t *testing.T, file, text string, change func(*Spec)) (Instance, *capture) {
	t.Helper()
	s := programSpec(t, file, text)
	if change != nil {
		change(&s)
	}
	out := newCapture()
	i, err := StartProcess(t.Context(), s, out)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { i.Stop(0); <-i.Done() })
	if err := i.Start(); err != nil {
		t.Fatal(err)
	}
	return i, out
}

// Programs run, and end, as their last words and their status say.
func TestProgramEnds(t *testing.T) {
	tests := []struct {
		name, file, text string
		said             []string
		outcome          api.Outcome
		err              string // the failure in one line
	}{
		{
			name: "python", file: "eye.py",
			text: "import os, sys\nprint('on', os.environ['COMA_MODULE'], os.environ['COMA_GENERATION'])\nprint('wrong', file=sys.stderr)\nsys.stdout.write('no end')\n",
			said: []string{"stdout: on eye 1", "stderr: wrong", "stdout: no end"}, outcome: api.Finished,
		},
		{
			name: "a folder", file: "eye/main.py", text: "import os\nprint(os.path.basename(os.getcwd()))\n",
			said: []string{"stdout: eye"}, outcome: api.Finished,
		},
		{
			name: "an exception", file: "eye/main.py", text: "def see():\n    raise ValueError('too dark')\n\nsee()\n",
			said: []string{"stderr: ValueError: too dark"}, outcome: api.Died, err: "ValueError: too dark (eye/main.py:2: see)",
		},
		{name: "a status", file: "eye.py", text: "import sys\nsys.exit(3)\n", outcome: api.Died, err: "exit status 3"},
		{name: "last words", file: "eye.py", text: "import sys\nsys.exit('told you')\n", said: []string{"stderr: told you"}, outcome: api.Died, err: "exit status 1"},
		{name: "a signal", file: "eye.py", text: "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", outcome: api.Died, err: "killed by SIGSEGV"},
		{
			name: "node", file: "eye.js", text: "console.log('on ' + process.env.COMA_MODULE); console.error('wrong')\n",
			said: []string{"stdout: on eye", "stderr: wrong"}, outcome: api.Finished,
		},
		{
			name: "a thrown error", file: "eye.mjs", text: "function see() {\n  throw new RangeError('too dark')\n}\nsee()\n",
			outcome: api.Died, err: "RangeError: too dark (eye.mjs:2:9: see)",
		},
		{name: "a rejection", file: "eye.js", text: "Promise.reject(new Error('no'))\n", outcome: api.Died, err: "Error: no (eye.js:1:16)"},
		{name: "an executable script", file: "eye", text: "#!/usr/bin/env python3\nprint('on')\nraise ValueError('too dark')\n", said: []string{"stdout: on"}, outcome: api.Died, err: "ValueError: too dark (eye:3)"},
		{name: "shell", file: "eye.sh", text: "echo on $COMA_MODULE\n", said: []string{"stdout: on eye"}, outcome: api.Finished},
		{name: "another shell", file: "eye.sh", text: "#!/usr/bin/env -S sh -u\necho on $NOPE\n", outcome: api.Died, err: "parameter not set"},
		{name: "a command that is not there", file: "eye.sh", text: "echo on\nnopenope\n", outcome: api.Died, err: "command not found (exit status 127) (eye.sh:2)"},
		{name: "what it has started", file: "eye.sh", text: "sleep 1000 &\nsetsid sleep 1001 &\necho on\n", said: []string{"stdout: on"}, outcome: api.Finished},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i, out := startProgram(t, test.file, test.text, nil)
			exit := end(t, i)
			if exit.Outcome != test.outcome || exit.Asked {
				t.Errorf("exit %+v, want %s", exit, test.outcome)
			}
			switch {
			case test.err == "" && exit.Err != nil, test.err != "" && exit.Err == nil:
				t.Errorf("the error is %v, want %q", exit.Err, test.err)
			case test.err != "" && !strings.Contains(exit.Err.Error(), test.err):
				t.Errorf("the error is %q, want %q in it", exit.Err, test.err)
			}
			for _, line := range test.said {
				if !strings.Contains("\n"+out.text()+"\n", "\n"+line+"\n") {
					t.Errorf("no line %q in\n%s", line, out.text())
				}
			}
			waitGone(t, modproc.InstanceVariable+"="+i.(*process).marker)
		})
	}
}

// A program's own process is the one that is shown, and hears SIGTERM.
func TestProgramStops(t *testing.T) {
	tests := []struct {
		name, file, text string
		grace            time.Duration
		outcome          api.Outcome
		err              string
	}{
		{"python", "eye.py", "import os, time\nprint('on', os.getpid())\ntime.sleep(1000)\n", time.Minute, api.Stopped, ""},
		{"python that cleans up", "eye.py", "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nprint('on', os.getpid())\ntime.sleep(1000)\n", time.Minute, api.Finished, ""},
		{"python that fails then", "eye.py", "import os, signal, sys, time\ndef stop(*_):\n    raise OSError('the camera')\nsignal.signal(signal.SIGTERM, stop)\nprint('on', os.getpid())\ntime.sleep(1000)\n", time.Minute, api.Stopped, "OSError: the camera (eye.py:3: stop)"},
		{"node", "eye.js", "console.log('on', process.pid); setInterval(() => {}, 1000)\n", time.Minute, api.Stopped, ""},
		{"a shell that waits for a command", "eye.sh", "trap 'echo bye; exit 0' TERM\nsh -c 'echo on $PPID; exec sleep 1000'\n", time.Minute, api.Finished, ""},
		{"an executable that is a shell's", "eye", "#!/bin/sh\ntrap 'exit 0' TERM\nsh -c 'echo on $PPID; exec sleep 1000'\n", time.Minute, api.Finished, ""},
		{"a shell that says it was ended", "eye.sh", "trap 'exit 143' TERM\nsh -c 'echo on $PPID; exec sleep 1000'\n", time.Minute, api.Stopped, ""},
		{"a deaf one", "eye.sh", "trap '' TERM\necho on $$\nsleep 1000\nsleep 1000\n", 50 * time.Millisecond, api.Stopped, "did not stop within 50ms: killed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i, out := startProgram(t, test.file, test.text, nil)
			if line := out.await(t, "on "); line != fmt.Sprintf("stdout: on %d", i.PID()) {
				t.Errorf("it says %q and is shown as process %d", line, i.PID())
			}
			i.Stop(test.grace)
			exit := end(t, i)
			got := ""
			if exit.Err != nil {
				got = exit.Err.Error()
			}
			if exit.Outcome != test.outcome || !exit.Asked || got != test.err {
				t.Errorf("exit %+v, want %s, %q", exit, test.outcome, test.err)
			}
			waitGone(t, modproc.InstanceVariable+"="+i.(*process).marker)
		})
	}
}

// A program that is stopped before it was started has not run.
func TestProgramWaits(t *testing.T) {
	s := programSpec(t, "eye.sh", "echo on\n")
	out := newCapture()
	i, err := StartProcess(t.Context(), s, out)
	if err != nil {
		t.Fatal(err)
	}
	i.Stop(time.Minute)
	if exit := end(t, i); exit.Outcome != api.Stopped || exit.Err != nil || out.text() != "" {
		t.Errorf("exit %+v, said %q", exit, out.text())
	}
	if err := i.Start(); err == nil {
		t.Error("it can be started after that")
	}
}

// A program, with its children, is held to its memory limit.
func TestProgramMemory(t *testing.T) {
	tests := []struct{ name, file, text string }{
		{"python", "eye.py", "import time\nx = b'x' * (300 << 20)\ntime.sleep(1000)\n"},
		{"children", "eye.py", "import os, time\nfor i in range(4):\n    if os.fork() == 0:\n        x = b'x' * (50 << 20)\n        break\ntime.sleep(1000)\n"},
		{"node", "eye.js", "const all = []; for (;;) all.push(new Array(1000).fill(all.length))\n"},
		{"node outside its heap", "eye.js", "const all = Buffer.alloc(300 << 20, 1); setTimeout(() => all, 1e6)\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i, _ := startProgram(t, test.file, test.text, func(s *Spec) { s.MemoryLimit = 150 << 20 })
			exit := end(t, i)
			if failure := failureOf(t, exit); failure.Cause != "killed: used more than 150 MiB of memory" || exit.Outcome != api.Died {
				t.Errorf("exit %+v", exit)
			}
			waitGone(t, modproc.InstanceVariable+"="+i.(*process).marker)
		})
	}
}

// What the program's own children leave behind is let go when it ends, while the program runs on.
func TestProgramLeavesNoZombies(t *testing.T) {
	i, out := startProgram(t, "eye.sh", "for n in 1 2 3 4 5; do (true &); done\necho on\nsleep 1000\n", nil)
	out.await(t, "on")
	threads := fmt.Sprintf("/proc/%d/task/*/children", i.(*process).cmd.Process.Pid)
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip(err) // not Linux
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		files, err := filepath.Glob(threads)
		if err != nil {
			t.Fatal(err)
		}
		var pids []string
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, strings.Fields(string(text))...)
		}
		if len(pids) == 1 && pids[0] == strconv.Itoa(i.PID()) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("beside the program %d there are %v", i.PID(), pids)
		}
		time.Sleep(5 * time.Millisecond) // there is nothing to wait on: they are not our children
	}
}

// Memory that forked processes share counts once.
func TestProgramSharesMemory(t *testing.T) {
	i, out := startProgram(t, "eye.py", "import os, time\nx = b'x' * (60 << 20)\nfor i in range(4):\n    if os.fork() == 0:\n        time.sleep(1000)\nprint('on')\ntime.sleep(1.2)\nprint('still')\n",
		func(s *Spec) { s.MemoryLimit = 150 << 20 })
	out.await(t, "still")
	if exit := end(t, i); exit.Err != nil {
		t.Error(exit.Err)
	}
}

// What does not parse, or cannot be started, is told before anything runs.
func TestProgramDoesNotLoad(t *testing.T) {
	tests := []struct {
		name, file, text string
		env              map[string]string
		want             string
	}{
		{name: "python", file: "eye/main.py", text: "x = 1\nif x:\n    y = 'ä' + + )\n", want: "eye/main.py:3:18: SyntaxError: unmatched ')'"},
		{name: "python's indentation", file: "eye.py", text: "def f():\nreturn 1\n", want: "eye.py:2:1: IndentationError: expected an indented block"},
		{name: "javascript", file: "eye.js", text: "let x\nlet y = ;\n", want: "eye.js:2:9: SyntaxError: Unexpected token ';'"},
		{name: "a module of javascript", file: "eye.js", text: "import fs from 'fs'\nawait 1\nlet y = ;\n", want: "eye.js:"},
		{name: "a module by its name", file: "eye.mjs", text: "import fs from 'fs'\nawait 1\nlet y = ;\n", want: "eye.mjs:3:9: SyntaxError: Unexpected token ';'"},
		{name: "shell", file: "eye.sh", text: "echo on\nif true; then\n", want: "eye.sh:3: syntax error: unexpected end of file"},
		{name: "no python", file: "eye.py", text: "", env: map[string]string{"PATH": "/nope", "VIRTUAL_ENV": ""}, want: "eye.py: python3 is not in PATH: install Python 3 (https://python.org), or make a .venv in the project's folder"},
		{name: "no node", file: "eye.js", text: "", env: map[string]string{"PATH": "/nope"}, want: "eye.js: node is not in PATH: install Node.js (https://nodejs.org), or say what starts this in coma.yaml (command: […])"},
		{name: "no fish", file: "eye.sh", text: "#!/usr/bin/env nofish\n", want: "eye.sh: nofish is not in PATH: install it, or give its whole path (its #! line asks for it)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := programSpec(t, test.file, test.text)
			s.Env = test.env
			i, err := StartProcess(t.Context(), s, newCapture())
			if err == nil {
				i.Stop(0)
				t.Fatal("it loads")
			}
			var load *LoadError
			if !errors.As(err, &load) || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("the error is %q, want %q", err, test.want)
			}
		})
	}
}

// When the host is killed, a program ends with all that it has started.
func TestProgramsHostKilled(t *testing.T) {
	for _, test := range []struct{ name, file, text string }{
		{"python", "eye.py", "import subprocess, time\nsubprocess.Popen(['sleep', '1000'])\nprint('on')\ntime.sleep(1000)\n"},
		{"deaf", "eye.sh", "trap '' TERM HUP INT\nsleep 1000 &\nsetsid sleep 1001 &\necho on\nsleep 1000\nsleep 1000\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := programSpec(t, test.file, test.text)
			killHost(t, s.ProjectDir, "COMA_TEST_PROGRAM="+test.file)
		})
	}
}

// A tail keeps what was said last.
func TestTail(t *testing.T) {
	tail := &tail{out: lineFunc(func(string) {})}
	for i := range 3 * tailLines {
		tail.Line("stderr", strconv.Itoa(i))
	}
	if lines := tail.lines(); len(lines) != tailLines || lines[tailLines-1] != strconv.Itoa(3*tailLines-1) {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	for range 10 {
		tail.Line("stderr", strings.Repeat("x", MaxLine))
	}
	if lines := tail.lines(); len(lines) != tailBytes/MaxLine {
		t.Errorf("%d long lines", len(lines))
	}
}
