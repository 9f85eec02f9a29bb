// Package iter has what the interpreter runs in place of generics of the standard library whose own source reaches into
// the runtime. The generator of package stdlib embeds its text.
package iter

import (
	"iter"
	"unsafe"

	"github.com/concurrent-modular-agent/coma/internal/stdlib/native"
)

// Pull is iter.Pull.
func Pull[V any](seq iter.Seq[V]) (next func() (V, bool), stop func()) {
	pull, stop := native.Pull(func(yield func(unsafe.Pointer) bool) {
		seq(func(v V) bool { return yield(unsafe.Pointer(&v)) })
	})
	return func() (V, bool) {
		p, ok := pull()
		if !ok {
			var none V
			return none, false
		}
		return *(*V)(p), true
	}, stop
}

// Pull2 is iter.Pull2.
func Pull2[K, V any](seq iter.Seq2[K, V]) (next func() (K, V, bool), stop func()) {
	pull, stop := native.Pull2(func(yield func(k, v unsafe.Pointer) bool) {
		seq(func(k K, v V) bool { return yield(unsafe.Pointer(&k), unsafe.Pointer(&v)) })
	})
	return func() (K, V, bool) {
		k, v, ok := pull()
		if !ok {
			var noKey K
			var none V
			return noKey, none, false
		}
		return *(*K)(k), *(*V)(v), true
	}, stop
}
