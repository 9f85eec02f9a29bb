package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// maxBody is the size of a request's body: a few times the largest message, for records with their vectors.
const maxBody = 64 << 20

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", api.ErrInvalid, fmt.Errorf(format, args...))
}

// bodyError is an error of whoever lets a body in, and says how the request is answered: the body is late, or there is no room
// for it.
type bodyError interface {
	error
	HTTPStatus() int
}

// decodeBody reads a body, which must be one JSON object without unknown fields.
func decodeBody(body io.Reader, into any) error {
	text, err := io.ReadAll(body)
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return fmt.Errorf("body: %w: at most %d bytes", api.ErrTooLarge, large.Limit)
	}
	if told := bodyError(nil); errors.As(err, &told) {
		return fmt.Errorf("read body: %w", err)
	}
	if err != nil {
		return invalid("read body: %w", err)
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '{' {
		return invalid("body: want a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return invalid("body%s: %s", place(text, err, decoder.InputOffset()), strings.TrimPrefix(err.Error(), "json: "))
	}
	if rest := bytes.TrimSpace(text[decoder.InputOffset():]); len(rest) > 0 {
		return invalid("body%s: there is something behind the object", place(text, nil, decoder.InputOffset()))
	}
	return nil
}

// place says where in a body an error is, as ", line 2, column 5".
func place(text []byte, err error, offset int64) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	before := text[:min(max(offset, 0), int64(len(text)))]
	return fmt.Sprintf(", line %d, column %d", bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n'))
}

// decodeQuery reads a query into a struct, whose fields it names as JSON would.
func decodeQuery(raw string, into any) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return invalid("query: %w", err)
	}
	target := reflect.ValueOf(into).Elem()
	for i := range target.NumField() {
		name, _, _ := strings.Cut(target.Type().Field(i).Tag.Get("json"), ",")
		given, ok := values[name]
		delete(values, name)
		if !ok {
			continue
		}
		if err := setField(target.Field(i), given); err != nil {
			return invalid("query: %s=%s: %w", name, strings.Join(given, ","), err)
		}
	}
	for name := range values {
		return invalid("query: there is no parameter %q here", name)
	}
	return nil
}

// setField sets a field of a query to what is given for it; a list takes several.
func setField(field reflect.Value, given []string) error {
	if list, ok := field.Addr().Interface().(*[]string); ok {
		*list = given
		return nil
	}
	if len(given) > 1 {
		return errors.New("it is given more than once")
	}
	text := given[0]
	var err error
	switch target := field.Addr().Interface().(type) {
	case *string:
		*target = text
	case *bool:
		if *target = true; text != "" { // "?all" says so too
			*target, err = strconv.ParseBool(text)
		}
	case *int:
		if *target, err = strconv.Atoi(text); err == nil && *target < 0 {
			err = errors.New("want 0 or more")
		}
	case *time.Time:
		*target, err = time.Parse(time.RFC3339Nano, text)
	case *time.Duration:
		if *target, err = time.ParseDuration(text); err == nil && *target < 0 {
			err = errors.New("want 0 or more")
		}
	default:
		err = fmt.Errorf("no way to read a %s", field.Type()) // found by the test that reads all queries
	}
	return err
}
