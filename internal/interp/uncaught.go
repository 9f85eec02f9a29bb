package interp

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// uncaught deals with a panic that nobody recovers.
func (p *Program) uncaught(by *panicking) {
	if p.opt.Uncaught != nil {
		p.opt.Uncaught(by.value, by.frames)
	}
	panic(by.value)
}

// overflow ends a recursion that is too deep.
func (p *Program) overflow(f *frame) {
	f.t.top = f.caller
	p.uncaught(&panicking{value: ErrStackOverflow, frames: f.t.trace()})
}

// Frames are where a panic was, given the value that was recovered from a call into the program; nil if it is not known.
func (p *Program) Frames(value any) []Frame {
	if by := p.passing.take(value); by != nil {
		return by.frames
	}
	return nil
}

// passing are panics on their way from interpreted code through compiled code.
type passing struct {
	mu     sync.Mutex
	panics []*panicking // the latest last, at most maxPassing
}

const maxPassing = 64

func (s *passing) note(p *panicking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.panics) == maxPassing {
		s.panics = slices.Delete(s.panics, 0, 1)
	}
	s.panics = append(s.panics, p)
}

func (s *passing) take(value any) *panicking {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.panics {
		if *(*words)(unsafe.Pointer(&p.value)) == *(*words)(unsafe.Pointer(&value)) {
			s.panics = slices.Delete(s.panics, i, i+1)
			return p
		}
	}
	return nil
}

// nobodyRecovers tells whether the calling goroutine was started by compiled code that is known to run a callback at its
// outermost level, so that a panic would end the process.
func nobodyRecovers() bool {
	pcs := make([]uintptr, 1<<10)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	outermost := ""
	for {
		frame, more := frames.Next()
		if frame.Function != "runtime.goexit" && frame.Function != "" {
			outermost = frame.Function
		}
		if !more {
			break
		}
	}
	// The runtime leaves reflect's part of a callback out, so the outermost function may be the callback's own.
	const own = "github.com/concurrent-modular-agent/coma/internal/"
	for _, starter := range []string{own + "interp.(*function).nativeFuncs", own + "interp.(*Program).methodStub", own + "rtype.", "time.goFunc", "sync.(*WaitGroup).Go.", "context.", "reflect."} {
		if strings.HasPrefix(outermost, starter) {
			return true
		}
	}
	return false
}
