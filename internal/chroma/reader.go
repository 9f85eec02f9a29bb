package chroma

import (
	"fmt"
	"strconv"
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
	return r.group('{', '}', expected, func() error {
		if c, err := r.peek(); err != nil {
			return err
		} else if c != '"' {
			return r.syntax("key must be a string")
		}
		key, err := r.text("a string")
		if err != nil {
			return err
		}
		if c, err := r.peek(); err != nil {
			return err
		} else if c != ':' {
			return r.syntax("expected `:`")
		}
		r.at++
		return field(key)
	})
}

// array calls element before each element; element reads it.
func (r *reader) array(expected string, element func() error) error {
	return r.group('[', ']', expected, element)
}

// group calls part before each of the parts, with commas between them, that begin and end enclose; part reads it.
func (r *reader) group(begin, end byte, expected string, part func() error) error {
	if c, err := r.peek(); err != nil {
		return err
	} else if c != begin {
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
		if c == end && n == 0 {
			break
		}
		if err := part(); err != nil {
			return err
		}
		if c, err = r.peek(); err != nil {
			return err
		}
		if c == end {
			break
		}
		if c != ',' {
			return r.syntax("expected `,` or `%c`", end)
		}
		r.at++
	}
	r.at++
	r.depth--
	return nil
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
