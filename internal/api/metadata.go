package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Metadata are a record's keys and values: text, integers, floats (int64 and float64 in Go) and booleans. JSON has one kind
// of number; here a float is always written with a point or an exponent, so that integers and floats come back as what they
// were.
type Metadata map[string]any

// number is a float64 that keeps its point in JSON.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, fmt.Errorf("metadata value %v: %w: JSON has no such number", f, ErrInvalid)
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return []byte(text), nil
}

// MarshalJSON implements json.Marshaler.
func (m Metadata) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	plain := make(map[string]any, len(m))
	for key, value := range m {
		switch f := value.(type) {
		case float64:
			value = number(f)
		case float32:
			value = number(f)
		}
		plain[key] = value
	}
	return json.Marshal(plain)
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Metadata) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var plain map[string]any
	if err := decoder.Decode(&plain); err != nil {
		return err
	}
	for key, value := range plain {
		n, ok := value.(json.Number)
		if !ok {
			continue
		}
		if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			plain[key] = i
			continue
		}
		f, err := n.Float64()
		if err != nil {
			return fmt.Errorf("metadata value of %q: %w", key, err)
		}
		plain[key] = f
	}
	*m = plain
	return nil
}
