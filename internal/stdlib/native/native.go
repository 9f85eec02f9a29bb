// Package native is what the interpreter's own sources of standard library generics need from compiled code.
//
// A generic function cannot be handed over as a value, so the interpreter runs the standard library's generics from
// source. Some of them reach into the runtime: coroutines, weak pointers, cleanups. For these the folder replace has
// sources that do the typed part, and call the functions here, which are free of type parameters, for the rest.
// Values cross as unsafe.Pointer: the address of a variable that holds them.
//
// Only those sources import this package; modules cannot.
package native

import (
	"crypto/hkdf"
	"crypto/pbkdf2"
	"hash"
	"hash/maphash"
	"iter"
	"reflect"
	"runtime"
	"unsafe"
	"weak"
)

// Pull is iter.Pull: the very coroutines of compiled code, with their panics.
func Pull(seq iter.Seq[unsafe.Pointer]) (next func() (unsafe.Pointer, bool), stop func()) {
	return iter.Pull(seq)
}

// Pull2 is iter.Pull2.
func Pull2(seq iter.Seq2[unsafe.Pointer, unsafe.Pointer]) (next func() (k, v unsafe.Pointer, ok bool), stop func()) {
	return iter.Pull2(seq)
}

// WeakMake returns the word that a weak.Pointer to p holds.
func WeakMake(p unsafe.Pointer) unsafe.Pointer {
	w := weak.Make((*byte)(p))
	return *(*unsafe.Pointer)(unsafe.Pointer(&w)) // its only field that has a size
}

// WeakValue returns the pointer that a word from WeakMake stands for, or nil once nothing else holds it.
func WeakValue(word unsafe.Pointer) unsafe.Pointer {
	var w weak.Pointer[byte]
	*(*unsafe.Pointer)(unsafe.Pointer(&w)) = word
	return unsafe.Pointer(w.Value())
}

// AddCleanup is runtime.AddCleanup: cleanup, which has arg bound, runs once the variable at p is out of reach.
func AddCleanup(p unsafe.Pointer, cleanup func(), arg any) runtime.Cleanup {
	if p == nil {
		panic("runtime.AddCleanup: ptr is nil")
	}
	if v := reflect.ValueOf(arg); v.Kind() == reflect.Pointer || v.Kind() == reflect.UnsafePointer {
		if v.UnsafePointer() == p {
			panic("runtime.AddCleanup: ptr is equal to arg, cleanup will never run")
		}
	}
	return runtime.AddCleanup((*byte)(p), func(cleanup func()) { cleanup() }, cleanup)
}

// HashComparable is maphash.Comparable of the value in v.
func HashComparable(seed maphash.Seed, v any) uint64 { return maphash.Comparable(seed, v) }

// WriteComparable is maphash.WriteComparable of the value in v.
func WriteComparable(h *maphash.Hash, v any) { maphash.WriteComparable(h, v) }

// HKDFExtract is hkdf.Extract.
func HKDFExtract(h func() hash.Hash, secret, salt []byte) ([]byte, error) {
	return hkdf.Extract(h, secret, salt)
}

// HKDFExpand is hkdf.Expand.
func HKDFExpand(h func() hash.Hash, key []byte, info string, length int) ([]byte, error) {
	return hkdf.Expand(h, key, info, length)
}

// HKDFKey is hkdf.Key.
func HKDFKey(h func() hash.Hash, secret, salt []byte, info string, length int) ([]byte, error) {
	return hkdf.Key(h, secret, salt, info, length)
}

// PBKDF2Key is pbkdf2.Key.
func PBKDF2Key(h func() hash.Hash, password string, salt []byte, iterations, length int) ([]byte, error) {
	return pbkdf2.Key(h, password, salt, iterations, length)
}
