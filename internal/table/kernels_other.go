//go:build !amd64

package table

import "unsafe"

// equal has a bit for each of the first known cells of 64 that is w; the bits behind mean nothing.
func equal(values *[64]uint64, kinds *[64]cellKind, w cell, known int) uint64 {
	return equalGo(values[:known], kinds[:known], w)
}

// inside is the same for numbers from low to up.
func inside(values *[64]uint64, kinds *[64]cellKind, low, up float64, known int) uint64 {
	return insideGo((*[64]float64)(unsafe.Pointer(values))[:known], kinds[:known], low, up)
}
