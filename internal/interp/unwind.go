package interp

import "unsafe"

// panicking is a panic under way.
type panicking struct {
	value  any
	frames []Frame // where it began, innermost first
}

// deferred is a deferred call, its function and arguments evaluated.
type deferred struct {
	call func(f *frame) // f is the frame that runs it
	next *deferred
}

// runProtected is run for a function that defers.
func (f *frame) runProtected() {
	if f.attempt() {
		return
	}
	// A panic was recovered.
	if f.fn.recovers != nil {
		f.run(f.fn.recovers)
	} else if f.ret != nil {
		typedmemclr(f.fn.resultRType, f.ret)
	}
}

// attempt runs the function and, should it panic, its deferred calls. It returns false if one of them has recovered.
func (f *frame) attempt() (ok bool) {
	defer func() {
		if ok {
			return
		}
		value := recover()
		t := f.t
		if value == nil { // runtime.Goexit, which goes on after this
			if !t.p.halted.Load() {
				t.top = f
				f.runDefers()
				f.rethrow()
			}
			return
		}
		f.panic = t.caught(value)
		f.broken = f.panic.frames
		t.top = f
		f.runDefers()
		f.rethrow()
	}()
	f.run(f.fn.entry)
	return true
}

// runDefers runs the deferred calls, last first. What they panic with replaces f.panic.
func (f *frame) runDefers() {
	for f.defers != nil {
		d := f.defers
		f.defers = d.next
		f.runDeferred(d)
	}
}

func (f *frame) runDeferred(d *deferred) {
	done := false
	defer func() {
		if done {
			return
		}
		value := recover()
		if value == nil { // runtime.Goexit: the others are still to run
			f.t.top = f
			f.panic = nil
			if !f.t.p.halted.Load() {
				f.runDefers()
				f.rethrow()
			}
			return
		}
		f.panic = f.t.caught(value) // where it was, is still known
		f.t.top = f
	}()
	d.call(f)
	done = true
}

// rethrow goes on with the frame's panic, if it has one.
func (f *frame) rethrow() {
	if p := f.panic; p != nil {
		f.panic = nil
		f.t.rethrown = p
		panic(p.value)
	}
}

// caught is the panic for a recovered value: the one that was rethrown, or a new one.
func (t *thread) caught(value any) *panicking {
	p := t.rethrown
	t.rethrown = nil
	if p != nil && *(*words)(unsafe.Pointer(&p.value)) == *(*words)(unsafe.Pointer(&value)) {
		return p
	}
	return &panicking{value: value, frames: t.trace()}
}

// recovered is the builtin recover, called in frame f.
func (f *frame) recovered() any {
	by := f.deferredBy
	if by == nil || by.panic == nil {
		return nil
	}
	value := by.panic.value
	by.panic = nil
	return value
}
