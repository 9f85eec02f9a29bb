package modproc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Words takes what arrives on descriptor 2. Compiled code may write there before main and by the builtin println: such
// lines are passed on as the module's standard error. From the first line on with which the Go runtime begins its last
// words, all is kept, up to 64 KiB: the cause stands at the beginning.
type Words struct {
	line func(text string) // takes the module's own lines

	mu   sync.Mutex
	rest []byte // a line that has no end yet
	kept []byte // the runtime's
}

const maxWords = 64 << 10

// NewWords makes Words that pass the module's own lines to line, in order, in pieces of at most 64 KiB.
func NewWords(line func(text string)) *Words { return &Words{line: line} }

// dying are the beginnings of the runtime's last words.
var dying = [][]byte{[]byte("panic: "), []byte("fatal error: "), []byte("runtime: "), []byte("SIG"), []byte("unexpected fault address ")}

// Keep reads until the pipe ends or its deadline passes.
func (w *Words) Keep(from *os.File) {
	_, err := io.Copy(struct{ io.Writer }{w}, from)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		w.take(w.rest)
		w.rest = nil
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		w.kept = fmt.Appendf(w.kept, "\ncoma: read: %v", err)
	}
}

// Write takes a piece of what arrives.
func (w *Words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		room := maxWords - len(w.rest)
		if len(line) > room {
			line, after, ended = line[:room], rest[room:], true
		}
		w.rest = append(w.rest, line...)
		if ended {
			w.take(w.rest)
			w.rest = w.rest[:0]
		}
		rest = after
	}
	return len(p), nil
}

// take looks at one line. The caller has mu.
func (w *Words) take(line []byte) {
	if len(w.kept) == 0 {
		last := false
		for _, beginning := range dying {
			last = last || bytes.HasPrefix(line, beginning)
		}
		if !last {
			if len(line) > 0 {
				w.line(string(line))
			}
			return
		}
	}
	line = line[:min(len(line), max(maxWords-len(w.kept)-1, 0))]
	if len(w.kept) < maxWords {
		w.kept = append(append(w.kept, line...), '\n')
	}
}

// Text is the runtime's last words so far.
func (w *Words) Text() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.kept)
}

// Crash is what the Go runtime printed when a process died.
type Crash struct {
	Cause     string  // "panic: …", "stack overflow", "fatal error: …"; "" if the text is of no crash
	Memory    bool    // there was no more memory to be had
	Goroutine int64   // the one that died; 0 if the text does not say
	Frames    []Frame // of that goroutine, innermost first: see stack.shown
}

// ReadCrash finds the cause in what the runtime prints: a panic's value ends where the stack of a goroutine, a signal or
// the panics that it went through begin. The frames are those of compiled code, with positions relative to projectDir
// where they lie in it.
func ReadCrash(text []byte, projectDir string) Crash {
	var c Crash
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		switch {
		case c.Cause == "" && strings.HasPrefix(line, "panic: "):
			value := []string{strings.TrimPrefix(line, "panic: ")}
			for _, next := range lines[i+1:] {
				if next == "" || strings.HasPrefix(next, "\tpanic: ") || strings.HasPrefix(next, "[signal ") {
					break
				}
				value = append(value, strings.TrimPrefix(next, "\t"))
			}
			c.Cause = "panic: " + Clipped(thrown(strings.Join(value, "\n")), MaxCause)
		case c.Cause == "" && strings.HasPrefix(line, "fatal error: "):
			what := strings.TrimPrefix(line, "fatal error: ")
			switch {
			case what == "stack overflow":
				c.Cause = what
			case strings.Contains(what, "out of memory") || strings.Contains(what, "cannot allocate memory"):
				c.Memory = true
				c.Cause = what
			default:
				c.Cause = "fatal error: " + Clipped(what, MaxCause)
			}
		case c.Goroutine == 0 && strings.HasPrefix(line, "goroutine "):
			// Anything else that begins so is a line of the module's panic text.
			if id, err := strconv.ParseInt(strings.Split(line, " ")[1], 10, 64); err == nil && strings.HasSuffix(line, ":") {
				c.Goroutine = id
				c.Frames = readStack(lines[i+1:]).shown(projectDir)
			}
		}
	}
	return c
}

// thrown is a panic's value without the marks of having been recovered and raised again.
func thrown(value string) string {
	for _, mark := range []string{" [recovered, repanicked]", " [recovered, reraised]", " [recovered]"} {
		value = strings.TrimSuffix(value, mark)
	}
	return value
}

// place is the second line of a call in a stack trace: a tab, the file, the line, an offset.
var place = regexp.MustCompile(`^\t(.+):(\d+)(?: \+0x[0-9a-f]+)?$`)

// readStack reads the calls of a goroutine's stack up to the empty line behind it.
func readStack(lines []string) stack {
	var calls stack
	for i := 0; i+1 < len(lines) && lines[i] != ""; i++ {
		at := place.FindStringSubmatch(lines[i+1])
		function, _, created := strings.Cut(lines[i], "created by ")
		if created || at == nil {
			continue
		}
		if open := arguments(function); open > 0 {
			function = function[:open]
		}
		line, err := strconv.Atoi(at[2])
		if err != nil {
			continue // no line of a file
		}
		if function == "panic" { // above it are the functions that were deferred when it was raised
			calls = calls[:0]
		} else {
			calls = append(calls, call{function: function, file: at[1], line: line})
		}
		i++
	}
	return calls
}

// arguments is where the arguments of a call begin, as in pkg.(*T).f(0xc0, {0x1, 0x2}); -1 if there are none.
func arguments(call string) int {
	depth := 0
	for i := len(call) - 1; i >= 0; i-- {
		switch call[i] {
		case ')':
			depth++
		case '(':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
