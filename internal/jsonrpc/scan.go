package jsonrpc

import (
	"bytes"
	"unicode/utf8"
)

// Scan calls field for each member of the JSON object in data, in order: key without its quotes, value as it stands. It
// is for the few small objects that make up most of the traffic, where encoding/json's several passes cost more than
// all else that is done with them. It reports false, perhaps after some calls, for anything unusual: then data is for
// encoding/json to judge. Values that are objects or arrays are not looked into beyond their brackets.
func Scan(data []byte, field func(key, value []byte) bool) bool {
	i := skipSpace(data, 0)
	if i == len(data) || data[i] != '{' {
		return false
	}
	if i = skipSpace(data, i+1); i < len(data) && data[i] == '}' {
		return skipSpace(data, i+1) == len(data)
	}
	for {
		keyEnd := skipString(data, i)
		if keyEnd < 0 {
			return false
		}
		key := data[i+1 : keyEnd-1]
		if i = skipSpace(data, keyEnd); i == len(data) || data[i] != ':' {
			return false
		}
		i = skipSpace(data, i+1)
		end := skipValue(data, i)
		if end < 0 || !field(key, data[i:end]) {
			return false
		}
		if i = skipSpace(data, end); i == len(data) {
			return false
		}
		switch data[i] {
		case ',':
			i = skipSpace(data, i+1)
		case '}':
			return skipSpace(data, i+1) == len(data)
		default:
			return false
		}
	}
}

// PlainString returns the text of a JSON string that holds no escapes; ok is false for any other value.
func PlainString(value []byte) (text []byte, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return nil, false
	}
	text = value[1 : len(value)-1]
	return text, bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text)
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\r' || data[i] == '\n') {
		i++
	}
	return i
}

// skipString returns the place behind the string that begins at i, or -1.
func skipString(data []byte, i int) int {
	if i >= len(data) || data[i] != '"' {
		return -1
	}
	for i++; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
		case c < ' ':
			return -1
		}
	}
	return -1
}

// skipValue returns the place behind the value that begins at i, or -1.
func skipValue(data []byte, i int) int {
	if i >= len(data) {
		return -1
	}
	switch c := data[i]; {
	case c == '"':
		return skipString(data, i)
	case c == '{', c == '[':
		return skipNested(data, i)
	case c == '-', '0' <= c && c <= '9':
		// An integer; other numbers are left to encoding/json.
		begin := i
		for i++; i < len(data) && '0' <= data[i] && data[i] <= '9'; i++ {
		}
		digits := data[begin:i]
		if digits[0] == '-' {
			digits = digits[1:]
		}
		if len(digits) == 0 || len(digits) > 1 && digits[0] == '0' {
			return -1
		}
		return i
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(data[i:], []byte(word)) {
			return i + len(word)
		}
	}
	return -1
}

func skipNested(data []byte, i int) int {
	for depth := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			end := skipString(data, i)
			if end < 0 {
				return -1
			}
			i = end - 1
		}
	}
	return -1
}
