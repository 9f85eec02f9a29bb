//go:build !amd64 && !arm64

package rtype

import "unsafe"

// No entry points have been written for this processor: types can be built, but not their methods. Check says so.
const entries = 0

var closures [entries]unsafe.Pointer

func entryPoint(int) unsafe.Pointer { return nil }

func forwardBase() unsafe.Pointer { return nil }
