package interp

import (
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// argument is where an argument is in the caller's frame.
type argument struct {
	off  uintptr
	t    reflect.Type
	copy copier
}

// callable is what a call, go or defer statement calls.
type callable interface {
	// call calls it with arguments from f's registers; results go to ret, if that is not nil.
	call(f *frame, ret unsafe.Pointer)
	// later evaluates function and arguments for a call on thread t that comes later: an interpreted function's frame,
	// or a func that calls.
	later(f *frame, t *thread) (*frame, func())
}

// values appends the arguments to in; they are the registers themselves.
func (f *frame) values(in []reflect.Value, args []argument) []reflect.Value {
	for _, a := range args {
		in = append(in, valueAt(a.t, f.at(a.off)))
	}
	return in
}

// kept copies values out of registers, for a call that comes later.
func kept(vs []reflect.Value) []reflect.Value {
	for i, v := range vs {
		vs[i] = reflect.New(v.Type()).Elem()
		vs[i].Set(v)
	}
	return vs
}

func (c *compiler) arguments(vs []ssa.Value) []argument {
	args := make([]argument, len(vs))
	for i, v := range vs {
		p := c.place(v)
		args[i] = argument{p.off, p.t, p.copy}
	}
	return args
}

// callable finds out what is called. It is nil for functions that do nothing.
func (c *compiler) callable(call *ssa.CallCommon) callable {
	if call.IsInvoke() {
		return &invoker{p: c.p, method: call.Method, value: c.off(call.Value), args: c.arguments(call.Args), wrapper: c.fn.wrapper}
	}
	switch fn := call.Value.(type) {
	case *ssa.Function:
		return c.static(fn, nil, call)
	case *ssa.MakeClosure:
		if onlyCalled(fn) {
			return c.static(fn.Fn.(*ssa.Function), fn.Bindings, call)
		}
	}
	p := c.place(call.Value)
	return &funcCall{value: p.off, t: c.typeOf(call.Signature()), args: c.arguments(call.Args)}
}

func (c *compiler) static(fn *ssa.Function, bindings []ssa.Value, call *ssa.CallCommon) callable {
	if fn.Blocks == nil {
		if fn.Name() == "init" && fn.Pkg != nil && !c.p.interpreted(fn.Pkg.Pkg) {
			return nil // compiled packages are initialised
		}
		if do := c.p.traced[fn.String()]; do != nil {
			return &tracedCall{do: do, args: c.arguments(call.Args), outs: newCompiled(c.p.compiledFunction(fn)).outs}
		}
		to := newCompiled(c.p.compiledFunction(fn))
		return &compiledCall{compiled: to, direct: directly(to.fn, to.outs), args: c.arguments(call.Args)}
	}
	to := c.p.function(fn)
	c.p.compileLater(to)
	return &staticCall{to: to, args: c.arguments(call.Args), captured: c.arguments(bindings), wrapper: c.fn.wrapper}
}

// staticCall calls an interpreted function that is known.
type staticCall struct {
	to       *function
	args     []argument
	captured []argument
	wrapper  bool
}

func (s *staticCall) enter(f *frame, t *thread) *frame {
	g := s.to.enter(t, f)
	for n, a := range s.args {
		a.copy(g.at(s.to.params[n].off), f.at(a.off))
	}
	for n, a := range s.captured {
		a.copy(g.at(s.to.captured[n].off), f.at(a.off))
	}
	return g
}

func (s *staticCall) call(f *frame, ret unsafe.Pointer) {
	g := s.enter(f, f.t)
	g.ret = ret
	if s.wrapper {
		g.deferredBy = f.deferredBy
	}
	g.call()
}

func (s *staticCall) later(f *frame, t *thread) (*frame, func()) { return s.enter(f, t), nil }

// compiledCall calls a compiled function that is known.
type compiledCall struct {
	compiled *compiled
	direct   direct // nil: by reflection
	args     []argument
}

func (s *compiledCall) call(f *frame, ret unsafe.Pointer) {
	if s.direct != nil {
		s.direct(f, s.args, ret)
		if f.t.p.halted.Load() { // while it ran
			runtime.Goexit()
		}
		return
	}
	s.compiled.call(f, reflect.Value{}, s.args, ret)
}

func (s *compiledCall) later(f *frame, t *thread) (*frame, func()) {
	return nil, s.compiled.later(f, reflect.Value{}, s.args)
}

// tracedCall calls what stands in for a compiled function, and tells it where from.
type tracedCall struct {
	do   Traced
	args []argument
	outs []uintptr // offsets of the results
}

func (s *tracedCall) call(f *frame, ret unsafe.Pointer) {
	var few [8]reflect.Value
	out := s.do(f.t.trace(), f.values(few[:0], s.args))
	if ret == nil {
		return
	}
	for i, off := range s.outs {
		valueAt(out[i].Type(), unsafe.Add(ret, off)).Set(out[i])
	}
}

func (s *tracedCall) later(f *frame, t *thread) (*frame, func()) {
	frames, in := f.t.trace(), kept(f.values(nil, s.args))
	return nil, func() { s.do(frames, in) }
}

// funcCall calls a func value.
type funcCall struct {
	value uintptr
	t     reflect.Type
	args  []argument
}

func (s *funcCall) call(f *frame, ret unsafe.Pointer) {
	fn := *(*unsafe.Pointer)(f.at(s.value))
	nilCheck(fn)
	if cl := closureAt(fn); cl != nil {
		g := s.enter(cl, f, f.t)
		g.ret = ret
		g.call()
		return
	}
	newCompiled(valueAt(s.t, f.at(s.value))).call(f, reflect.Value{}, s.args, ret)
}

func (s *funcCall) enter(cl *closure, f *frame, t *thread) *frame {
	g := cl.fn.enter(t, f)
	for n, a := range s.args {
		a.copy(g.at(cl.fn.params[n].off), f.at(a.off))
	}
	cl.load(g)
	return g
}

func (s *funcCall) later(f *frame, t *thread) (*frame, func()) {
	fn := *(*unsafe.Pointer)(f.at(s.value))
	if fn == nil {
		// Evaluating is fine; the call panics.
		return nil, func() { nilCheck(nil) }
	}
	if cl := closureAt(fn); cl != nil {
		return s.enter(cl, f, t), nil
	}
	return nil, newCompiled(valueAt(s.t, f.at(s.value))).later(f, reflect.Value{}, s.args)
}

func (c *compiler) call(i *ssa.Call) instruction {
	if b, ok := i.Call.Value.(*ssa.Builtin); ok {
		return c.builtin(b, &i.Call, i)
	}
	to := c.callable(&i.Call)
	if to == nil {
		return nil
	}
	if i.Call.Signature().Results().Len() == 0 {
		if s, ok := to.(*staticCall); ok {
			return func(f *frame) { s.call(f, nil) }
		}
		return func(f *frame) { to.call(f, nil) }
	}
	dst := c.off(i)
	if s, ok := to.(*staticCall); ok {
		return func(f *frame) { s.call(f, f.at(dst)) }
	}
	return func(f *frame) { to.call(f, f.at(dst)) }
}

func (c *compiler) deferCall(i *ssa.Defer) instruction {
	list := func(f *frame) *frame { return f }
	if i.DeferStack != nil {
		at := c.off(i.DeferStack)
		list = func(f *frame) *frame { return *(**frame)(f.at(at)) }
	}
	if b, ok := i.Call.Value.(*ssa.Builtin); ok {
		do := c.builtin(b, &i.Call, nil)
		return func(f *frame) {
			later := f.snapshot()
			into := list(f)
			into.defers = &deferred{next: into.defers, call: func(by *frame) { do(later) }}
		}
	}
	to := c.callable(&i.Call)
	if to == nil {
		return nil
	}
	return func(f *frame) {
		g, run := to.later(f, f.t)
		into := list(f)
		d := &deferred{next: into.defers}
		if g == nil {
			d.call = func(*frame) { run() }
		} else {
			d.call = func(by *frame) {
				g.t, g.caller, g.depth, g.deferredBy = by.t, by, by.depth+1, by
				g.call()
			}
		}
		into.defers = d
	}
}

// snapshot is a frame with the same registers: a builtin that is deferred sees its operands as they are now.
func (f *frame) snapshot() *frame {
	g := (*frame)(unsafeNew(f.fn.frameRType))
	typedmemmove(f.fn.frameRType, unsafe.Pointer(g), unsafe.Pointer(f))
	g.caller = f
	g.ret, g.defers, g.panic, g.deferredBy = nil, nil, nil, nil
	return g
}

func (c *compiler) goCall(i *ssa.Go) instruction {
	if b, ok := i.Call.Value.(*ssa.Builtin); ok {
		do := c.builtin(b, &i.Call, nil)
		return func(f *frame) {
			later := f.snapshot()
			later.t, later.caller = f.t.p.newThread(), nil
			later.t.top = later
			go later.t.run(func() { do(later) })
		}
	}
	to := c.callable(&i.Call)
	if to == nil {
		return nil
	}
	return func(f *frame) {
		t := f.t.p.newThread()
		g, run := to.later(f, t)
		if g != nil {
			g.caller, g.depth = nil, 1
			run = g.call
		}
		go t.run(run)
	}
}

// run is the life of a goroutine that the program starts.
func (t *thread) run(call func()) {
	defer func() {
		if value := recover(); value != nil {
			p := t.caught(value)
			t.p.uncaught(p)
		}
	}()
	call()
	t.leave()
}
