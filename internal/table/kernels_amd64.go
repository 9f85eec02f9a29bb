package table

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

var fast = cpu.X86.HasAVX2

// equal has a bit for each of the first known cells of 64 that is w; the bits behind mean nothing.
func equal(values *[64]uint64, kinds *[64]cellKind, w cell, known int) uint64 {
	if fast {
		return equalAVX2(values, kinds, w.bits, w.kind)
	}
	return equalGo(values[:known], kinds[:known], w)
}

// inside is the same for numbers from low to up.
func inside(values *[64]uint64, kinds *[64]cellKind, low, up float64, known int) uint64 {
	floats := (*[64]float64)(unsafe.Pointer(values)) // what number cells hold
	if fast {
		return insideAVX2(floats, kinds, low, up, number)
	}
	return insideGo(floats[:known], kinds[:known], low, up)
}

//go:noescape
func equalAVX2(values *[64]uint64, kinds *[64]cellKind, want uint64, kind cellKind) uint64

//go:noescape
func insideAVX2(values *[64]float64, kinds *[64]cellKind, low, up float64, kind cellKind) uint64
