package interp

import (
	"go/types"
	"reflect"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/tools/go/ssa"
)

func (c *compiler) makeMap(i *ssa.MakeMap) instruction {
	dst, t := c.off(i), c.place(i).t
	size := func(*frame) int { return 0 }
	if i.Reserve != nil {
		size = intOf(c.place(i.Reserve))
	}
	return func(f *frame) {
		m := reflect.MakeMapWithSize(t, max(size(f), 0))
		*(*unsafe.Pointer)(f.at(dst)) = m.UnsafePointer()
	}
}

func (c *compiler) lookup(i *ssa.Lookup) instruction {
	dst, x, key := c.off(i), c.off(i.X), c.off(i.Index)
	t := c.place(i.X).t
	if t.Kind() == reflect.String {
		index := indexOf(c.place(i.Index))
		return func(f *frame) {
			s := *(*string)(f.at(x))
			*(*byte)(f.at(dst)) = s[index(f, len(s))]
		}
	}
	rtype, elem, copy := rtypeOf(t), rtypeOf(t.Elem()), copierOf(t.Elem())
	if !i.CommaOk {
		return func(f *frame) {
			if p := mapaccess(rtype, *(*unsafe.Pointer)(f.at(x)), f.at(key)); p != nil {
				copy(f.at(dst), p)
			} else {
				typedmemclr(elem, f.at(dst))
			}
		}
	}
	offs, _ := c.tupleOffsets(i.Type())
	value, found := dst+offs[0], dst+offs[1]
	return func(f *frame) {
		p := mapaccess(rtype, *(*unsafe.Pointer)(f.at(x)), f.at(key))
		*(*bool)(f.at(found)) = p != nil
		if p != nil {
			copy(f.at(value), p)
		} else {
			typedmemclr(elem, f.at(value))
		}
	}
}

func (c *compiler) mapUpdate(i *ssa.MapUpdate) instruction {
	m, key, value := c.off(i.Map), c.off(i.Key), c.off(i.Value)
	rtype := rtypeOf(c.place(i.Map).t)
	return func(f *frame) { mapassign(rtype, *(*unsafe.Pointer)(f.at(m)), f.at(key), f.at(value)) }
}

// mapWalk is the state of a range over a map, textWalk over a string.
type mapWalk struct{ iter *reflect.MapIter }

type textWalk struct {
	text string
	next int
}

func (c *compiler) rangeOver(i *ssa.Range) instruction {
	dst, x, t := c.off(i), c.off(i.X), c.place(i.X).t
	if t.Kind() == reflect.String {
		return func(f *frame) {
			*(*unsafe.Pointer)(f.at(dst)) = unsafe.Pointer(&textWalk{text: *(*string)(f.at(x))})
		}
	}
	return func(f *frame) {
		// The map itself, not the register: that may hold another by the time of the next step.
		m := reflect.New(t).Elem()
		m.Set(valueAt(t, f.at(x)))
		*(*unsafe.Pointer)(f.at(dst)) = unsafe.Pointer(&mapWalk{iter: m.MapRange()})
	}
}

func (c *compiler) next(i *ssa.Next) instruction {
	dst, iter := c.off(i), c.off(i.Iter)
	offs, _ := c.tupleOffsets(i.Type())
	more, key, value := dst+offs[0], dst+offs[1], dst+offs[2]
	wants := func(n int) bool {
		b, ok := i.Type().(*types.Tuple).At(n).Type().(*types.Basic)
		return !ok || b.Kind() != types.Invalid
	}
	wantKey, wantValue := wants(1), wants(2)
	if i.IsString {
		return func(f *frame) {
			w := *(**textWalk)(f.at(iter))
			if w.next >= len(w.text) {
				*(*bool)(f.at(more)) = false
				return
			}
			r, size := utf8.DecodeRuneInString(w.text[w.next:])
			*(*bool)(f.at(more)) = true
			if wantKey {
				*(*int)(f.at(key)) = w.next
			}
			if wantValue {
				*(*rune)(f.at(value)) = r
			}
			w.next += size
		}
	}
	m := under(i.Iter.(*ssa.Range).X.Type()).(*types.Map)
	keyType, valueType := c.typeOf(m.Key()), c.typeOf(m.Elem())
	return func(f *frame) {
		w := *(**mapWalk)(f.at(iter))
		if !w.iter.Next() {
			*(*bool)(f.at(more)) = false
			return
		}
		*(*bool)(f.at(more)) = true
		if wantKey {
			valueAt(keyType, f.at(key)).SetIterKey(w.iter)
		}
		if wantValue {
			valueAt(valueType, f.at(value)).SetIterValue(w.iter)
		}
	}
}
