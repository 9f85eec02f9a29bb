package table

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Value makes one of the four kinds of metadata of what Go code and JSON hold: string, int64, float64, bool.
// A json.Number is an int64 if it is written as one (2), else a float64 (2.0, 2e0). Errors wrap api.ErrInvalid and begin with "is".
func Value(v any) (any, error) {
	switch v := v.(type) {
	case string, bool, int64:
		return v, nil
	case float64:
		return v, finite(v)
	case json.Number:
		if strings.ContainsAny(string(v), ".eE") {
			f, err := v.Float64()
			if err != nil {
				return nil, fmt.Errorf("%s is no number that fits a float64: %w", v, api.ErrInvalid)
			}
			return f, finite(f)
		}
		i, err := v.Int64()
		if err != nil {
			return nil, fmt.Errorf("%s is no number that fits an int64 (write it with a point as a float64): %w", v, api.ErrInvalid)
		}
		return i, nil
	}
	switch r := reflect.ValueOf(v); {
	case !r.IsValid():
		return nil, fmt.Errorf("is null, not a string, number or bool: %w", api.ErrInvalid)
	case r.CanInt():
		return r.Int(), nil
	case r.CanUint():
		if u := r.Uint(); u <= math.MaxInt64 {
			return int64(u), nil
		}
		return nil, fmt.Errorf("%d does not fit an int64: %w", v, api.ErrInvalid)
	case r.CanFloat():
		return r.Float(), finite(r.Float())
	case r.Kind() == reflect.String:
		return r.String(), nil
	case r.Kind() == reflect.Bool:
		return r.Bool(), nil
	}
	kind := fmt.Sprintf("a %T", v)
	switch v.(type) {
	case []any: // what JSON's list or object becomes
		kind = "a list"
	case map[string]any:
		kind = "an object"
	}
	return nil, fmt.Errorf("is %s, not a string, number or bool: %w", kind, api.ErrInvalid)
}

func finite(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("is %v, which is no number: %w", f, api.ErrInvalid)
	}
	return nil
}

// plain is the form of a value in which equal values are equal in Go: numbers by value, so that a float64 that is a
// whole number in reach of int64 becomes one.
func plain(v any) any {
	if f, ok := v.(float64); ok && f == math.Trunc(f) && f >= -1<<63 && f < 1<<63 {
		return int64(f)
	}
	return v
}

// order compares two plain values; ok is false where they have no order: different kinds, or bools.
// Numbers are compared exactly, also where a float64 could not hold the int64.
func order(a, b any) (c int, ok bool) {
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return strings.Compare(a, b), ok
	case int64:
		switch b := b.(type) {
		case int64:
			return compareNumbers(a, b), true
		case float64:
			return compareMixed(a, b), true
		}
	case float64:
		switch b := b.(type) {
		case int64:
			return -compareMixed(b, a), true
		case float64:
			return compareNumbers(a, b), true
		}
	}
	return 0, false
}

func compareNumbers[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compareMixed compares an int64 with a float64 that is no int64: it has a fraction, or is out of reach.
func compareMixed(i int64, f float64) int {
	switch {
	case f >= 1<<63:
		return -1
	case f < -1<<63:
		return 1
	case i <= int64(math.Floor(f)):
		return -1
	}
	return 1
}
