package interp

import (
	"fmt"
	"go/token"
	"go/types"
	"reflect"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

// instruction compiles one SSA instruction. It is nil for those that do nothing when they run.
func (c *compiler) instruction(i ssa.Instruction) instruction {
	switch i := i.(type) {
	case *ssa.Alloc:
		return c.alloc(i)
	case *ssa.BinOp:
		return c.binary(i)
	case *ssa.Call:
		return c.call(i)
	case *ssa.ChangeInterface:
		return c.changeInterface(i)
	case *ssa.Convert:
		return c.convert(i)
	case *ssa.MultiConvert:
		return c.multiConvert(i)
	case *ssa.Defer:
		return c.deferCall(i)
	case *ssa.Extract:
		return nil
	case *ssa.FieldAddr:
		return c.fieldAddr(i)
	case *ssa.Go:
		return c.goCall(i)
	case *ssa.Index:
		return c.index(i)
	case *ssa.IndexAddr:
		return c.indexAddr(i)
	case *ssa.Lookup:
		return c.lookup(i)
	case *ssa.MakeChan:
		return c.makeChan(i)
	case *ssa.MakeClosure:
		return c.makeClosure(i)
	case *ssa.MakeInterface:
		return c.makeInterface(i)
	case *ssa.MakeMap:
		return c.makeMap(i)
	case *ssa.MakeSlice:
		return c.makeSlice(i)
	case *ssa.MapUpdate:
		return c.mapUpdate(i)
	case *ssa.Next:
		return c.next(i)
	case *ssa.Panic:
		if do := c.misuse(i); do != nil {
			return do
		}
		x := c.off(i.X)
		return func(f *frame) { panic(*(*any)(f.at(x))) }
	case *ssa.Range:
		return c.rangeOver(i)
	case *ssa.Return:
		return c.returns(i)
	case *ssa.RunDefers:
		return func(f *frame) {
			f.runDefers()
			f.rethrow()
		}
	case *ssa.Select:
		return c.selects(i)
	case *ssa.Send:
		return c.send(i)
	case *ssa.Slice:
		return c.slice(i)
	case *ssa.SliceToArrayPointer:
		return c.sliceToArrayPointer(i)
	case *ssa.Store:
		return c.store(i)
	case *ssa.TypeAssert:
		return c.typeAssert(i)
	case *ssa.UnOp:
		return c.unary(i)
	}
	panic(&buildError{text: fmt.Sprintf("instruction %T", i)})
}

func (c *compiler) alloc(i *ssa.Alloc) instruction {
	dst := c.off(i)
	t := c.typeOf(deref(i.Type()))
	rtype := rtypeOf(t)
	if i.Comment == "makeslice" && beyondMemory(1, t.Size()) {
		return nil // slicing it panics
	}
	if i.Heap {
		return func(f *frame) { *(*unsafe.Pointer)(f.at(dst)) = unsafeNew(rtype) }
	}
	local := c.spare(i)
	if !c.needsAddress(i) {
		return func(f *frame) { typedmemclr(rtype, f.at(local)) }
	}
	return func(f *frame) {
		p := f.at(local)
		typedmemclr(rtype, p)
		*(*unsafe.Pointer)(f.at(dst)) = p
	}
}

func (c *compiler) returns(i *ssa.Return) instruction {
	type result struct {
		src, off uintptr
		copy     copier
	}
	var results []result
	for n, r := range i.Results {
		p := c.place(r)
		results = append(results, result{p.off, c.fn.resultOffs[n], p.copy})
	}
	switch len(results) {
	case 0:
		return nil
	case 1:
		src, copy := results[0].src, results[0].copy
		return func(f *frame) {
			if f.ret != nil {
				copy(f.ret, f.at(src))
			}
		}
	}
	return func(f *frame) {
		if f.ret == nil {
			return
		}
		for _, r := range results {
			r.copy(unsafe.Add(f.ret, r.off), f.at(r.src))
		}
	}
}

// nilCheck panics as the hardware would, with the runtime's own error.
func nilCheck(p unsafe.Pointer) {
	if p == nil {
		_ = *(*byte)(p)
	}
}

func (c *compiler) fieldAddr(i *ssa.FieldAddr) instruction {
	if c.folded[i] {
		return nil
	}
	dst := c.off(i)
	off := c.typeOf(deref(i.X.Type())).Field(i.Field).Offset
	switch a := c.address(i.X); a.kind {
	case local:
		return func(f *frame) { *(*unsafe.Pointer)(f.at(dst)) = f.at(a.base + off) }
	case element:
		panic(&buildError{text: "the address of a field in a folded address"})
	}
	x := c.off(i.X)
	return func(f *frame) {
		p := *(*unsafe.Pointer)(f.at(x))
		nilCheck(p)
		*(*unsafe.Pointer)(f.at(dst)) = unsafe.Add(p, off)
	}
}

func (c *compiler) unary(i *ssa.UnOp) instruction {
	dst, x := c.off(i), c.off(i.X)
	switch i.Op {
	case token.MUL:
		return c.load(i)
	case token.ARROW:
		return c.receive(i)
	case token.NOT:
		return func(f *frame) { *(*bool)(f.at(dst)) = !*(*bool)(f.at(x)) }
	}
	return arithmeticFor(c.place(i).t.Kind()).unary(i.Op, dst, x)
}

// elemOf is the element type of a slice, array, pointer to array, channel or map.
func elemOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Elem()
}

// under is the type that decides what operations mean.
func under(t types.Type) types.Type { return t.Underlying() }
