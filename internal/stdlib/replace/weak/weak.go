// Package weak is what the interpreter runs in place of the standard library's package of that name, whose source reaches
// into the runtime. The generator of package stdlib embeds its text.
package weak

import (
	"unsafe"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/native"
)

// Pointer is weak.Pointer.
type Pointer[T any] struct {
	_ [0]*T // keeps apart pointers to different types
	u unsafe.Pointer
}

// Make is weak.Make.
func Make[T any](ptr *T) Pointer[T] {
	if ptr == nil {
		return Pointer[T]{}
	}
	return Pointer[T]{u: native.WeakMake(unsafe.Pointer(ptr))}
}

// Value is weak.Pointer's.
func (p Pointer[T]) Value() *T {
	if p.u == nil {
		return nil
	}
	return (*T)(native.WeakValue(p.u))
}
