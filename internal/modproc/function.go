package modproc

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"runtime"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

// Functions is the engine of a program that holds compiled modules: they are what is run instead of the assigned source.
type Functions struct {
	Modules   map[string]coma.RunFunc // by name
	SourceDir string                  // the project's folder as it was compiled; "": the assignment's
}

// Load finds the assigned module's function. Its package's variables and init functions have run before main.
func (f Functions) Load(_ context.Context, p *Process) (Program, error) {
	source := p.Assignment().Source
	run := f.Modules[source.Name]
	if run == nil {
		return nil, fmt.Errorf("load module %s: it is none of those that this program was built of", source.Name)
	}
	return &function{run: run, projectDir: cmp.Or(f.SourceDir, source.ProjectDir)}, nil
}

// Function is the engine of a program with one module, whatever its name.
func Function(run coma.RunFunc) Engine { return one(run) }

type one coma.RunFunc

func (run one) Load(_ context.Context, p *Process) (Program, error) {
	return &function{run: coma.RunFunc(run), projectDir: p.Assignment().Source.ProjectDir}, nil
}

// function is a compiled module, loaded.
type function struct {
	run        coma.RunFunc
	projectDir string
}

// Loaded says that it may start processes: what the compiler has linked is not looked into.
func (f *function) Loaded() Loaded { return Loaded{Spawns: true, SourceDir: f.projectDir} }

// Run calls the function on a goroutine of its own, so that runtime.Goexit ends that alone.
func (f *function) Run(ctx context.Context, agent *coma.Agent) error {
	result := make(chan error, 1)
	go f.call(ctx, agent, result)
	return <-result
}

func (f *function) call(ctx context.Context, agent *coma.Agent, result chan<- error) {
	var err error
	returned := false
	defer func() {
		if value := recover(); value != nil {
			err = &Failure{Cause: PanicText(value), Frames: panicFrames(f.projectDir)}
		} else if !returned {
			err = &Failure{Cause: "runtime.Goexit ended Run"}
		}
		result <- err
	}()
	err = f.run(ctx, agent)
	returned = true
}

// PanicText is what a recovered panic value says.
func PanicText(value any) string {
	var text string
	switch v := value.(type) {
	case error:
		text = v.Error()
	case fmt.Stringer:
		text = v.String()
	default:
		text = fmt.Sprintf("%+v", value)
	}
	return "panic: " + Clipped(text, MaxCause)
}

// ownFunction begins the names of the functions here that call a module's.
const ownFunction = "github.com/concurrent-modular-agent/coma/internal/modproc.(*function)"

// panicFrames are the module's frames of the current goroutine, in the deferred function that has recovered: the stack is
// still as the panic found it.
func panicFrames(projectDir string) []Frame {
	var pcs [256]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var found stack
	thrown := false // frames above the panic are those of recovering from it
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			thrown = true // the innermost: a panic in a deferred function is the one that was recovered
		case thrown && strings.HasPrefix(frame.Function, ownFunction):
			return found.shown(projectDir)
		case thrown:
			found = append(found, call{function: frame.Function, file: frame.File, line: frame.Line})
		}
		if !more {
			return found.shown(projectDir)
		}
	}
}

// stack are calls as the Go runtime names them, innermost first.
type stack []call

type call struct {
	function string // with the package's whole import path
	file     string // absolute
	line     int
}

// shown are the frames in the project's own files; where there are none, all that are not Go's runtime's.
func (s stack) shown(projectDir string) []Frame {
	var own, others []Frame
	for _, c := range s {
		if strings.HasPrefix(c.function, "runtime.") {
			continue
		}
		frame := Frame{File: ShownFile(c.file, projectDir), Line: c.line, Function: path.Base(c.function)}
		if others = append(others, frame); frame.File != c.file {
			own = append(own, frame)
		}
	}
	if len(own) > 0 {
		others = own
	}
	return others[:min(len(others), MaxFrames)]
}
