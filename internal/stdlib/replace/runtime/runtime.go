// Package runtime has what the interpreter runs in place of generics of the standard library whose own source reaches into
// the runtime. The generator of package stdlib embeds its text.
package runtime

import (
	"runtime"
	"unsafe"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/native"
)

// AddCleanup is runtime.AddCleanup.
func AddCleanup[T, S any](ptr *T, cleanup func(S), arg S) runtime.Cleanup {
	return native.AddCleanup(unsafe.Pointer(ptr), func() { cleanup(arg) }, arg)
}
