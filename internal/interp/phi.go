package interp

import (
	"golang.org/x/tools/go/ssa"
)

// unite gives a value the register of the phi that takes it over, where the phi's own value is no longer wanted once the
// value is there: i and i + 1 of a loop are one register, and nothing has to be moved on the way round.
func (c *compiler) unite() {
	for _, b := range c.fn.ssa.Blocks {
		for _, i := range b.Instrs {
			phi, ok := i.(*ssa.Phi)
			if !ok {
				break
			}
			if feedsPhi(phi) {
				continue
			}
			for n, v := range phi.Edges {
				if c.mayUnite(phi, v, b.Preds[n]) {
					c.slots[v] = c.slots[phi]
					c.united[v] = true
				}
			}
		}
	}
}

// feedsPhi tells whether another phi takes over a phi's value.
func feedsPhi(phi *ssa.Phi) bool {
	for _, user := range *phi.Referrers() {
		if other, ok := user.(*ssa.Phi); ok && other != phi {
			return true
		}
	}
	return false
}

// mayUnite tells whether v, which phi takes over from the block pred, may live in phi's register.
func (c *compiler) mayUnite(phi *ssa.Phi, v ssa.Value, pred *ssa.BasicBlock) bool {
	switch v.(type) {
	case *ssa.BinOp, *ssa.Call, *ssa.UnOp, *ssa.Convert, *ssa.Slice:
	default:
		return false
	}
	def := v.(ssa.Instruction)
	if c.united[v] || feeds(v, phi) != 1 || c.typeOf(v.Type()) != c.typeOf(phi.Type()) {
		return false
	}
	if def.Block() == phi.Block() && c.onlyUser(phi, def) {
		return true
	}
	return def.Block() == pred && len(pred.Succs) == 1 && c.staysWithin(v, phi) && !c.usedAfter(phi, def)
}

// feeds counts how often phis take over a value; more than once if one other than phi does.
func feeds(v ssa.Value, phi *ssa.Phi) int {
	n := 0
	for _, user := range *v.Referrers() {
		if other, ok := user.(*ssa.Phi); ok {
			if other != phi {
				return 2
			}
			n = 1
		}
	}
	return n
}

// onlyUser tells whether nothing but one instruction uses a value.
func (c *compiler) onlyUser(v ssa.Value, by ssa.Instruction) bool {
	for _, user := range *v.Referrers() {
		if _, note := user.(*ssa.DebugRef); !note && user != by {
			return false
		}
	}
	return true
}

// staysWithin tells whether a value is used only in its own block, and by phi.
func (c *compiler) staysWithin(v ssa.Value, phi *ssa.Phi) bool {
	block := v.(ssa.Instruction).Block()
	for _, user := range *v.Referrers() {
		if _, note := user.(*ssa.DebugRef); note || user == ssa.Instruction(phi) {
			continue
		}
		if user.Block() != block {
			return false
		}
		if derived, ok := user.(ssa.Value); ok && (c.folded[derived] || isAlias(user)) && !c.staysWithin(derived, phi) {
			return false
		}
	}
	return true
}

// usedAfter tells whether a value may be used in def's block after def.
func (c *compiler) usedAfter(v ssa.Value, def ssa.Instruction) bool {
	for _, user := range *v.Referrers() {
		if _, note := user.(*ssa.DebugRef); note || user == def || user.Block() != def.Block() {
			continue
		}
		if derived, ok := user.(ssa.Value); ok && (c.folded[derived] || isAlias(user)) {
			if c.usedAfter(derived, def) {
				return true
			}
			continue
		}
		if c.order.number(user) > c.order.number(def) {
			return true
		}
	}
	return false
}

// isAlias tells whether an instruction's value is a part of its operand's register.
func isAlias(i ssa.Instruction) bool {
	switch i.(type) {
	case *ssa.ChangeType, *ssa.Extract, *ssa.Field:
		return true
	}
	return false
}

// edge compiles what happens on the way to a successor: its phis all take their values at once.
func (c *compiler) edge(from *ssa.BasicBlock, n int) edge {
	to := from.Succs[n]
	e := edge{to: c.blocks[to], back: to.Index <= from.Index}
	pred := predecessor(from, n)
	var phis []*ssa.Phi
	entangled := false
	for _, i := range to.Instrs {
		phi, ok := i.(*ssa.Phi)
		if !ok {
			break
		}
		if c.off(phi) == c.off(phi.Edges[pred]) {
			continue
		}
		phis = append(phis, phi)
		if source, ok := c.root(phi.Edges[pred]).(*ssa.Phi); ok && source.Block() == to && source != phi {
			entangled = true
		}
	}
	if !entangled {
		for _, phi := range phis {
			e.moves = append(e.moves, move(c.off(phi), c.off(phi.Edges[pred]), c.place(phi).t))
		}
		return e
	}
	for _, phi := range phis {
		e.moves = append(e.moves, move(c.spare(phi), c.off(phi.Edges[pred]), c.place(phi).t))
	}
	for _, phi := range phis {
		e.moves = append(e.moves, move(c.off(phi), c.spare(phi), c.place(phi).t))
	}
	return e
}

// predecessor is which of its successor's predecessors a block is by its nth way. A block may reach another by both its
// ways: then each is a predecessor of its own, in the order of the ways.
func predecessor(from *ssa.BasicBlock, n int) int {
	to := from.Succs[n]
	second := n == 1 && from.Succs[0] == to
	for i, p := range to.Preds {
		if p == from {
			if !second {
				return i
			}
			second = false
		}
	}
	return -1
}

// root is the value in whose register v is.
func (c *compiler) root(v ssa.Value) ssa.Value {
	for {
		a, ok := c.alias[v]
		if !ok {
			return v
		}
		v = a.of
	}
}
