// Package slices has what the interpreter runs in place of generics of the standard library for the sake of speed. The
// generator of package stdlib embeds its text.
package slices

import (
	"cmp"
	"unsafe"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/native"
)

// Sort is slices.Sort. No code of the module runs during it, and ordered values are the same if their memory is: so the
// standard library's own can sort it, as a slice of the underlying type.
func Sort[S ~[]E, E cmp.Ordered](x S) {
	var kind E
	native.Sort(unsafe.Pointer(unsafe.SliceData(x)), len(x), kind)
}
