package interp

import (
	"reflect"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// address is where a load or a store finds its variable. go/ssa computes the address of x.f or s[i] in instructions of
// their own; those that only lead to loads and stores are folded into these, which is quicker, and where compiled Go
// checks for nil and the index, too.
type address struct {
	base  uintptr // a register
	kind  addressKind
	off   uintptr // from there to the variable
	index uintptr // register of the index, an int
	size  uintptr // of the slice's elements
}

type addressKind int

const (
	pointed addressKind = iota // the register holds the address
	local                      // the register is the variable, or holds it
	element                    // the register is a slice
)

func (c *compiler) address(v ssa.Value) address {
	switch v := v.(type) {
	case *ssa.Alloc:
		if !v.Heap {
			return address{base: c.spare(v), kind: local}
		}
	case *ssa.FieldAddr:
		if c.folded[v] {
			a := c.address(v.X)
			a.add(c.typeOf(deref(v.X.Type())).Field(v.Field).Offset)
			return a
		}
	case *ssa.IndexAddr:
		if c.folded[v] {
			return address{
				base: c.off(v.X), kind: element, index: c.off(v.Index), size: c.typeOf(v.X.Type()).Elem().Size(),
			}
		}
	}
	return address{base: c.off(v)}
}

func (a *address) add(off uintptr) {
	if a.kind == local {
		a.base += off
	} else {
		a.off += off
	}
}

// fold finds the addresses to fold.
func (c *compiler) fold() {
	c.folded = map[ssa.Value]bool{}
	for _, b := range c.fn.ssa.Blocks {
		for n := len(b.Instrs) - 1; n >= 0; n-- { // what uses an address comes behind it
			switch i := b.Instrs[n].(type) {
			case *ssa.FieldAddr:
				c.folded[i] = c.onlyLeads(i, i.Referrers(), isLocal(i.X))
			case *ssa.IndexAddr:
				if t := c.typeOf(i.X.Type()); t.Kind() == reflect.Slice && c.typeOf(i.Index.Type()).Kind() == reflect.Int {
					c.folded[i] = c.onlyLeads(i, i.Referrers(), false)
				}
			}
		}
	}
}

func isLocal(v ssa.Value) bool {
	alloc := root(v)
	return alloc != nil && !alloc.Heap
}

// onlyLeads tells whether an address serves only to load and store. Unless it is that of a local variable, that must
// happen in the same block, since the author may rely on the checks; and the author must not have taken the address.
func (c *compiler) onlyLeads(addr ssa.Value, users *[]ssa.Instruction, anywhere bool) bool {
	used := false
	for _, user := range *users {
		switch user := user.(type) {
		case *ssa.DebugRef:
			if !user.IsAddr {
				return false
			}
			continue
		case *ssa.UnOp: // a load
		case *ssa.Store:
			if user.Val == addr {
				return false
			}
		case *ssa.FieldAddr:
			if !c.folded[user] {
				return false
			}
		default:
			return false
		}
		used = true
		if !anywhere && user.Block() != addr.(ssa.Instruction).Block() {
			return false
		}
	}
	return used
}

// needsAddress tells whether anything wants a local variable's address.
func (c *compiler) needsAddress(alloc *ssa.Alloc) bool {
	for _, user := range *alloc.Referrers() {
		switch user := user.(type) {
		case *ssa.DebugRef, *ssa.UnOp:
		case *ssa.Store:
			if user.Val == ssa.Value(alloc) {
				return true
			}
		case *ssa.FieldAddr:
			if !c.folded[user] {
				return true
			}
		default:
			return true
		}
	}
	return false
}

func (c *compiler) load(i *ssa.UnOp) instruction {
	if isLoopState(i.X) {
		return c.leaveLoop(i)
	}
	dst, t, a := c.off(i), c.place(i).t, c.address(i.X)
	if a.kind == local {
		return move(dst, a.base, t)
	}
	switch shapeOf(t) {
	case shape8:
		return loadOf[uint8](dst, a)
	case shape16:
		return loadOf[uint16](dst, a)
	case shape32:
		return loadOf[uint32](dst, a)
	case shape64:
		return loadOf[uint64](dst, a)
	case shapePointer:
		return loadOf[unsafe.Pointer](dst, a)
	case shapeString:
		return loadOf[string](dst, a)
	case shapeInterface:
		return loadOf[words](dst, a)
	case shapeSlice:
		return loadOf[[]byte](dst, a)
	}
	copy, find := copierOf(t), a.finder()
	return func(f *frame) { copy(f.at(dst), find(f)) }
}

func loadOf[T any](dst uintptr, a address) instruction {
	base, off, index, size := a.base, a.off, a.index, a.size
	switch {
	case a.kind == element:
		return func(f *frame) {
			*(*T)(f.at(dst)) = *(*T)(unsafe.Add((*header)(f.at(base)).at(*(*int)(f.at(index)), size), off))
		}
	case off == 0:
		return func(f *frame) { *(*T)(f.at(dst)) = **(**T)(f.at(base)) }
	case off < beyondFault:
		return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(unsafe.Add(*(*unsafe.Pointer)(f.at(base)), off)) }
	}
	find := a.finder()
	return func(f *frame) { *(*T)(f.at(dst)) = *(*T)(find(f)) }
}

func (c *compiler) store(i *ssa.Store) instruction {
	src, t, a := c.off(i.Val), c.place(i.Val).t, c.address(i.Addr)
	if a.kind == local {
		return move(a.base, src, t)
	}
	switch shapeOf(t) {
	case shape8:
		return storeOf[uint8](a, src)
	case shape16:
		return storeOf[uint16](a, src)
	case shape32:
		return storeOf[uint32](a, src)
	case shape64:
		return storeOf[uint64](a, src)
	case shapePointer:
		return storeOf[unsafe.Pointer](a, src)
	case shapeString:
		return storeOf[string](a, src)
	case shapeInterface:
		return storeOf[words](a, src)
	case shapeSlice:
		return storeOf[[]byte](a, src)
	}
	copy, find := copierOf(t), a.finder()
	return func(f *frame) { copy(find(f), f.at(src)) }
}

func storeOf[T any](a address, src uintptr) instruction {
	base, off, index, size := a.base, a.off, a.index, a.size
	switch {
	case a.kind == element:
		return func(f *frame) {
			*(*T)(unsafe.Add((*header)(f.at(base)).at(*(*int)(f.at(index)), size), off)) = *(*T)(f.at(src))
		}
	case off == 0:
		return func(f *frame) { **(**T)(f.at(base)) = *(*T)(f.at(src)) }
	case off < beyondFault:
		return func(f *frame) { *(*T)(unsafe.Add(*(*unsafe.Pointer)(f.at(base)), off)) = *(*T)(f.at(src)) }
	}
	find := a.finder()
	return func(f *frame) { *(*T)(find(f)) = *(*T)(f.at(src)) }
}

// finder computes an address that is not that of a local variable, with all checks.
func (a address) finder() func(f *frame) unsafe.Pointer {
	base, off, index, size := a.base, a.off, a.index, a.size
	if a.kind == element {
		return func(f *frame) unsafe.Pointer {
			return unsafe.Add((*header)(f.at(base)).at(*(*int)(f.at(index)), size), off)
		}
	}
	return func(f *frame) unsafe.Pointer {
		p := *(*unsafe.Pointer)(f.at(base))
		nilCheck(p)
		return unsafe.Add(p, off)
	}
}

// at is the address of an element.
func (s *header) at(i int, size uintptr) unsafe.Pointer {
	if uint(i) >= uint(s.len) {
		outOfRange(i, s.len)
	}
	return unsafe.Add(s.data, uintptr(i)*size)
}

// outOfRange panics as indexing does.
func outOfRange(i, n int) { _ = make([]struct{}, n)[i] }
