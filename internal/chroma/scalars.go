package chroma

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string.
func (r *reader) text(expected string) (string, error) {
	raw, escaped, err := r.raw(expected)
	if err != nil {
		return "", err
	}
	if escaped {
		return r.unescape(raw)
	}
	if !utf8.Valid(raw) {
		return "", r.syntax("invalid unicode code point")
	}
	return string(raw), nil
}

// raw reads a string and returns it as it stands between its quotes.
func (r *reader) raw(expected string) (raw []byte, escaped bool, err error) {
	if c, err := r.peek(); err != nil {
		return nil, false, err
	} else if c != '"' {
		return nil, false, r.wrong(expected)
	}
	start := r.at + 1
	for i := start; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			r.at = i + 1
			return r.data[start:i], escaped, nil
		case c == '\\':
			escaped = true
			i++
		case c < 0x20:
			r.at = i
			return nil, false, r.syntax("control character found while parsing a string")
		}
	}
	r.at = len(r.data)
	return nil, false, r.syntax("EOF while parsing a string")
}

func (r *reader) unescape(raw []byte) (string, error) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case '"', '\\', '/':
			out = append(out, raw[i])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			c, ok := hex4(raw[i+1:])
			if !ok {
				return "", r.syntax("invalid escape")
			}
			i += 4
			if utf16.IsSurrogate(c) {
				rest, second := bytes.CutPrefix(raw[i+1:], []byte(`\u`))
				low, ok := hex4(rest)
				if c = utf16.DecodeRune(c, low); !second || !ok || c == utf8.RuneError {
					return "", r.syntax("lone surrogate in hex escape")
				}
				i += 6
			}
			out = utf8.AppendRune(out, c)
		default:
			return "", r.syntax("invalid escape")
		}
	}
	if !utf8.Valid(out) {
		return "", r.syntax("invalid unicode code point")
	}
	return string(out), nil
}

func hex4(digits []byte) (rune, bool) {
	if len(digits) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(n), err == nil
}

// number returns the bytes of a number, and whether it is written as an integer.
func (r *reader) number(expected string) (digits []byte, integer bool, err error) {
	c, err := r.peek()
	if err != nil {
		return nil, false, err
	}
	if c != '-' && (c < '0' || c > '9') {
		return nil, false, r.wrong(expected)
	}
	d, i := r.data, r.at
	if d[i] == '-' {
		i++
	}
	run := func() bool {
		start := i
		for i < len(d) && d[i] >= '0' && d[i] <= '9' {
			i++
		}
		return i > start
	}
	first := i
	ok, integer := run(), true
	if ok && d[first] == '0' && i > first+1 {
		ok = false // no leading zeros
	}
	if ok && i < len(d) && d[i] == '.' {
		i++
		ok, integer = run(), false
	}
	if ok && i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		if i++; i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		ok, integer = run(), false
	}
	if !ok {
		r.at = i
		return nil, false, r.syntax("invalid number")
	}
	digits = d[r.at:i]
	r.at = i
	return digits, integer, nil
}

// float reads a number as a float64.
func (r *reader) float(expected string) (float64, error) {
	digits, _, err := r.number(expected)
	if err != nil {
		return 0, err
	}
	return r.parseFloat(digits)
}

func (r *reader) parseFloat(digits []byte) (float64, error) {
	f, err := strconv.ParseFloat(string(digits), 64)
	if errors.Is(err, strconv.ErrRange) && math.IsInf(f, 0) {
		return 0, r.syntax("number out of range")
	}
	return f, nil
}

// whole reads an integer from 0 to the largest of 32 bits.
func (r *reader) whole() (int, error) {
	const expected = "a 32-bit integer that is not negative"
	at := r.at
	digits, integer, err := r.number(expected)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(digits), 10, 32)
	if !integer || err != nil {
		return 0, &typeError{fmt.Sprintf("invalid value: %s, expected %s at byte %d", digits, expected, at)}
	}
	return int(n), nil
}

func (r *reader) boolean() (bool, error) {
	switch c, err := r.peek(); {
	case err != nil:
		return false, err
	case c == 't':
		return true, r.literal("true")
	case c == 'f':
		return false, r.literal("false")
	}
	return false, r.wrong("a boolean")
}
