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

// reader reads a JSON text that is wholly in memory, token by token, into what the caller expects. It exists because a
// request can be a hundred megabytes of numbers, which encoding/json looks at twice and through reflection.
//
// Two kinds of mistakes are kept apart, as Chroma does: text that is no JSON (a syntaxError, answered with 400), and JSON
// that is not what the operation takes (a typeError, answered with 422).
type reader struct {
	data  []byte
	at    int
	depth int
}

// maxDepth is how deep arrays and objects may be nested.
const maxDepth = 128

type syntaxError struct {
	text string
	at   int
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.text, e.at) }

type typeError struct{ text string }

func (e *typeError) Error() string { return e.text }

func (r *reader) syntax(format string, args ...any) error {
	return &syntaxError{fmt.Sprintf(format, args...), r.at}
}

// wrong says what stands at the reader's place instead of what is expected there.
func (r *reader) wrong(expected string) error {
	c, err := r.peek()
	if err != nil {
		return err
	}
	if probe := *r; c == 't' || c == 'f' || c == 'n' {
		if err := probe.skip(); err != nil {
			return err
		}
	}
	kind := "a number"
	switch c {
	case '{':
		kind = "an object"
	case '[':
		kind = "an array"
	case '"':
		kind = "a string"
	case 't', 'f':
		kind = "a boolean"
	case 'n':
		kind = "null"
	default:
		if c != '-' && (c < '0' || c > '9') {
			return r.syntax("expected value")
		}
	}
	return &typeError{fmt.Sprintf("invalid type: %s, expected %s at byte %d", kind, expected, r.at)}
}

func (r *reader) space() {
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// peek returns the first byte of the next token.
func (r *reader) peek() (byte, error) {
	r.space()
	if r.at == len(r.data) {
		return 0, r.syntax("EOF while parsing a value")
	}
	return r.data[r.at], nil
}

// end checks that nothing follows.
func (r *reader) end() error {
	if r.space(); r.at < len(r.data) {
		return r.syntax("trailing characters")
	}
	return nil
}

// null passes over null and reports whether it stood there.
func (r *reader) null() (bool, error) {
	c, err := r.peek()
	if err != nil || c != 'n' {
		return false, err
	}
	return true, r.literal("null")
}

func (r *reader) literal(word string) error {
	if len(r.data)-r.at < len(word) || string(r.data[r.at:r.at+len(word)]) != word {
		return r.syntax("expected ident")
	}
	r.at += len(word)
	return nil
}

func (r *reader) enter() error {
	if r.depth++; r.depth > maxDepth {
		return r.syntax("recursion limit exceeded")
	}
	r.at++
	return nil
}

// object calls field with each key; field reads the value.
func (r *reader) object(expected string, field func(key string) error) error {
	if c, err := r.peek(); err != nil {
		return err
	} else if c != '{' {
		return r.wrong(expected)
	}
	if err := r.enter(); err != nil {
		return err
	}
	for n := 0; ; n++ {
		c, err := r.peek()
		if err != nil {
			return err
		}
		if c == '}' && n == 0 {
			break
		}
		if c != '"' {
			return r.syntax("key must be a string")
		}
		key, err := r.text("a string")
		if err != nil {
			return err
		}
		if c, err = r.peek(); err != nil {
			return err
		} else if c != ':' {
			return r.syntax("expected `:`")
		}
		r.at++
		if err := field(key); err != nil {
			return err
		}
		if c, err = r.peek(); err != nil {
			return err
		}
		if c == '}' {
			break
		}
		if c != ',' {
			return r.syntax("expected `,` or `}`")
		}
		r.at++
	}
	r.at++
	r.depth--
	return nil
}

// array calls element before each element; element reads it.
func (r *reader) array(expected string, element func() error) error {
	if c, err := r.peek(); err != nil {
		return err
	} else if c != '[' {
		return r.wrong(expected)
	}
	if err := r.enter(); err != nil {
		return err
	}
	for n := 0; ; n++ {
		c, err := r.peek()
		if err != nil {
			return err
		}
		if c == ']' && n == 0 {
			break
		}
		if err := element(); err != nil {
			return err
		}
		if c, err = r.peek(); err != nil {
			return err
		}
		if c == ']' {
			break
		}
		if c != ',' {
			return r.syntax("expected `,` or `]`")
		}
		r.at++
	}
	r.at++
	r.depth--
	return nil
}

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

// member is one key and value of an object.
type member struct {
	key   string
	value any
}

// value reads anything: nil, bool, int64, float64 (what is no int64), string, []any or []member.
func (r *reader) value() (any, error) {
	c, err := r.peek()
	if err != nil {
		return nil, err
	}
	switch c {
	case '{':
		members := []member{}
		err := r.object("", func(key string) error {
			v, err := r.value()
			members = append(members, member{key, v})
			return err
		})
		return members, err
	case '[':
		list := []any{}
		err := r.array("", func() error {
			v, err := r.value()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		return r.text("")
	case 't', 'f':
		return r.boolean()
	case 'n':
		return nil, r.literal("null")
	}
	digits, integer, err := r.number("value")
	if err != nil {
		return nil, err
	}
	if integer {
		if n, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
			return n, nil
		}
	}
	return r.parseFloat(digits)
}

// skip passes over anything.
func (r *reader) skip() error {
	c, err := r.peek()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return r.object("", func(string) error { return r.skip() })
	case '[':
		return r.array("", r.skip)
	}
	_, err = r.value()
	return err
}

// between returns the text of the next value, whatever it is.
func (r *reader) between() ([]byte, error) {
	r.space()
	start := r.at
	if err := r.skip(); err != nil {
		return nil, err
	}
	return r.data[start:r.at], nil
}

// required reads an object in which one string must be.
func (r *reader) required(field string) (value string, err error) {
	there := false
	err = r.object("an object", func(key string) (err error) {
		if key != field {
			return r.skip()
		}
		there = true
		value, err = r.text("a string")
		return err
	})
	if err == nil && !there {
		err = missing(field)
	}
	return value, err
}

func missing(field string) error { return &typeError{"missing field `" + field + "`"} }
