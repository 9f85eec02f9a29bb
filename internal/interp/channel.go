package interp

import (
	"go/types"
	"reflect"
	"runtime"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

func (c *compiler) makeChan(i *ssa.MakeChan) instruction {
	dst, size := c.off(i), intOf(c.place(i.Size))
	t := c.place(i).t
	if t.ChanDir() != reflect.BothDir {
		t = reflect.ChanOf(reflect.BothDir, t.Elem())
	}
	return func(f *frame) {
		n := size(f)
		if n < 0 {
			_ = make(chan struct{}, n) // the runtime's panic
		}
		*(*unsafe.Pointer)(f.at(dst)) = reflect.MakeChan(t, n).UnsafePointer()
	}
}

func (c *compiler) receive(i *ssa.UnOp) instruction {
	dst, ch := c.off(i), c.off(i.X)
	value, okAt := dst, uintptr(0)
	if i.CommaOk {
		offs, _ := c.tupleOffsets(i.Type())
		value, okAt = dst+offs[0], dst+offs[1]
	}
	t := c.typeOf(i.X.Type())
	return func(f *frame) {
		received := f.t.receive(t, *(*unsafe.Pointer)(f.at(ch)), f.at(value))
		if i.CommaOk {
			*(*bool)(f.at(okAt)) = received
		}
	}
}

func (t *thread) receive(chanType reflect.Type, ch, into unsafe.Pointer) (received bool) {
	if !t.p.interruptible {
		_, received = chanrecv(ch, false, into)
		return received
	}
	if ch != nil {
		if selected, received := chanrecv(ch, true, into); selected {
			return received
		}
	}
	chosen, v, received := reflect.Select([]reflect.SelectCase{
		{Dir: reflect.SelectRecv, Chan: valueAt(chanType, unsafe.Pointer(&ch))}, t.p.haltCase(),
	})
	if chosen == 1 {
		runtime.Goexit()
	}
	valueAt(chanType.Elem(), into).Set(v)
	return received
}

func (c *compiler) send(i *ssa.Send) instruction {
	ch, x := c.off(i.Chan), c.off(i.X)
	t := c.typeOf(i.Chan.Type())
	return func(f *frame) { f.t.send(t, *(*unsafe.Pointer)(f.at(ch)), f.at(x)) }
}

func (t *thread) send(chanType reflect.Type, ch, value unsafe.Pointer) {
	if !t.p.interruptible {
		chansend(ch, value, false)
		return
	}
	if ch != nil && chansend(ch, value, true) {
		return
	}
	chosen, _, _ := reflect.Select([]reflect.SelectCase{
		{Dir: reflect.SelectSend, Chan: valueAt(chanType, unsafe.Pointer(&ch)), Send: valueAt(chanType.Elem(), value)}, t.p.haltCase(),
	})
	if chosen == 1 {
		runtime.Goexit()
	}
}

func (c *compiler) selects(i *ssa.Select) instruction {
	type state struct {
		dir      types.ChanDir
		ch, send uintptr
		t        reflect.Type
		into     uintptr // where a received value goes
	}
	dst := c.off(i)
	offs, _ := c.tupleOffsets(i.Type())
	var states []state
	received := 0
	for _, s := range i.States {
		st := state{dir: s.Dir, ch: c.off(s.Chan), t: c.typeOf(s.Chan.Type())}
		if s.Dir == types.SendOnly {
			st.send = c.off(s.Send)
		} else {
			st.into = dst + offs[2+received]
			received++
		}
		states = append(states, st)
	}
	index, ok := dst+offs[0], dst+offs[1]
	return func(f *frame) {
		cases := make([]reflect.SelectCase, len(states), len(states)+1)
		for n, s := range states {
			cases[n].Chan = valueAt(s.t, f.at(s.ch))
			if s.dir == types.SendOnly {
				cases[n].Dir, cases[n].Send = reflect.SelectSend, valueAt(s.t.Elem(), f.at(s.send))
			} else {
				cases[n].Dir = reflect.SelectRecv
			}
		}
		switch {
		case !i.Blocking:
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectDefault})
		case f.t.p.interruptible:
			cases = append(cases, f.t.p.haltCase())
		}
		chosen, value, received := reflect.Select(cases)
		if chosen == len(states) {
			if i.Blocking {
				runtime.Goexit()
			}
			chosen = -1
		}
		*(*int)(f.at(index)) = chosen
		*(*bool)(f.at(ok)) = received
		for n, s := range states {
			if s.dir == types.SendOnly {
				continue
			}
			if n == chosen {
				valueAt(s.t.Elem(), f.at(s.into)).Set(value)
			} else {
				valueAt(s.t.Elem(), f.at(s.into)).SetZero()
			}
		}
	}
}
