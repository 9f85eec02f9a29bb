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
	rtype := rtypeOf(c.typeOf(deref(i.Type())))
	if i.Heap {
		return func(f *frame) { *(*unsafe.Pointer)(f.at(dst)) = unsafeNew(rtype) }
	}
	local := c.spare(i)
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
	dst, x := c.off(i), c.off(i.X)
	off := c.typeOf(deref(i.X.Type())).Field(i.Field).Offset
	return func(f *frame) {
		p := *(*unsafe.Pointer)(f.at(x))
		nilCheck(p)
		*(*unsafe.Pointer)(f.at(dst)) = unsafe.Add(p, off)
	}
}

func loadOf[T any](dst, addr uintptr) instruction {
	return func(f *frame) { *(*T)(f.at(dst)) = **(**T)(f.at(addr)) }
}

func (c *compiler) load(i *ssa.UnOp) instruction {
	if isLoopState(i.X) {
		return c.leaveLoop(i)
	}
	dst, addr, t := c.off(i), c.off(i.X), c.place(i).t
	switch shapeOf(t) {
	case shape8:
		return loadOf[uint8](dst, addr)
	case shape16:
		return loadOf[uint16](dst, addr)
	case shape32:
		return loadOf[uint32](dst, addr)
	case shape64:
		return loadOf[uint64](dst, addr)
	case shapePointer:
		return loadOf[unsafe.Pointer](dst, addr)
	case shapeString:
		return loadOf[string](dst, addr)
	}
	copy := copierOf(t)
	return func(f *frame) {
		p := *(*unsafe.Pointer)(f.at(addr))
		nilCheck(p)
		copy(f.at(dst), p)
	}
}

func storeOf[T any](addr, src uintptr) instruction {
	return func(f *frame) { **(**T)(f.at(addr)) = *(*T)(f.at(src)) }
}

func (c *compiler) store(i *ssa.Store) instruction {
	addr, src, t := c.off(i.Addr), c.off(i.Val), c.place(i.Val).t
	switch shapeOf(t) {
	case shape8:
		return storeOf[uint8](addr, src)
	case shape16:
		return storeOf[uint16](addr, src)
	case shape32:
		return storeOf[uint32](addr, src)
	case shape64:
		return storeOf[uint64](addr, src)
	case shapePointer:
		return storeOf[unsafe.Pointer](addr, src)
	case shapeString:
		return storeOf[string](addr, src)
	}
	copy := copierOf(t)
	return func(f *frame) {
		p := *(*unsafe.Pointer)(f.at(addr))
		nilCheck(p)
		copy(p, f.at(src))
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
