package module

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// traces collects the stack traces of interpreted code. While a panic passes, yaegi writes a line for each interpreted
// function that it leaves, innermost first, on the goroutine that panics; nothing tells where one panic's lines end and
// another's begin. But a panic that passes is raised anew in each function, so that one more runtime.gopanic is on the
// goroutine's stack with each line, and a stack with no more of them than before belongs to a new panic.
type traces struct {
	code *code
	// passed, if not nil, is told each frame as it is noted; first begins a new panic on that goroutine.
	passed func(goroutine int64, first bool, frame Frame)
	// uncaught, if not nil, is called when a panic is about to leave the outermost function of a goroutine that
	// interpreted code started, which would end the whole process. It must not return.
	uncaught func(frames []Frame)

	mu     sync.Mutex
	run    int64            // the goroutine of Run, whose panics are recovered
	traced map[int64]*trace // by goroutine, at most maxTraced
	order  []int64          // of traced, the least recent first
}

type trace struct {
	op     operation // that panicked
	frames []Frame   // as yaegi tells them
	depth  int       // runtime.gopanics on the stack when the last line came, as far as counted
	above  int       // interpreted functions that the panic has yet to leave
}

const (
	maxTraced = 64  // goroutines whose last panic is remembered
	lookUp    = 256 // frames of the Go stack that are looked at to count gopanics
)

func newTraces(c *code) *traces { return &traces{code: c, traced: map[int64]*trace{}} }

// Write takes a line that yaegi writes: "src/path/file.go:12:4: panic: path.Function(...)".
func (t *traces) Write(line []byte) (int, error) {
	frame, ok := t.code.traceLine(string(line))
	if !ok {
		return len(line), nil
	}
	id := goroutine()
	depth := min(panicsOnStack(), maxFrames)

	t.mu.Lock()
	tr := t.traced[id]
	first := tr == nil || depth <= tr.depth && tr.depth < maxFrames || depth < tr.depth
	if first {
		tr = &trace{op: panicking(), above: functionsToLeave()}
		t.remember(id, tr)
	} else {
		tr.above--
	}
	tr.depth = depth
	if len(tr.frames) < maxFrames {
		tr.frames = append(tr.frames, frame)
	}
	leaves := tr.above == 0 && id != t.run
	frames := t.code.refine(tr.frames, tr.op)
	t.mu.Unlock()

	if t.passed != nil {
		t.passed(id, first, frames[len(frames)-1])
	}
	if leaves && t.uncaught != nil && !recovers() {
		t.uncaught(frames)
	}
	return len(line), nil
}

// remember makes tr the last trace of a goroutine.
func (t *traces) remember(id int64, tr *trace) {
	for i, known := range t.order {
		if known == id {
			t.order = append(t.order[:i], t.order[i+1:]...)
			break
		}
	}
	if len(t.order) == maxTraced {
		delete(t.traced, t.order[0])
		t.order = t.order[1:]
	}
	t.order = append(t.order, id)
	t.traced[id] = tr
}

// mine notes the calling goroutine as the one that runs Run.
func (t *traces) mine() int64 {
	id := goroutine()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.run = id
	return id
}

func (t *traces) forget(id int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.run == id {
		t.run = 0
	}
}

// frames are those of the last panic on a goroutine.
func (t *traces) frames(id int64) []Frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.traced[id]; tr != nil {
		return t.code.refine(tr.frames, tr.op)
	}
	return nil
}

// last are the frames of the last panic on any goroutine.
func (t *traces) last() []Frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		return nil
	}
	tr := t.traced[t.order[len(t.order)-1]]
	return t.code.refine(tr.frames, tr.op)
}

// traceLine reads one line of a trace. It is false for what is not in the module's own files.
func (c *code) traceLine(line string) (Frame, bool) {
	at, what, ok := c.position(strings.TrimSpace(line))
	if !ok {
		return Frame{}, false
	}
	name := strings.TrimSuffix(strings.TrimPrefix(what, "panic: "), "(...)")
	for importPath, pkg := range c.packages {
		if rest, ok := strings.CutPrefix(name, importPath+"."); ok {
			name = pkg + "." + rest
			break
		} else if name == importPath {
			name = pkg + ".init"
			break
		}
	}
	at.Function = name
	return at, true
}

// goroutine is the calling goroutine's ID, 0 if the runtime does not say.
func goroutine() int64 {
	var buf [64]byte
	id, err := goroutineID(buf[:runtime.Stack(buf[:], false)])
	if err != nil {
		return 0
	}
	return id
}

// goroutineID reads the ID from the first line of a stack trace: "goroutine 34 [running]:".
func goroutineID(stack []byte) (int64, error) {
	rest, ok := bytes.CutPrefix(stack, []byte("goroutine "))
	digits, _, found := bytes.Cut(rest, []byte(" "))
	if !ok || !found {
		return 0, fmt.Errorf("read goroutine's ID: %q", stack)
	}
	return strconv.ParseInt(string(digits), 10, 64)
}

// panicsOnStack counts the panics that are under way on this goroutine, within the innermost frames.
func panicsOnStack() int {
	var pcs [lookUp]uintptr
	n := 0
	walk(pcs[:], func(function string) {
		if function == "runtime.gopanic" {
			n++
		}
	})
	return n
}

const interpreting = "github.com/traefik/yaegi/interp.runCfg"

// functionsToLeave counts the interpreted functions on this goroutine's stack that a panic has yet to leave, besides the
// one that it leaves now.
func functionsToLeave() int {
	entered, left := 0, 0
	walk(make([]uintptr, 64<<10), func(function string) {
		switch {
		case function == interpreting:
			entered++
		case strings.HasPrefix(function, interpreting+"."):
			left++
		}
	})
	return max(entered-left, 0)
}

// recovers tells whether this goroutine is one that recovers panics of what it calls: yaegi's own, which runs init
// functions, or one of an HTTP server.
func recovers() bool {
	found := false
	walk(make([]uintptr, 64<<10), func(function string) {
		found = found || function == "net/http.(*conn).serve" || strings.HasPrefix(function, interpreter+"(*Interpreter).EvalWithContext")
	})
	return found
}

func walk(pcs []uintptr, visit func(function string)) {
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		visit(frame.Function)
		if !more {
			return
		}
	}
}
