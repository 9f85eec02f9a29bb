package modproc

import (
	"context"
	"errors"
	"fmt"
	"go/token"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// LoadError says why code does not load, with all that is known to be wrong.
type LoadError struct {
	Problems []Problem
}

// Mistakes is the error without what only the interpreter has against the source; nil if there is nothing else, and Go
// would run it.
func (e *LoadError) Mistakes() *LoadError {
	var mistakes []Problem
	for _, p := range e.Problems {
		if p.Refusal == "" {
			mistakes = append(mistakes, p)
		}
	}
	if mistakes == nil {
		return nil
	}
	return &LoadError{Problems: mistakes}
}

// Error is a line for each problem.
func (e *LoadError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Problem is one thing that is wrong with a module's source.
type Problem struct {
	File       string `json:"file,omitempty"`   // relative to the project, with slashes; "" if unknown
	Line       int    `json:"line,omitempty"`   // from 1; 0 if unknown
	Column     int    `json:"column,omitempty"` // in bytes from 1; 0 if unknown
	Message    string `json:"message"`
	SourceLine string `json:"source_line,omitempty"` // the line's text

	// Refusal is not "" where Go runs this and only the interpreter does not: an entry of docs/interpreter.md.
	Refusal string `json:"refusal,omitempty"`
}

func (p Problem) String() string {
	if p.File == "" {
		return p.Message
	}
	return token.Position{Filename: p.File, Line: p.Line, Column: p.Column}.String() + ": " + p.Message
}

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
	Column   int    `json:"column,omitempty"` // in bytes from 1; 0: not known
	Function string `json:"function,omitempty"`
}

func (f Frame) String() string {
	where := token.Position{Filename: f.File, Line: f.Line, Column: f.Column}.String()
	if f.Function == "" {
		return where
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

// Bounds of a failure, so that it fits into a report.
const (
	MaxFrames = 32      // frames of one failure
	MaxCause  = 8 << 10 // bytes of its cause
)

// Clipped bounds s to limit bytes.
func Clipped(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + " …"
}

// Judge decides how a run ended that returned err: what its session is closed with, and its failure if it is one. Asked
// tells that its context had been ended before. To return that context's error is no failure; but something was cut short
// by it, and so the message in hand comes again.
func Judge(err error, asked bool) (api.Outcome, *Failure) {
	switch {
	case err == nil:
		return api.Finished, nil
	case asked && stopping(err):
		return api.Stopped, nil
	case asked:
		return api.Stopped, AsFailure(err)
	default:
		return api.Died, AsFailure(err)
	}
}

// stopping tells whether err is what a module returns because its context ended. Authors wrap it with %v as often as with
// %w, so the text counts too.
func stopping(err error) bool {
	var failure *Failure
	if errors.As(err, &failure) {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		strings.Contains(err.Error(), context.Canceled.Error()) ||
		strings.Contains(err.Error(), context.DeadlineExceeded.Error())
}

// AsFailure is err as a Failure: itself if it is one, else one with its text as the cause.
func AsFailure(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	text := err.Error()
	if strings.TrimSpace(text) == "" {
		text = "Run returned an error that has no text"
	}
	return &Failure{Cause: Clipped(text, MaxCause)}
}

// MemoryFailure is the end by the memory limit, in bytes.
func MemoryFailure(limit int64) *Failure {
	return &Failure{
		Cause:  fmt.Sprintf("killed: used more than %d MiB of memory", limit>>20),
		Detail: []string{"a larger limit can be given in coma.yaml: memory:"},
	}
}

// ShownFile is a file's name relative to the project, where it is inside.
func ShownFile(file, projectDir string) string {
	if rel, err := filepath.Rel(projectDir, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(file)
}

// SignalName is the name that people know a signal by.
func SignalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGKILL:
		return "SIGKILL (from outside, or by the system when memory ran out)"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGSEGV:
		return "SIGSEGV"
	case syscall.SIGABRT:
		return "SIGABRT"
	default:
		return "signal " + s.String()
	}
}
