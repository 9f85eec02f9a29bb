package memory

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// metadata returns a copy of m with values of the four kinds; nil where m is empty.
func metadata(m map[string]any) (map[string]any, error) {
	if len(m) == 0 {
		return nil, nil
	}
	if len(m) > maxMetadataKeys {
		return nil, fmt.Errorf("metadata has %d keys, more than %d: %w", len(m), maxMetadataKeys, api.ErrTooLarge)
	}
	out := make(map[string]any, len(m))
	for key, v := range m {
		plain, err := table.Value(v)
		if err != nil {
			return nil, fmt.Errorf("metadata %q: %w", key, err)
		}
		out[key] = plain
	}
	return out, nil
}

// checkMetadata checks the bounds of what metadata made, or of what was read.
func checkMetadata(m map[string]any) error {
	size := 0
	for key, v := range m {
		size += len(key)
		if key == "" {
			return fmt.Errorf("metadata has an empty key: %w", api.ErrInvalid)
		}
		if !utf8.ValidString(key) {
			return fmt.Errorf("metadata %q: key is not valid UTF-8: %w", key, api.ErrInvalid)
		}
		switch v := v.(type) {
		case string:
			if !utf8.ValidString(v) {
				return fmt.Errorf("metadata %q: is not valid UTF-8: %w", key, api.ErrInvalid)
			}
			size += len(v)
		case float64:
			if v-v != 0 {
				return fmt.Errorf("metadata %q: is %v, which is no number: %w", key, v, api.ErrInvalid)
			}
		}
	}
	if size > maxMetadataBytes {
		return fmt.Errorf("metadata has %d bytes, more than %d: %w", size, maxMetadataBytes, api.ErrTooLarge)
	}
	return nil
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// timeIn returns the time that metadata hold under key as a number of seconds since 1970; zero where they hold none.
func timeIn(m map[string]any, key string) time.Time {
	if key == "" {
		return time.Time{}
	}
	var seconds float64
	switch v := m[key].(type) {
	case int64:
		seconds = float64(v)
	case float64:
		seconds = v
	default:
		return time.Time{}
	}
	t := time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC()
	if math.Abs(seconds) > 1e12 || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{} // a number of something else
	}
	return t
}

// secondsOf is a time as metadata hold it.
func secondsOf(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// withTime returns m with time t under key, where it has another time there; else m itself.
func withTime(m map[string]any, key string, t time.Time) map[string]any {
	if has := timeIn(m, key); has.IsZero() || has.Equal(t) {
		return m
	}
	m = maps.Clone(m)
	m[key] = secondsOf(t)
	return m
}
