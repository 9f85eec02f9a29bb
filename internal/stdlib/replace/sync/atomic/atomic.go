// Package atomic has what the interpreter runs in place of the standard library's generic type of that package. The
// generator of package stdlib embeds its text.
package atomic

import (
	"sync/atomic"
	"unsafe"
)

// Pointer is atomic.Pointer.
type Pointer[T any] struct {
	_ [0]*T // keeps apart pointers to different types
	_ struct{}
	v unsafe.Pointer
}

// Load is atomic.Pointer's.
func (x *Pointer[T]) Load() *T { return (*T)(atomic.LoadPointer(&x.v)) }

// Store is atomic.Pointer's.
func (x *Pointer[T]) Store(val *T) { atomic.StorePointer(&x.v, unsafe.Pointer(val)) }

// Swap is atomic.Pointer's.
func (x *Pointer[T]) Swap(new *T) (old *T) {
	return (*T)(atomic.SwapPointer(&x.v, unsafe.Pointer(new)))
}

// CompareAndSwap is atomic.Pointer's.
func (x *Pointer[T]) CompareAndSwap(old, new *T) (swapped bool) {
	return atomic.CompareAndSwapPointer(&x.v, unsafe.Pointer(old), unsafe.Pointer(new))
}
