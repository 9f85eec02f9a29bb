package table

import "math/bits"

// mask is a bit for each slot of a block.
type mask [blockSlots / 64]uint64

func (m *mask) has(i int) bool { return m[i>>6]>>(i&63)&1 != 0 }
func (m *mask) set(i int)      { m[i>>6] |= 1 << (i & 63) }
func (m *mask) unset(i int)    { m[i>>6] &^= 1 << (i & 63) }

func (m *mask) empty() bool {
	for _, w := range m {
		if w != 0 {
			return false
		}
	}
	return true
}

func (m *mask) count() int {
	n := 0
	for _, w := range m {
		n += bits.OnesCount64(w)
	}
	return n
}

// and keeps the bits that o has, too.
func (m *mask) and(o *mask) {
	for i := range m {
		m[i] &= o[i]
	}
}

// add takes in the bits of o.
func (m *mask) add(o *mask) {
	for i := range m {
		m[i] |= o[i]
	}
}

// drop removes the bits of o.
func (m *mask) drop(o *mask) {
	for i := range m {
		m[i] &^= o[i]
	}
}

// each calls f with every bit that is set.
func (m *mask) each(f func(i int)) {
	for n, w := range m {
		for ; w != 0; w &= w - 1 {
			f(64*n + bits.TrailingZeros64(w))
		}
	}
}
