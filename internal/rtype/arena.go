package rtype

import (
	"encoding/binary"
	"errors"
	"go/token"
	"sync"
	"unsafe"
)

// ErrFull is returned when the process has built more types or methods than there is room for.
var ErrFull = errors.New("too many types and methods were built in this process; restart it")

// arenaSize bounds the records of one process. A type with a few methods takes about half a kilobyte.
const arenaSize = 32 << 20

// arena is where the records live: memory that the operating system gives page by page as it is used, that the
// garbage collector neither scans nor frees, as is the memory in which the linker puts types. What the records point
// to is either of this kind too, or is kept alive by the runtime's table of offsets, by package reflect, which never
// forgets a type, or by keep.
var arena struct {
	sync.Mutex
	used  uintptr // bytes, a multiple of 8
	names map[nameKey]name
	keep  []any
}

// space is the arena's memory, in words, so that it is aligned for any record. It is a variable of its own because it
// holds no pointers in the eyes of the linker.
var space [arenaSize / 8]uint64

// reserve takes zeroed memory for a record.
func reserve(size uintptr) (unsafe.Pointer, error) {
	arena.Lock()
	defer arena.Unlock()
	if size > arenaSize-arena.used {
		return nil, ErrFull
	}
	at := arena.used
	arena.used += (size + 7) &^ 7
	return unsafe.Pointer(&space[at/8]), nil
}

// keep holds on to what a record points to and nobody else does.
func keep(v any) {
	arena.Lock()
	defer arena.Unlock()
	arena.keep = append(arena.keep, v)
}

// addReflectOff gives ptr an offset in the runtime's table, the same one each time, and keeps it alive.
//
//go:linkname addReflectOff reflect.addReflectOff
func addReflectOff(ptr unsafe.Pointer) int32

func typeOffset(h *header) offset           { return offset(addReflectOff(unsafe.Pointer(h))) }
func codeOffset(code unsafe.Pointer) offset { return offset(addReflectOff(code)) }
func nameOffset(n name) offset {
	if n.bytes == nil {
		return 0
	}
	return offset(addReflectOff(unsafe.Pointer(n.bytes)))
}

// name is a string in the form that the records use: a byte of nameFlags, the length as a varint, the text; then the
// tag in the same way, if there is one; then the offset of the package path's name, in four bytes, if there is one.
type name struct{ bytes *byte }

const (
	nameExported byte = 1 << iota
	nameTagged
	nameOfPackage
	nameEmbedded
)

type nameKey struct {
	text, tag, pkgPath string
	embedded           bool
}

// plainName is a name that is neither a field's nor a method's: a package path, a type's text.
func plainName(text string) name {
	if text == "" {
		return name{}
	}
	return makeName(nameKey{text: text})
}

// makeName returns the name for key; the same one for the same key, as types outlive the modules that declare them.
func makeName(key nameKey) name {
	arena.Lock()
	n, ok := arena.names[key]
	arena.Unlock()
	if ok {
		return n
	}
	var bits byte
	if token.IsExported(key.text) {
		bits |= nameExported
	}
	if key.embedded {
		bits |= nameEmbedded
	}
	b := binary.AppendUvarint([]byte{0}, uint64(len(key.text)))
	b = append(b, key.text...)
	if key.tag != "" {
		bits |= nameTagged
		b = binary.AppendUvarint(b, uint64(len(key.tag)))
		b = append(b, key.tag...)
	}
	if key.pkgPath != "" {
		bits |= nameOfPackage
		b = binary.NativeEndian.AppendUint32(b, uint32(nameOffset(plainName(key.pkgPath))))
	}
	b[0] = bits

	arena.Lock()
	defer arena.Unlock()
	if n, ok := arena.names[key]; ok {
		return n
	}
	if arena.names == nil {
		arena.names = map[nameKey]name{}
	}
	n = name{bytes: &b[0]}
	arena.names[key] = n
	return n
}

// String is the text of a name, without its tag.
func (n name) String() string {
	if n.bytes == nil {
		return ""
	}
	length, shift, at := 0, 0, 1
	for {
		b := *(*byte)(unsafe.Add(unsafe.Pointer(n.bytes), at))
		at++
		length |= int(b&0x7f) << shift
		shift += 7
		if b < 0x80 {
			break
		}
	}
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(n.bytes), at)), length)
}

// Used is how much of what cannot be freed this process has used up: entry points of methods, and bytes of records.
func Used() (methods int, bytes int) {
	arena.Lock()
	defer arena.Unlock()
	return int(taken.Load()), int(arena.used)
}

// Room is what a process has of them.
const (
	RoomMethods = entries
	RoomBytes   = arenaSize
)
