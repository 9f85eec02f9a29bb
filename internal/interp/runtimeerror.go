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
	// Codes of boundsError.
	toArray uint8 // conversion of a slice to a longer array
	beyond  uint8 // a third index beyond an array
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
	zero := 0
	text := provoked(func() { zero = 1 / zero })
	e.bounds, e.text = reflect.TypeOf(bounds), reflect.TypeOf(text)
	if e.bounds.Kind() != reflect.Struct || e.bounds.Size() != unsafe.Sizeof(boundsError{}) || e.text.Kind() != reflect.String {
		return e, false
	}
	e.toArray = codeOf(bounds)
	three := 3
	limit := provoked(func() { _ = new([2]int)[:1:three] })
	if reflect.TypeOf(limit) != e.bounds {
		return e, false
	}
	e.beyond = codeOf(limit)
	return e, e.conversion(1, 2).Error() == bounds.Error() && e.limit(3, 2).Error() == limit.Error() &&
		e.textual("integer divide by zero").Error() == text.Error()
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

// limit is the error of slicing an array of length n with a third index that is beyond it.
func (e runtimeErrors) limit(index, n int) runtime.Error {
	return e.outOfBounds(boundsError{int64(index), n, true, e.beyond})
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
