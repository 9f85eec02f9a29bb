package native

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"unsafe"
)

// Sort is slices.Sort of the n values at p, which are of the type of like.
func Sort(p unsafe.Pointer, n int, like any) {
	switch kind := reflect.TypeOf(like).Kind(); kind {
	case reflect.Int:
		sort[int](p, n)
	case reflect.Int8:
		sort[int8](p, n)
	case reflect.Int16:
		sort[int16](p, n)
	case reflect.Int32:
		sort[int32](p, n)
	case reflect.Int64:
		sort[int64](p, n)
	case reflect.Uint:
		sort[uint](p, n)
	case reflect.Uint8:
		sort[uint8](p, n)
	case reflect.Uint16:
		sort[uint16](p, n)
	case reflect.Uint32:
		sort[uint32](p, n)
	case reflect.Uint64:
		sort[uint64](p, n)
	case reflect.Uintptr:
		sort[uintptr](p, n)
	case reflect.Float32:
		sort[float32](p, n)
	case reflect.Float64:
		sort[float64](p, n)
	case reflect.String:
		sort[string](p, n)
	default:
		panic(fmt.Sprintf("sort: %s has no order", kind)) // cmp.Ordered has no other
	}
}

func sort[E cmp.Ordered](p unsafe.Pointer, n int) { slices.Sort(unsafe.Slice((*E)(p), n)) }
