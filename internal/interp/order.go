package interp

import (
	"go/types"

	"golang.org/x/tools/go/ssa"
)

// Go leaves open when, within one statement, a variable is read that a call in the same statement changes:
//
//	return config, json.Unmarshal(data, &config)
//
// go/ssa reads from left to right. The Go compiler makes all calls first, from left to right, together with whatever
// else it turns into a statement of its own (receiving, && and ||, append, len, slicing, type assertions), and reads
// variables, elements and fields when they are needed: as arguments of such a call, or else at the end. Programs are
// written against the compiler, so its order is the one that counts (cmd/compile/internal/walk/order.go is what this file
// restates). An order brings one function's instructions into it.
type order struct {
	p          *Program
	statements statements
	now        int                      // the statement that is being ordered, -1 if it is not known
	pending    []ssa.Instruction        // of it, to be done as late as possible
	waiting    map[ssa.Instruction]bool // the same
	fresh      map[*ssa.Alloc]int       // the statement that made a variable or a composite literal, which it alone can fill
	made       map[*ssa.MakeMap]int     // the same for maps
	carried    map[*ssa.BasicBlock]rest
	out        []ssa.Instruction
	numbers    map[ssa.Instruction]int // where each stands in its block
}

// rest is what a block leaves to another one that goes on with its statement.
type rest struct {
	statement int
	pending   []ssa.Instruction
}

func (p *Program) newOrder(fn *ssa.Function) *order {
	return &order{
		p: p, statements: p.statementsOf(fn), waiting: map[ssa.Instruction]bool{}, fresh: map[*ssa.Alloc]int{},
		made: map[*ssa.MakeMap]int{}, carried: map[*ssa.BasicBlock]rest{}, numbers: map[ssa.Instruction]int{},
	}
}

// block is a block's instructions in the compiler's order. Blocks come in the order of the function.
func (o *order) block(b *ssa.BasicBlock) []ssa.Instruction {
	o.out = b.Instrs
	if len(o.statements) > 0 {
		o.rearrange(b)
	}
	for n, i := range o.out {
		o.numbers[i] = n
	}
	return o.out
}

// number tells where an instruction stands in its block, once that has been ordered.
func (o *order) number(i ssa.Instruction) int { return o.numbers[i] }

func (o *order) rearrange(b *ssa.BasicBlock) {
	o.out = make([]ssa.Instruction, 0, len(b.Instrs))
	o.now = -1
	for n, i := range b.Instrs {
		switch i.(type) {
		case *ssa.DebugRef:
			continue
		case *ssa.Phi:
			o.out = append(o.out, i)
			continue
		}
		if carried, ok := o.carried[b]; ok {
			o.now = carried.statement
			o.wait(carried.pending...)
			delete(o.carried, b)
		}
		o.add(b, n)
	}
}

// add orders the next instruction of a block.
func (o *order) add(b *ssa.BasicBlock, n int) {
	i := b.Instrs[n]
	statement := o.statement(b, n)
	if statement >= 0 && statement != o.now {
		o.flush()
		o.now = statement
	}
	switch i := i.(type) {
	case *ssa.Alloc:
		o.fresh[i] = o.now
		o.out = append(o.out, i)
	case *ssa.MakeMap:
		o.made[i] = o.now
		o.emit(i)
	case *ssa.Store:
		if o.isFresh(root(i.Addr)) {
			o.wait(i)
			return
		}
		o.settle()
		o.emit(i)
	case *ssa.MapUpdate:
		if m, ok := i.Map.(*ssa.MakeMap); !ok || o.made[m] != o.now {
			o.settle()
		}
		o.emit(i)
	case *ssa.Return, *ssa.Panic, *ssa.RunDefers:
		o.flush()
		o.emit(i)
	case *ssa.If, *ssa.Jump:
		o.leave(b, i)
	default:
		switch {
		case isElement(b, n), o.boxedEarly(i):
			o.emit(i)
		case o.late(i):
			o.wait(i)
		default:
			if statement < 0 {
				o.flush()
			}
			o.emit(i)
		}
	}
}

// statement is the number of an instruction's statement, -1 if it is not known.
func (o *order) statement(b *ssa.BasicBlock, n int) int {
	i := b.Instrs[n]
	if v, ok := i.(ssa.Value); ok && n+1 < len(b.Instrs) {
		if note, ok := b.Instrs[n+1].(*ssa.DebugRef); ok && note.X == v && !isElement(b, n) {
			return o.statements.at(note.Expr.Pos())
		}
	}
	pos := i.Pos()
	if call, ok := i.(ssa.CallInstruction); ok {
		pos = call.Common().Pos()
	}
	if pos.IsValid() {
		return o.statements.at(pos)
	}
	return -1
}

// isElement tells whether an instruction takes the next element in a range over a slice or an array.
func isElement(b *ssa.BasicBlock, n int) bool {
	if b.Comment != "rangeindex.body" || n > 1 {
		return false
	}
	switch i := b.Instrs[n].(type) {
	case *ssa.IndexAddr, *ssa.Index:
		return n == 0
	case *ssa.UnOp:
		return n == 1 && i.X == ssa.Value(valueOf(b.Instrs[0]))
	}
	return false
}

func valueOf(i ssa.Instruction) ssa.Value {
	v, _ := i.(ssa.Value)
	return v
}

func (o *order) wait(is ...ssa.Instruction) {
	for _, i := range is {
		o.pending = append(o.pending, i)
		o.waiting[i] = true
	}
}

// flush does all that is pending.
func (o *order) flush() {
	for _, i := range o.pending {
		if o.waiting[i] {
			o.out = append(o.out, i)
			delete(o.waiting, i)
		}
	}
	o.pending = o.pending[:0]
}

// settle does what is pending before the first of a statement's assignments: but for the places that will be assigned to,
// whose indices are looked at one assignment after the other.
func (o *order) settle() {
	kept := o.pending[:0]
	for _, i := range o.pending {
		switch {
		case !o.waiting[i]:
		case isTarget(i):
			kept = append(kept, i)
		default:
			o.emit(i)
		}
	}
	o.pending = kept
}

// isTarget tells whether an instruction makes an address that is only assigned to.
func isTarget(i ssa.Instruction) bool {
	var users *[]ssa.Instruction
	switch i := i.(type) {
	case *ssa.IndexAddr:
		users = i.Referrers()
	case *ssa.FieldAddr:
		users = i.Referrers()
	default:
		return false
	}
	for _, user := range *users {
		switch user := user.(type) {
		case *ssa.DebugRef:
		case *ssa.Store:
			if user.Addr != valueOf(i) {
				return false
			}
		case *ssa.IndexAddr, *ssa.FieldAddr:
			if !isTarget(user) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// emit does an instruction now, and before it what is pending of that which it needs.
func (o *order) emit(i ssa.Instruction) {
	if len(o.waiting) > 0 {
		o.need(i)
	}
	if o.waiting[i] {
		delete(o.waiting, i)
	}
	o.out = append(o.out, i)
}

// need does what is pending of an instruction's operands.
func (o *order) need(i ssa.Instruction) {
	var few [16]*ssa.Value
	for _, op := range i.Operands(few[:0]) {
		if *op == nil {
			continue
		}
		if alloc := root(*op); o.isFresh(alloc) && !fills(i, *op) {
			o.filled(alloc)
		}
		if operand, ok := (*op).(ssa.Instruction); ok && o.waiting[operand] {
			o.emit(operand)
		}
	}
}

// filled does the pending assignments to a fresh variable.
func (o *order) filled(alloc *ssa.Alloc) {
	for _, i := range o.pending {
		if store, ok := i.(*ssa.Store); ok && o.waiting[i] && root(store.Addr) == alloc {
			o.emit(store)
		}
	}
}

// fills tells whether an instruction uses a variable's address, or that of a part of it, only to assign to it, or as a
// step to an address within.
func fills(i ssa.Instruction, addr ssa.Value) bool {
	switch i := i.(type) {
	case *ssa.Store:
		return i.Addr == addr && i.Val != addr
	case *ssa.FieldAddr:
		return true
	case *ssa.IndexAddr:
		return i.X == addr
	}
	return false
}

// root is the variable that an address is within, nil if it is not known.
func root(v ssa.Value) *ssa.Alloc {
	for {
		switch addr := v.(type) {
		case *ssa.Alloc:
			return addr
		case *ssa.FieldAddr:
			v = addr.X
		case *ssa.IndexAddr:
			if _, isArray := addr.X.Type().Underlying().(*types.Pointer); !isArray {
				return nil
			}
			v = addr.X
		default:
			return nil
		}
	}
}

func (o *order) isFresh(alloc *ssa.Alloc) bool {
	if alloc == nil || o.now < 0 {
		return false
	}
	statement, ok := o.fresh[alloc]
	return ok && statement == o.now
}

// leave ends a block. Where its statement goes on behind && or ||, so does what is pending.
func (o *order) leave(b *ssa.BasicBlock, end ssa.Instruction) {
	if _, branch := end.(*ssa.If); branch && o.now >= 0 {
		if done := behind(b); done != nil && o.mayWait(done) {
			o.emit(end) // and what the condition needs
			var left []ssa.Instruction
			for _, i := range o.pending {
				if o.waiting[i] {
					left = append(left, i)
				}
			}
			o.carried[done] = rest{o.now, append(o.carried[done].pending, left...)}
			o.pending = o.pending[:0]
			clear(o.waiting)
			return
		}
	}
	o.flush()
	o.emit(end)
}

// behind is where an expression goes on after the && or || that ends a block, nil if no such ends it.
func behind(b *ssa.BasicBlock) *ssa.BasicBlock {
	for _, d := range b.Dominees() {
		if d.Comment == "binop.done" && d.Index > b.Index {
			return d
		}
	}
	return nil
}

// mayWait tells whether what is pending is used only from a block on.
func (o *order) mayWait(until *ssa.BasicBlock) bool {
	for _, i := range o.pending {
		v, ok := i.(ssa.Value)
		if !ok || !o.waiting[i] {
			continue
		}
		for _, user := range *v.Referrers() {
			if _, note := user.(*ssa.DebugRef); note || user.Block() == i.Block() {
				continue
			}
			if !until.Dominates(user.Block()) {
				return false
			}
			if phi, ok := user.(*ssa.Phi); ok && phi.Block() == until {
				return false
			}
		}
	}
	return true
}
