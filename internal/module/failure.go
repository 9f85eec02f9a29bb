package module

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/interp"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
)

// failure is a panic of interpreted code.
func failure(value any, frames []interp.Frame) *Failure {
	f := &Failure{Cause: modproc.PanicText(value), Frames: shownFrames(frames)}
	if value == interp.ErrStackOverflow {
		f.Cause = interp.ErrStackOverflow.Error()
	}
	return f
}

// shownFrames are frames as people are shown them. Files were parsed by the names that are shown.
func shownFrames(frames []interp.Frame) []Frame {
	var shown []Frame
	for _, f := range frames[:min(len(frames), modproc.MaxFrames)] {
		at := f.Position
		shown = append(shown, Frame{File: at.Filename, Line: at.Line, Column: at.Column, Function: f.Function})
	}
	return shown
}

func exitFailure(code int, by string, frames []Frame) *Failure {
	return &Failure{Cause: fmt.Sprintf("exit status %d (%s)", code, by), Frames: frames}
}

// compiledFailure is a panic of a compiled function, with those frames of the current goroutine that are neither Go's
// nor this package's. It must be called by the deferred function that recovered value.
func compiledFailure(value any, projectDir string) *Failure {
	var pcs [256]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	failure := &Failure{Cause: modproc.PanicText(value)}
	thrown := false // frames above the panic are those of recovering from it
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			thrown = true
		case thrown && strings.HasPrefix(frame.Function, hostPrefix):
			return failure
		case thrown && !strings.HasPrefix(frame.Function, "runtime."):
			if len(failure.Frames) < modproc.MaxFrames {
				failure.Frames = append(failure.Frames, Frame{
					File: modproc.ShownFile(frame.File, projectDir), Line: frame.Line, Function: shortFunction(frame.Function),
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

// shortFunction is a compiled function's name with its package's last part only.
func shortFunction(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
