package module

import (
	"context"
	"errors"
	"fmt"
	"go/token"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Failure is why a generation died, ready to be shown: one cause and the module's own frames, never the host's.
type Failure struct {
	Cause  string   `json:"cause"`            // "panic: …", "exit status 3 (os.Exit)", "killed: …", the text of Run's error
	Frames []Frame  `json:"frames,omitempty"` // innermost first
	Detail []string `json:"detail,omitempty"` // a few more lines, where they help
}

// Frame is a place in the module's source.
type Frame struct {
	File     string `json:"file"`             // relative to the project, with slashes
	Line     int    `json:"line,omitempty"`   // from 1
	Column   int    `json:"column,omitempty"` // in bytes from 1; 0: not known: somewhere in Function, which begins at Line
	Function string `json:"function,omitempty"`
}

func (f Frame) String() string {
	where := token.Position{Filename: f.File, Line: f.Line, Column: f.Column}.String()
	switch {
	case f.Function == "":
		return where
	case f.Column == 0:
		return where + ": in " + f.Function
	}
	return where + ": " + f.Function
}

// Error is the failure in one line: the cause and, where it is known, the place.
func (f *Failure) Error() string {
	cause, _, _ := strings.Cut(f.Cause, "\n")
	if len(f.Frames) == 0 {
		return cause
	}
	return fmt.Sprintf("%s (%s)", cause, f.Frames[0])
}

const (
	maxFrames = 32      // of one failure
	maxCause  = 8 << 10 // bytes
)

// clipped bounds s to limit bytes.
func clipped(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + " …"
}

// judge decides how a run ended that returned err. Asked tells that its context had been ended before.
func judge(err error, asked bool) (api.Outcome, *Failure) {
	switch {
	case err == nil:
		return api.Finished, nil
	case asked && stopping(err):
		return api.Finished, nil
	case asked:
		return api.Stopped, asFailure(err)
	default:
		return api.Died, asFailure(err)
	}
}

// stopping tells whether err is what a module returns because its context ended. An interpreted error type hides what it
// wraps (see interpreter.md), so the text counts too.
func stopping(err error) bool {
	var failure *Failure
	if errors.As(err, &failure) {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		strings.Contains(err.Error(), context.Canceled.Error()) ||
		strings.Contains(err.Error(), context.DeadlineExceeded.Error())
}

func asFailure(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	text := err.Error()
	if strings.TrimSpace(text) == "" {
		text = "Run returned an error that has no text"
	}
	return &Failure{Cause: clipped(text, maxCause)}
}

func memoryFailure(limit int64) *Failure {
	return &Failure{
		Cause:  fmt.Sprintf("killed: used more than %d MiB of memory", limit>>20),
		Detail: []string{"a larger limit can be given in coma.yaml: memory:"},
	}
}

func exitFailure(code int, by string, frames []Frame) *Failure {
	return &Failure{Cause: fmt.Sprintf("exit status %d (%s)", code, by), Frames: frames}
}

// panicText is what a recovered panic value says. Interpreted code's values come as reflect.Value, and what compiled Go
// would report as a runtime error is a complaint of package reflect or of the interpreter.
func panicText(value any) string {
	if v, ok := value.(reflect.Value); ok {
		if !v.IsValid() || !v.CanInterface() {
			return "panic: nil"
		}
		value = v.Interface()
	}
	var text string
	switch v := value.(type) {
	case *reflect.ValueError:
		text = "runtime error: invalid memory address or nil pointer dereference"
	case error:
		text = v.Error()
	case fmt.Stringer:
		text = v.String()
	default:
		text = fmt.Sprintf("%+v", value)
	}
	return "panic: " + clipped(plainPanic(text), maxCause)
}

// plainPanic puts what package reflect or the interpreter says into the words that compiled Go has for it.
func plainPanic(text string) string {
	switch {
	case strings.HasPrefix(text, "reflect: call of reflect.Value.") && strings.HasSuffix(text, "on zero Value"),
		text == "reflect.Value.Call: call of nil function":
		return "runtime error: invalid memory address or nil pointer dereference"
	case strings.HasPrefix(text, "reflect: ") && strings.Contains(text, "index out of range"):
		return "runtime error: index out of range"
	case strings.HasPrefix(text, "reflect.Value.Slice") && strings.Contains(text, "out of bounds"),
		strings.HasPrefix(text, "reflect.Value.Slice") && strings.Contains(text, "out of range"):
		return "runtime error: slice bounds out of range"
	}
	return text
}

// compiledFailure is a panic of a compiled function, with those frames of the current goroutine that are neither Go's
// nor this package's. It must be called by the deferred function that recovered value.
func compiledFailure(value any, projectDir string) *Failure {
	var pcs [256]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	failure := &Failure{Cause: panicText(value)}
	thrown := false // frames above the panic are those of recovering from it
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			thrown = true
		case thrown && strings.HasPrefix(frame.Function, hostPrefix):
			return failure
		case thrown && !strings.HasPrefix(frame.Function, "runtime."):
			if len(failure.Frames) < maxFrames {
				failure.Frames = append(failure.Frames, Frame{
					File: shownFile(frame.File, projectDir), Line: frame.Line, Function: shortFunction(frame.Function),
				})
			}
		}
		if !more {
			return failure
		}
	}
}

// hostPrefix begins the names of this package's compiled functions that call a module's.
const hostPrefix = "github.com/concurrent-modular-agent/coma/internal/module.(*funcRunner)"

// shownFile is a file's name relative to the project, where it is inside.
func shownFile(file, projectDir string) string {
	if rel, err := filepath.Rel(projectDir, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(file)
}

// shortFunction is pkg.Name from a name with the package's whole import path.
func shortFunction(name string) string {
	return name[strings.LastIndexByte(name, '/')+1:]
}
