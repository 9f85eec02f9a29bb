package interp

import (
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
	holds       bool           // its registers, besides constants, may keep memory alive
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
	c.leaveOut()
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
	inLoops := defersInLoops(fn)
	c.fn.defers = c.fn.defers || inLoops
	code := make([][]ssa.Instruction, len(fn.Blocks))
	for i, b := range fn.Blocks {
		code[i] = c.order.block(b)
		if inLoops {
			code[i] = withRunDefers(fn, code[i])
		}
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
