package program

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// deaths are what interpreters say at last, where a real run of each is too much (the others are in run_test.go).
var deaths = []struct {
	name   string
	kind   Kind
	ended  modproc.Ended
	said   string
	cause  string
	frames string // one a line
}{
	{
		name: "a chain of exceptions", kind: Python, ended: modproc.Ended{Status: 1},
		said: `ready
Traceback (most recent call last):
  File "/p/chat/main.py", line 3, in f
    1/0
    ~^~
ZeroDivisionError: division by zero

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "<string>", line 208, in main
  File "/p/chat/main.py", line 6, in <module>
    f()
  File "<frozen importlib._bootstrap>", line 7, in g
  File "/p/chat/.venv/lib/python3.11/site-packages/x/y.py", line 9, in g
    raise RuntimeError("two\nlines") from e
  File "/usr/lib/python3.11/json.py", line 9, in g
    h()
  File "/p/chat/main.py", line 5, in f
    raise RuntimeError("two\nlines") from e
RuntimeError: two
lines`,
		cause: "RuntimeError: two", frames: "chat/main.py:5: f\nchat/main.py:6",
	},
	{
		name: "a group", kind: Python, ended: modproc.Ended{Status: 1},
		said: `  + Exception Group Traceback (most recent call last):
  |   File "/p/chat/main.py", line 1, in <module>
  |     raise ExceptionGroup("many", [ValueError("x"), TypeError("y")])
  | ExceptionGroup: many (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: x
    +---------------- 2 ----------------
    | TypeError: y
    +------------------------------------`,
		cause: "ExceptionGroup: many (2 sub-exceptions)", frames: "chat/main.py:1",
	},
	{
		name: "only a thread died", kind: Python, ended: modproc.Ended{Status: 3},
		said: `Exception in thread Thread-1 (run):
Traceback (most recent call last):
  File "/p/chat/main.py", line 1, in run
ValueError: x`,
		cause: "exit status 3",
	},
	{
		name: "long ago", kind: Python, ended: modproc.Ended{Status: 1},
		said: `Traceback (most recent call last):
  File "/p/chat/main.py", line 1, in run
ValueError: x
` + strings.Repeat("working\n", 40) + "told you",
		cause: "exit status 1",
	},
	{
		name: "an error with a code", kind: Node, ended: modproc.Ended{Status: 1},
		said: `file:///p/chat/main.mjs:1
function f(){ const e = new TypeError("bad thing"); e.code='EX'; throw e }
                        ^

TypeError: bad thing
    at f (file:///p/chat/main.mjs:1:25)
    at g (file:///p/node_modules/x/y.mjs:1:25)
    at process.processTicksAndRejections (node:internal/process/task_queues:96:32)
    at async file:///p/my%20lib/x.mjs:3:1 {
  code: 'EX'
}

Node.js v20.20.2`,
		cause: "TypeError: bad thing", frames: "chat/main.mjs:1:25: f\nmy lib/x.mjs:3:1",
	},
	{
		name: "not an error", kind: Node, ended: modproc.Ended{Status: 1},
		said: `
/p/chat/main.js:1
throw {a:1}
^
{ a: 1 }

Node.js v20.20.2`,
		cause: "{ a: 1 }", frames: "chat/main.js:1:1",
	},
	{
		name: "a rejection", kind: Node, ended: modproc.Ended{Status: 1},
		said: `node:internal/process/promises:389
      new UnhandledPromiseRejection(reason);
      ^

UnhandledPromiseRejection: This error originated either by throwing inside of an async function without a catch block, or by rejecting a promise which was not handled with .catch(). The promise rejected with the reason "str".
    at throwUnhandledRejectionsMode (node:internal/process/promises:389:7) {
  code: 'ERR_UNHANDLED_REJECTION'
}

Node.js v20.20.2`,
		cause: `unhandled rejection: "str"`,
	},
	{
		name: "no more heap", kind: Node, ended: modproc.Ended{Signal: int(syscall.SIGABRT)},
		said:  "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n----- Native stack trace -----",
		cause: "killed: used more than 100 MiB of memory",
	},
	{
		name: "a file named like the folder above", kind: Python, ended: modproc.Ended{Status: 1},
		said: `Traceback (most recent call last):
  File "/p/..chat.py", line 1, in <module>
  File "/p/../chat.py", line 2, in <module>
ValueError: x`,
		cause: "ValueError: x", frames: "..chat.py:1",
	},
	{name: "a signal", kind: Python, ended: modproc.Ended{Signal: int(syscall.SIGSEGV)}, said: "", cause: "killed by SIGSEGV"},
	{
		name: "bash", kind: Shell, ended: modproc.Ended{Status: 127}, said: "/p/main.sh: line 2: foo: command not found",
		cause: "foo: command not found (exit status 127)", frames: "main.sh:2",
	},
	{
		name: "dash", kind: Shell, ended: modproc.Ended{Status: 2}, said: "main.sh: 2: X: parameter not set",
		cause: "X: parameter not set (exit status 2)", frames: "main.sh:2",
	},
	{name: "the script's own status", kind: Shell, ended: modproc.Ended{Status: 3}, said: "main.sh: 2: X: parameter not set", cause: "exit status 3"},
	{
		name: "Go", kind: Binary, ended: modproc.Ended{Status: 2},
		said: "panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/p/main.go:3 +0x1\nexit status 2", cause: "panic: no", frames: "main.go:3: main.main",
	},
	{name: "nothing", kind: Binary, ended: modproc.Ended{Status: 2}, cause: "exit status 2"},
}

func TestDeath(t *testing.T) {
	for _, test := range deaths {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, "main.sh"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			p := Program{Kind: test.kind, Dir: root, ProjectDir: root}
			failure := p.Death(test.ended, strings.Split(strings.ReplaceAll(test.said, "/p/", root+"/"), "\n"), 100<<20)
			if failure.Cause != test.cause {
				t.Errorf("the cause is %q, want %q", failure.Cause, test.cause)
			}
			var frames []string
			for _, frame := range failure.Frames {
				frames = append(frames, frame.String())
			}
			if got := strings.Join(frames, "\n"); got != test.frames {
				t.Errorf("the frames are\n%s\nwant\n%s", got, test.frames)
			}
		})
	}
}

// Whatever a program writes: there is a cause, and it fits into a report.
func FuzzDeath(f *testing.F) {
	for _, test := range deaths {
		f.Add(string(test.kind), test.ended.Status, test.said)
	}
	f.Fuzz(func(t *testing.T, kind string, status int, said string) {
		p := Program{Kind: Kind(kind), Dir: "/p", ProjectDir: "/p"}
		failure := p.Death(modproc.Ended{Status: status}, strings.Split(said, "\n"), 1<<20)
		if failure.Cause == "" || len(failure.Cause) > modproc.MaxCause+len(" …") || len(failure.Frames) > modproc.MaxFrames {
			t.Errorf("failure %+v", failure)
		}
		for _, frame := range failure.Frames { // a compiled program that has no frame in the project shows those of its libraries
			if slices.Contains([]Kind{Python, Node, Shell}, p.Kind) && !filepath.IsLocal(frame.File) {
				t.Errorf("a frame outside the project: %s", frame)
			}
		}
	})
}
