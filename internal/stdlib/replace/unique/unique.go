// Package unique is what the interpreter runs in place of the standard library's package of that name, whose source reaches
// into the runtime. The generator of package stdlib embeds its text.
package unique

import (
	"unsafe"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/native"
)

// Handle is unique.Handle.
type Handle[T comparable] struct {
	value *T
}

// Value is unique.Handle's.
func (h Handle[T]) Value() T { return *h.value }

// Make is unique.Make.
func Make[T comparable](value T) Handle[T] {
	box := new(T)
	if unsafe.Sizeof(value) == 0 {
		return Handle[T]{box} // the address is the same for all
	}
	*box = value
	return Handle[T]{(*T)(native.Unique(key[T]{value}, unsafe.Pointer(box)))}
}

// key keeps apart equal values of an interface type and of the type in it.
type key[T comparable] struct{ value T }
