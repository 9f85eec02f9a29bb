package interp

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
)

// stackFunctions are the functions of the standard library that tell who called them: interpreted functions, as compiled
// ones would be told. What else looks at the stack, the checker refuses.
func (p *Program) stackFunctions() map[string]Traced {
	stack := func(frames []Frame) []byte { return []byte(p.stackText(frames)) }
	return map[string]Traced{
		"runtime.Caller": func(frames []Frame, in []reflect.Value) []reflect.Value {
			skip := int(in[0].Int())
			if skip < 0 || skip >= len(frames) {
				return values(uintptr(0), "", 0, false)
			}
			at := frames[skip].Position
			return values(uintptr(skip+1), p.fileName(at.Filename), at.Line, true)
		},
		"runtime.Stack": func(frames []Frame, in []reflect.Value) []reflect.Value {
			return values(copy(in[0].Bytes(), stack(frames)))
		},
		"runtime/debug.Stack": func(frames []Frame, _ []reflect.Value) []reflect.Value {
			return values(stack(frames))
		},
		"runtime/debug.PrintStack": func(frames []Frame, _ []reflect.Value) []reflect.Value {
			_, _ = p.opt.Stderr.Write(stack(frames)) // as there, nobody is told
			return nil
		},
	}
}

func values(of ...any) []reflect.Value {
	vs := make([]reflect.Value, len(of))
	for i, v := range of {
		vs[i] = reflect.ValueOf(v)
	}
	return vs
}

// stackText is a stack as package runtime prints it, as far as there is an equal to what it tells.
func (p *Program) stackText(frames []Frame) string {
	var b strings.Builder
	b.WriteString("goroutine 1 [running]:\n")
	for _, f := range frames {
		fmt.Fprintf(&b, "%s(...)\n\t%s:%d\n", f.Function, p.fileName(f.Position.Filename), f.Position.Line)
	}
	return b.String()
}

// fileName is a file's name as compiled code knows it: absolute, where the folder is known.
func (p *Program) fileName(name string) string {
	if p.opt.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.opt.Dir, filepath.FromSlash(name))
}
