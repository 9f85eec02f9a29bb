package interp

import (
	"runtime"
	"unsafe"
)

// frame is one activation of a function. Its registers lie behind it.
type frame struct {
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

	free *frame // the next free frame of the function
}

// thread is a goroutine as far as interpreted code runs on it: each call from compiled into interpreted code begins one.
type thread struct {
	p        *Program
	top      *frame     // the innermost frame; when a panic has been caught, still the one that panicked
	rethrown *panicking // a panic on its way on from a frame that had caught it

	free []*frame // by the function's id: frames to use again, a list through frame.free
	age  uint64   // of free, see Program.collections
}

// newThread begins a thread. It is given back by leave, or left to the collector when something unusual has ended it.
func (p *Program) newThread() *thread {
	if t, ok := p.threads.Get().(*thread); ok {
		return t
	}
	return &thread{p: p}
}

func (t *thread) leave() {
	t.top, t.rethrown = nil, nil
	t.p.threads.Put(t)
}

func (f *frame) at(off uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(f), off) }

// enter takes a frame for a call. The caller fills in the arguments and calls f.call.
func (fn *function) enter(t *thread, caller *frame) *frame {
	var f *frame
	if fn.id < len(t.free) && t.free[fn.id] != nil {
		f = t.free[fn.id]
		t.free[fn.id] = f.free
	} else {
		f = fn.newFrame()
	}
	f.t, f.caller = t, caller
	f.depth = 1
	if caller != nil {
		f.depth = caller.depth + 1
	}
	return f
}

func (fn *function) newFrame() *frame {
	fn.ready()
	f := (*frame)(unsafeNew(fn.frameRType))
	typedmemmove(fn.frameRType, unsafe.Pointer(f), fn.template)
	f.fn = fn
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
	t.release(f)
}

// release keeps a frame for the next call of its function. Nothing can reach it any more: go/ssa allocates variables on
// the heap (ssa.Alloc.Heap) whose address leaves the function's own instructions, and results have been copied.
//
// What its registers hold is let go, by making the frame a fresh one.
func (t *thread) release(f *frame) {
	if fn := f.fn; fn.holds {
		typedmemmove(fn.frameRType, unsafe.Pointer(f), fn.template)
		f.fn = fn
	} else {
		f.caller, f.ret, f.deferredBy, f.broken = nil, nil, nil, nil
	}
	if age := t.p.collections.Load(); t.age != age || len(t.free) <= f.fn.id {
		t.renew(age)
	}
	f.free = t.free[f.fn.id]
	t.free[f.fn.id] = f
}

// renew lets go of free frames: those from before a garbage collection may hold what nothing else does.
func (t *thread) renew(age uint64) {
	if t.age != age {
		t.age = age
		clear(t.free)
	}
	if n := int(t.p.numbered.Load()); n > len(t.free) {
		t.free = append(t.free, make([]*frame, n-len(t.free))...)
	}
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
		case tests:
			if b.test(f) {
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
