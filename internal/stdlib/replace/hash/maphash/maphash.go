// Package maphash has what the interpreter runs in place of generics of the standard library whose own source reaches into
// the runtime. The generator of package stdlib embeds its text.
package maphash

import (
	"hash/maphash"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/native"
)

// Comparable is maphash.Comparable.
func Comparable[T comparable](seed maphash.Seed, v T) uint64 {
	return native.HashComparable(seed, v)
}

// WriteComparable is maphash.WriteComparable.
func WriteComparable[T comparable](h *maphash.Hash, x T) { native.WriteComparable(h, x) }
