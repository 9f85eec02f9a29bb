package interp

import (
	"reflect"
	"runtime"
	"unsafe"
)

// Errors of the runtime whose panics cannot be provoked from here with the numbers or words that are needed. They are
// made from like ones that can be: recover tells such an error's type, and its memory is then filled in.

// runtimeErrors makes errors of the runtime's own types.
type runtimeErrors struct {
	bounds reflect.Type // runtime.boundsError
	text   reflect.Type // runtime.errorString
	plains reflect.Type // runtime.plainError
	// Codes of boundsError.
	toArray           uint8      // conversion of a slice to a longer array
	ofArray, ofSlice  sliceCodes // what is sliced
	low               uint8      // the first bound is beyond the second
	fullLow, fullHigh uint8      // that, and the second beyond the third
}

// sliceCodes are the codes of bounds that are beyond what is sliced: an array or string, whose length is told, or a slice,
// whose capacity is.
type sliceCodes struct {
	high  uint8 // in x[:high]
	limit uint8 // in x[::limit]
}

// boundsError has the layout of runtime.boundsError.
type boundsError struct {
	x      int64
	y      int
	signed bool
	code   uint8
}

// newRuntimeErrors finds out what the runtime's errors are. ok is false if they are not as this package knows them.
func newRuntimeErrors() (e runtimeErrors, ok bool) {
	short := make([]int, 1)
	bounds := provoked(func() { _ = [2]int(short) })
	zero, one, three := 0, 1, 3
	text := provoked(func() { zero = 1 / zero })
	plain := provoked(func() { close((chan int)(nil)) })
	e.bounds, e.text, e.plains = reflect.TypeOf(bounds), reflect.TypeOf(text), reflect.TypeOf(plain)
	if e.bounds.Kind() != reflect.Struct || e.bounds.Size() != unsafe.Sizeof(boundsError{}) ||
		e.text.Kind() != reflect.String || e.plains.Kind() != reflect.String {
		return e, false
	}
	ok = true
	code := func(slip func()) uint8 {
		err := provoked(slip)
		if reflect.TypeOf(err) != e.bounds {
			ok = false
			return 0
		}
		return codeOf(err)
	}
	array := new([2]int)
	e.toArray = codeOf(bounds)
	e.ofArray = sliceCodes{high: code(func() { _ = array[:three] }), limit: code(func() { _ = array[:1:three] })}
	e.ofSlice = sliceCodes{high: code(func() { _ = short[:three] }), limit: code(func() { _ = short[:1:three] })}
	e.low = code(func() { _ = array[one:zero] })
	e.fullLow, e.fullHigh = code(func() { _ = array[one:zero:2] }), code(func() { _ = array[:one:zero] })
	return e, ok && e.conversion(1, 2).Error() == bounds.Error() &&
		e.textual("integer divide by zero").Error() == text.Error() && e.plain("close of nil channel").Error() == plain.Error()
}

// provoked is the error that f panics with.
func provoked(f func()) (err runtime.Error) {
	defer func() { err, _ = recover().(runtime.Error) }()
	f()
	return nil
}

func codeOf(err error) uint8 { return (*boundsError)((*words)(unsafe.Pointer(&err)).data).code }

// conversion is the error of converting a slice to a longer array.
func (e runtimeErrors) conversion(have, want int) runtime.Error {
	return e.outOfBounds(boundsError{int64(want), have, true, e.toArray})
}

// makeSlice is the error of making a slice of n elements, of a size in bytes, that cannot be had with the capacity asked for.
func (e runtimeErrors) makeSlice(n int, size uintptr) runtime.Error {
	if n < 0 || beyondMemory(n, size) {
		return e.textual("makeslice: len out of range")
	}
	return e.textual("makeslice: cap out of range")
}

func (e runtimeErrors) outOfBounds(b boundsError) runtime.Error {
	v := reflect.New(e.bounds)
	*(*boundsError)(v.UnsafePointer()) = b
	return v.Elem().Interface().(runtime.Error)
}

// textual is an error whose text is "runtime error: " and the given one.
func (e runtimeErrors) textual(text string) runtime.Error {
	v := reflect.New(e.text).Elem()
	v.SetString(text)
	return v.Interface().(runtime.Error)
}

// plain is an error of the runtime whose text is the given one.
func (e runtimeErrors) plain(text string) runtime.Error {
	v := reflect.New(e.plains).Elem()
	v.SetString(text)
	return v.Interface().(runtime.Error)
}

// missingPanic is the error of a range over a function that has recovered a panic of the loop's body.
func (e runtimeErrors) missingPanic() error {
	return e.textual("range function recovered a loop body panic and did not resume panicking")
}

// continued is the error of a yield function that is called when it must not be, in the given state of its loop.
func (e runtimeErrors) continued(state int) error {
	const text = "range function continued iteration after "
	switch state {
	case loopBusy:
		return e.textual(text + "loop body panic")
	case loopOver:
		return e.textual(text + "whole loop exit")
	}
	return e.textual(text + "function for loop body returned false")
}
