package interp

import (
	"runtime"
	"unsafe"
)

// frame is one activation of a function. Its registers are memory of the function's frame type.
type frame struct {
	regs   unsafe.Pointer
	fn     *function
	t      *thread
	caller *frame
	ret    unsafe.Pointer // where the results go
	block  *block
	pc     int // in block.code
	depth  int

	defers     *deferred
	panic      *panicking // what this frame's deferred calls may recover
	deferredBy *frame     // the frame whose deferred call this is
	broken     []Frame    // where the panic began that this frame's deferred calls follow
}

// thread is a goroutine as far as interpreted code runs on it: each call from compiled into interpreted code begins one.
type thread struct {
	p        *Program
	top      *frame     // the innermost frame; when a panic has been caught, still the one that panicked
	rethrown *panicking // a panic on its way on from a frame that had caught it
}

func (f *frame) at(off uintptr) unsafe.Pointer { return unsafe.Add(f.regs, off) }

// enter takes a frame for a call. The caller fills in the arguments and calls f.call.
func (fn *function) enter(t *thread, caller *frame) *frame {
	fn.ready()
	f, _ := fn.frames.Get().(*frame)
	if f == nil {
		f = &frame{fn: fn, regs: unsafeNew(fn.frameRType)}
		typedmemmove(fn.frameRType, f.regs, fn.template)
	}
	f.t, f.caller = t, caller
	f.depth = 1
	if caller != nil {
		f.depth = caller.depth + 1
	}
	return f
}

// call runs the function to its end and gives the frame back. A panic leaves the frame to the collector.
func (f *frame) call() {
	t := f.t
	if f.depth > t.p.maxDepth {
		t.p.overflow(f)
	}
	if t.p.halted.Load() {
		runtime.Goexit()
	}
	t.top = f
	if f.fn.defers {
		f.runProtected()
	} else {
		f.run(f.fn.entry)
	}
	t.top = f.caller
	f.caller, f.ret, f.deferredBy, f.broken, f.t = nil, nil, nil, nil, nil
	f.fn.frames.Put(f)
}

// run executes from a block to the function's return.
func (f *frame) run(b *block) {
	for {
		f.block = b
		for i, do := range b.code {
			f.pc = i
			do(f)
		}
		var next *edge
		switch b.kind {
		case jumps:
			next = &b.next[0]
		case branches:
			if *(*bool)(f.at(b.cond)) {
				next = &b.next[0]
			} else {
				next = &b.next[1]
			}
		case returns:
			return
		}
		if next.back && f.t.p.halted.Load() {
			runtime.Goexit()
		}
		for _, move := range next.moves {
			move(f)
		}
		b = next.to
	}
}
