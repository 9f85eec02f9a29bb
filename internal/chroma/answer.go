package chroma

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"unicode/utf8"
)

// done is the answer of operations that have nothing to tell.
var done = struct{}{}

// answer writes a JSON value that is small.
func answer(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}

// writer writes JSON that can be large: it sends what it has whenever that is more than flushBytes, so that an answer
// never stands in memory as a whole.
type writer struct {
	to  io.Writer
	buf []byte
	err error // the first of writing
}

const flushBytes = 64 << 10

func (w *writer) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.to.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// raw writes JSON as it is.
func (w *writer) raw(text string) { w.buf = append(w.buf, text...) }

// list writes n values, separated.
func (w *writer) list(n int, value func(i int)) {
	w.buf = append(w.buf, '[')
	for i := range n {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		value(i)
		if len(w.buf) > flushBytes {
			w.flush()
		}
	}
	w.buf = append(w.buf, ']')
}

func (w *writer) float(f float64) { w.buf = appendFloat(w.buf, f, 32) }

func (w *writer) text(s string) { w.buf = appendText(w.buf, s) }

// optional writes a string, or null.
func (w *writer) optional(s *string) {
	if s == nil {
		w.raw("null")
		return
	}
	w.text(*s)
}

func (w *writer) vector(v []float32) {
	if v == nil {
		w.raw("null")
		return
	}
	w.buf = append(w.buf, '[')
	for i, f := range v {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = appendFloat(w.buf, float64(f), 32)
	}
	w.buf = append(w.buf, ']')
}

// metadata writes values of the four kinds that metadata have.
func (w *writer) metadata(m map[string]any) {
	w.buf = append(w.buf, '{')
	n := 0
	for key, value := range m {
		if n++; n > 1 {
			w.buf = append(w.buf, ',')
		}
		w.text(key)
		w.buf = append(w.buf, ':')
		switch v := value.(type) {
		case string:
			w.text(v)
		case int64:
			w.buf = strconv.AppendInt(w.buf, v, 10)
		case float64:
			w.buf = appendFloat(w.buf, v, 64)
		case bool:
			w.buf = strconv.AppendBool(w.buf, v)
		default:
			w.raw("null")
		}
	}
	w.buf = append(w.buf, '}')
}

// appendFloat writes a number of 32 or 64 bits such that it is read again as the same one, and as a float: 2.0, not 2.
// What is no number is null.
func appendFloat(b []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return append(strconv.AppendInt(b, int64(f), 10), ".0"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}

const hexDigits = "0123456789abcdef"

// appendText writes a string in quotes. Only what JSON asks for is escaped, and what is not UTF-8 is replaced.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
