package interp

import (
	"reflect"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// direct calls a compiled function of a frequent signature on the registers themselves, which is several times as quick as
// reflection. ret may be nil.
type direct func(f *frame, args []argument, ret unsafe.Pointer)

// directly is nil for functions of all other signatures.
func directly(fn reflect.Value, outs []uintptr) direct {
	switch fn := fn.Interface().(type) {
	case func() int:
		return direct0(fn)
	case func() time.Time:
		return direct0(fn)
	case func(int) int:
		return direct1(fn)
	case func(int) string:
		return direct1(fn)
	case func(float64) float64:
		return direct1(fn)
	case func(rune) bool:
		return direct1(fn)
	case func(string) string:
		return direct1(fn)
	case func(string) []string:
		return direct1(fn)
	case func(string) error:
		return direct1(fn)
	case func(...any) string: // its arguments are a slice already
		return direct1(func(args []any) string { return fn(args...) })
	case func(time.Time) time.Duration:
		return direct1(fn)
	case func(error) error:
		return direct1(fn)
	case func(error, error) bool:
		return direct2(fn)
	case func(error, any) bool:
		return direct2(fn)
	case func(float64, float64) float64:
		return direct2(fn)
	case func(string, string) bool:
		return direct2(fn)
	case func(string, string) int:
		return direct2(fn)
	case func(string, string) string:
		return direct2(fn)
	case func(string, string) []string:
		return direct2(fn)
	case func([]string, string) string:
		return direct2(fn)
	case func(string, ...any) string:
		return direct2(func(format string, args []any) string { return fn(format, args...) })
	case func(string, ...any) error:
		return direct2(func(format string, args []any) error { return fn(format, args...) })
	case func(string) (int, error):
		return directPair(fn, outs)
	case func(...any) (int, error):
		return directPair(func(args []any) (int, error) { return fn(args...) }, outs)
	case func(any) ([]byte, error):
		return directPair(fn, outs)
	case func(*strings.Builder) string:
		return direct1(fn)
	case func(*strings.Builder, byte) error:
		return direct2(fn)
	case func(*sync.Mutex):
		return directStep(fn)
	case func(*sync.RWMutex):
		return directStep(fn)
	case func(*sync.WaitGroup):
		return directStep(fn)
	}
	return nil
}

func argumentAt[T any](f *frame, args []argument, n int) T { return *(*T)(f.at(args[n].off)) }

func result[T any](ret unsafe.Pointer, value T) {
	if ret != nil {
		*(*T)(ret) = value
	}
}

func direct0[R any](fn func() R) direct {
	return func(f *frame, args []argument, ret unsafe.Pointer) { result(ret, fn()) }
}

func direct1[A, R any](fn func(A) R) direct {
	return func(f *frame, args []argument, ret unsafe.Pointer) { result(ret, fn(argumentAt[A](f, args, 0))) }
}

func direct2[A, B, R any](fn func(A, B) R) direct {
	return func(f *frame, args []argument, ret unsafe.Pointer) {
		result(ret, fn(argumentAt[A](f, args, 0), argumentAt[B](f, args, 1)))
	}
}

func directPair[A, R, S any](fn func(A) (R, S), outs []uintptr) direct {
	second := outs[1]
	return func(f *frame, args []argument, ret unsafe.Pointer) {
		r, s := fn(argumentAt[A](f, args, 0))
		if ret != nil {
			*(*R)(ret) = r
			*(*S)(unsafe.Add(ret, second)) = s
		}
	}
}

func directStep[A any](fn func(A)) direct {
	return func(f *frame, args []argument, ret unsafe.Pointer) { fn(argumentAt[A](f, args, 0)) }
}
