package interp

import (
	"go/constant"
	"go/token"
	"go/types"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// function is one SSA function. It is compiled when it is first called.
//
// Its registers are parts of its frames (see layout.go): parameters, captured variables, the results of instructions, and
// the constants that it uses, which are filled in when a frame is made and never change.
type function struct {
	p       *Program
	ssa     *ssa.Function
	name    string // as in a stack trace
	path    string // import path of its package
	wrapper bool   // made by SSA, so that what it calls stands in its place

	noted    bool // by compileLater
	once     sync.Once
	compiled atomic.Bool

	frameRType  unsafe.Pointer
	template    unsafe.Pointer // a fresh frame's memory
	id          int            // among the program's functions
	params      []place
	captured    []place
	results     reflect.Type // nil, the one result's type, or a struct of all
	resultRType unsafe.Pointer
	resultOffs  []uintptr
	entry       *block
	recovers    *block // where to go on after a recovered panic; nil: return zeros
	defers      bool

	valueOnce sync.Once
	value     reflect.Value // the function as a native func
}

// place is where a value is in its function's frames.
type place struct {
	off  uintptr
	t    reflect.Type
	copy copier
}

type instruction func(f *frame)

// block is a basic block: straight code, then a choice of where to go on.
type block struct {
	code []instruction
	pos  []token.Pos // of each instruction in code
	kind blockEnd
	cond uintptr   // register of the condition, of a block that branches
	test condition // of a block that tests
	next [2]edge
}

type blockEnd int

const (
	jumps blockEnd = iota
	branches
	tests
	returns // or panics: never goes on
)

// edge is a way from one block to another.
type edge struct {
	to    *block
	moves []instruction // what the phi instructions of the next block take over
	back  bool          // it may close a loop
}

// function is the one function for an SSA function.
func (p *Program) function(fn *ssa.Function) *function {
	if known, ok := p.functions.Load(fn); ok {
		return known.(*function)
	}
	f := &function{p: p, ssa: fn, name: nameOf(fn), path: pathOf(fn)}
	f.wrapper = fn.Synthetic != "" && fn.Syntax() == nil && fn.Origin() == nil
	f.id = int(p.numbered.Add(1)) - 1
	known, _ := p.functions.LoadOrStore(fn, f)
	return known.(*function)
}

func pathOf(fn *ssa.Function) string {
	for fn.Parent() != nil {
		fn = fn.Parent()
	}
	if fn.Origin() != nil {
		fn = fn.Origin()
	}
	if fn.Pkg != nil {
		return fn.Pkg.Pkg.Path()
	}
	if obj := fn.Object(); obj != nil && obj.Pkg() != nil {
		return obj.Pkg().Path()
	}
	return ""
}

// ready compiles the function if that has not been done.
func (fn *function) ready() {
	if !fn.compiled.Load() {
		fn.once.Do(func() {
			(&compiler{fn: fn, p: fn.p, places: map[ssa.Value]place{}}).compile()
			fn.compiled.Store(true)
		})
	}
}

// compiler turns one function into code.
type compiler struct {
	fn     *function
	p      *Program
	layout layout
	fills  []fill            // constants
	slots  map[ssa.Value]int // numbers of registers in layout
	extra  map[ssa.Value]int // a second register of an instruction
	alias  map[ssa.Value]alias
	folded map[ssa.Value]bool     // addresses
	united map[ssa.Value]bool     // values in the register of a phi
	valued map[*ssa.Function]bool // functions that are used as values
	places map[ssa.Value]place
	blocks map[*ssa.BasicBlock]*block
	order  *order
}

// alias is a value that is a part of another's register.
type alias struct {
	of  ssa.Value
	off uintptr
}

type fill struct {
	slot  int
	write func(p unsafe.Pointer)
}

func (c *compiler) compile() {
	fn := c.fn.ssa
	c.slots, c.extra, c.alias = map[ssa.Value]int{}, map[ssa.Value]int{}, map[ssa.Value]alias{}
	c.united = map[ssa.Value]bool{}
	for _, v := range fn.Params {
		c.slots[v] = c.layout.add(c.typeOf(v.Type()))
	}
	for _, v := range fn.FreeVars {
		c.slots[v] = c.layout.add(c.typeOf(v.Type()))
	}
	leaveOut(fn)
	c.fold()
	c.findValued()
	for _, b := range fn.Blocks {
		for _, i := range b.Instrs {
			if _, note := i.(*ssa.DebugRef); !note {
				c.assign(i)
			}
		}
	}
	c.assignResults()
	c.order = c.p.newOrder(fn)
	code := make([][]ssa.Instruction, len(fn.Blocks))
	for i, b := range fn.Blocks {
		code[i] = c.order.block(b)
	}
	c.unite()
	c.layOut()
	for _, v := range fn.Params {
		c.fn.params = append(c.fn.params, c.place(v))
	}
	for _, v := range fn.FreeVars {
		c.fn.captured = append(c.fn.captured, c.place(v))
	}
	c.blocks = make(map[*ssa.BasicBlock]*block, len(fn.Blocks))
	for _, b := range fn.Blocks {
		c.blocks[b] = &block{}
	}
	for i, b := range fn.Blocks {
		c.block(b, code[i])
	}
	c.fn.entry = c.blocks[fn.Blocks[0]]
	if fn.Recover != nil {
		c.fn.recovers = c.blocks[fn.Recover]
	}
}

func (c *compiler) typeOf(t types.Type) reflect.Type { return c.p.types.of(t) }

// assign gives an instruction's result, and the constants among its operands, their registers.
func (c *compiler) assign(i ssa.Instruction) {
	var operands [16]*ssa.Value
	for _, op := range i.Operands(operands[:0]) {
		if *op != nil {
			c.constant(*op)
		}
	}
	switch i.(type) {
	case *ssa.Defer, *ssa.RunDefers:
		c.fn.defers = true
	}
	v, ok := i.(ssa.Value)
	if !ok {
		return
	}
	switch v := v.(type) {
	case *ssa.ChangeType:
		c.alias[v] = alias{of: v.X}
		return
	case *ssa.Extract:
		c.alias[v] = alias{of: v.Tuple, off: c.typeOf(v.Tuple.Type()).Field(v.Index).Offset}
		return
	case *ssa.Field:
		c.alias[v] = alias{of: v.X, off: c.typeOf(v.X.Type()).Field(v.Field).Offset}
		return
	case *ssa.Range:
		c.slots[v] = c.layout.add(reflect.TypeFor[unsafe.Pointer]())
		return
	case *ssa.Phi:
		c.slots[v] = c.layout.add(c.typeOf(v.Type()))
		if _, several := v.Block().Instrs[1].(*ssa.Phi); several || v.Block().Instrs[0] != ssa.Instruction(v) {
			c.extra[v] = c.layout.add(c.typeOf(v.Type()))
		}
		return
	case *ssa.Alloc:
		c.slots[v] = c.layout.add(c.typeOf(v.Type()))
		if !v.Heap {
			c.extra[v] = c.layout.add(c.typeOf(deref(v.Type())))
		}
		return
	}
	if t, ok := v.Type().(*types.Tuple); ok && t.Len() == 0 {
		return
	}
	if b, ok := v.Type().(*types.Basic); ok && b.Kind() == types.Invalid {
		c.slots[v] = c.layout.add(reflect.TypeFor[unsafe.Pointer]())
		return
	}
	c.slots[v] = c.layout.add(c.typeOf(v.Type()))
}

func deref(t types.Type) types.Type { return t.Underlying().(*types.Pointer).Elem() }

// constant gives a value that is known before the function runs its register.
func (c *compiler) constant(v ssa.Value) {
	if _, known := c.slots[v]; known {
		return
	}
	var write func(p unsafe.Pointer)
	var t reflect.Type
	switch v := v.(type) {
	case *ssa.Const:
		t = c.typeOf(v.Type())
		if v.Value != nil {
			write = func(p unsafe.Pointer) { setConstant(valueAt(t, p), v.Value) }
		}
	case *ssa.Global:
		t = c.typeOf(v.Type())
		write = func(p unsafe.Pointer) { *(*unsafe.Pointer)(p) = c.p.global(v) }
	case *ssa.Function:
		if v.Signature.Recv() != nil || c.p.intrinsic(v) != nil {
			return // only ever called
		}
		if !c.valued[v] {
			return
		}
		t = c.typeOf(v.Signature)
		write = func(p unsafe.Pointer) { valueAt(t, p).Set(c.p.function(v).native(t)) }
	default:
		return
	}
	c.slots[v] = c.layout.add(t)
	if write != nil {
		c.fills = append(c.fills, fill{c.slots[v], write})
	}
}

// findValued finds the functions that are more than called by name in the function that is being compiled.
func (c *compiler) findValued() {
	c.valued = map[*ssa.Function]bool{}
	var few [16]*ssa.Value
	for _, b := range c.fn.ssa.Blocks {
		for _, i := range b.Instrs {
			var callee *ssa.Value
			operands := i.Operands(few[:0])
			switch i := i.(type) {
			case *ssa.DebugRef:
				continue
			case ssa.CallInstruction:
				callee = &i.Common().Value
			case *ssa.MakeClosure:
				callee = &i.Fn
			}
			for _, op := range operands {
				if fn, ok := (*op).(*ssa.Function); ok && op != callee {
					c.valued[fn] = true
				}
			}
		}
	}
}

func setConstant(v reflect.Value, c constant.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(constant.BoolVal(c))
	case reflect.String:
		if c.Kind() == constant.Int { // string(rune) of a constant
			n, _ := constant.Int64Val(c)
			v.SetString(string(rune(n)))
			return
		}
		v.SetString(constant.StringVal(c))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, _ := constant.Int64Val(constant.ToInt(c))
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, _ := constant.Uint64Val(constant.ToInt(c))
		v.SetUint(n)
	case reflect.Float32:
		n, _ := constant.Float32Val(c)
		v.SetFloat(float64(n))
	case reflect.Float64:
		n, _ := constant.Float64Val(c)
		v.SetFloat(n)
	case reflect.Complex64, reflect.Complex128:
		re, _ := constant.Float64Val(constant.Real(c))
		im, _ := constant.Float64Val(constant.Imag(c))
		v.SetComplex(complex(re, im))
	case reflect.UnsafePointer:
		n, _ := constant.Uint64Val(constant.ToInt(c))
		*(*uintptr)(v.Addr().UnsafePointer()) = uintptr(n)
	default:
		panic(&buildError{text: "a constant of type " + v.Type().String()})
	}
}

func (c *compiler) assignResults() {
	results := c.fn.ssa.Signature.Results()
	switch results.Len() {
	case 0:
		return
	case 1:
		c.fn.results = c.typeOf(results.At(0).Type())
		c.fn.resultOffs = []uintptr{0}
	default:
		c.fn.results = c.typeOf(results)
		for i := range results.Len() {
			c.fn.resultOffs = append(c.fn.resultOffs, c.fn.results.Field(i).Offset)
		}
	}
	c.fn.resultRType = rtypeOf(c.fn.results)
}

// layOut makes the memory of a fresh frame.
func (c *compiler) layOut() {
	c.fn.frameRType = rtypeOf(c.layout.frame())
	c.fn.template = unsafeNew(c.fn.frameRType)
	for _, f := range c.fills {
		f.write(unsafe.Add(c.fn.template, c.layout.offs[f.slot]))
	}
}

// place is where a value is.
func (c *compiler) place(v ssa.Value) place {
	if p, ok := c.places[v]; ok {
		return p
	}
	var p place
	if a, ok := c.alias[v]; ok {
		p = c.place(a.of)
		p.off += a.off
		p.t = c.typeOf(v.Type())
	} else if i, ok := c.slots[v]; ok {
		p = place{off: c.layout.offs[i], t: c.layout.types[i]}
	} else {
		panic(&buildError{text: "no register for " + v.Name() + " = " + v.String()})
	}
	p.copy = copierOf(p.t)
	c.places[v] = p
	return p
}

func (c *compiler) off(v ssa.Value) uintptr { return c.place(v).off }

// spare is the second register of an instruction.
func (c *compiler) spare(v ssa.Value) uintptr { return c.layout.offs[c.extra[v]] }

// block compiles one basic block.
func (c *compiler) block(from *ssa.BasicBlock, code []ssa.Instruction) {
	b := c.blocks[from]
	for _, i := range code {
		switch i := i.(type) {
		case *ssa.Phi, *ssa.DebugRef, *ssa.ChangeType, *ssa.Field:
			continue
		case *ssa.Jump:
			b.kind = jumps
			b.next[0] = c.edge(from, 0)
			continue
		case *ssa.If:
			if b.test = c.condition(i); b.test != nil {
				b.kind = tests
			} else {
				b.kind, b.cond = branches, c.off(i.Cond)
			}
			b.next[0], b.next[1] = c.edge(from, 0), c.edge(from, 1)
			continue
		case *ssa.Return, *ssa.Panic:
			b.kind = returns
		}
		if c.fused(i) {
			continue
		}
		do := c.instruction(i)
		if do == nil {
			continue
		}
		b.code = append(b.code, do)
		b.pos = append(b.pos, position(i))
	}
}

// position is where an instruction stands in the source; those that stand nowhere share the place of their operand.
func position(i ssa.Instruction) token.Pos {
	if pos := i.Pos(); pos.IsValid() {
		return pos
	}
	if call, ok := i.(ssa.CallInstruction); ok {
		return call.Common().Pos()
	}
	return token.NoPos
}

func moveOf[T any](dst, src uintptr) instruction {
	return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(f.at(src)) }
}

// move copies one register to another.
func move(dst, src uintptr, t reflect.Type) instruction {
	switch shapeOf(t) {
	case shape8:
		return moveOf[uint8](dst, src)
	case shape16:
		return moveOf[uint16](dst, src)
	case shape32:
		return moveOf[uint32](dst, src)
	case shape64:
		return moveOf[uint64](dst, src)
	case shapePointer:
		return moveOf[unsafe.Pointer](dst, src)
	case shapeString:
		return moveOf[string](dst, src)
	}
	copy := copierOf(t)
	return func(f *frame) { copy(f.at(dst), f.at(src)) }
}
