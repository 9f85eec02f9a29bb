package native

import (
	"runtime"
	"sync"
	"unsafe"
	"weak"
)

// canon holds, for each value that interpreted code made unique, the variable that stands for it. The process has one
// such table, as it has one for compiled code: handles of equal values must be equal wherever they were made. An entry
// goes when nothing holds its variable any more.
var canon struct {
	sync.Mutex
	entries map[any]weak.Pointer[byte]
}

// Unique returns the address of the one variable that stands for value: box, which holds a copy of value and which
// nobody writes to, unless an earlier one is still in use.
func Unique(value any, box unsafe.Pointer) unsafe.Pointer {
	canon.Lock()
	defer canon.Unlock()
	if entry, ok := canon.entries[value]; ok {
		if known := entry.Value(); known != nil {
			return unsafe.Pointer(known)
		}
	}
	if canon.entries == nil {
		canon.entries = make(map[any]weak.Pointer[byte])
	}
	entry := weak.Make((*byte)(box))
	canon.entries[value] = entry
	runtime.AddCleanup((*byte)(box), func(value any) { forget(value, entry) }, value)
	return box
}

// forget drops value's entry unless a later variable took its place.
func forget(value any, entry weak.Pointer[byte]) {
	canon.Lock()
	defer canon.Unlock()
	if canon.entries[value] == entry {
		delete(canon.entries, value)
	}
}
