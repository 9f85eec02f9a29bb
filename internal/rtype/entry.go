//go:build amd64 || arm64

package rtype

import "unsafe"

// entries is the number of methods that compiled code can call, over the life of the process.
const entries = 32768

// closures holds, for each entry point, the closure that it runs: a pointer to a func value's code and context. The
// code at an entry point reads its own element and nothing else, so an element is written before the address of its
// entry point is given away.
var closures [entries]unsafe.Pointer

// entryPoints is the code of all entry points, entrySize bytes each. It is never called by this name.
func entryPoints()

// entryBase is the address of the first entry point.
func entryBase() unsafe.Pointer

// forward is code, and never called by this name; forwardBase is its address.
func forward()
func forwardBase() unsafe.Pointer

func entryPoint(i int) unsafe.Pointer { return unsafe.Add(entryBase(), i*entrySize) }
