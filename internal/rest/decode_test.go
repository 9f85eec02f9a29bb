package rest

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// TestQueriesCanBeRead: each field of each route's query is of a type that is read.
func TestQueriesCanBeRead(t *testing.T) {
	for _, r := range routes() {
		if r.Query == nil {
			continue
		}
		query := reflect.New(r.Query).Elem()
		for i := range query.NumField() {
			if err := setField(query.Field(i), []string{""}); err != nil && strings.Contains(err.Error(), "no way to read") {
				t.Errorf("%s %s: %v", r.Method, r.Path, err)
			}
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, text := range []string{"", "limit=3&oldest", "since=2026-11-21T00:00:00Z", "limit=-1", "limit=1&limit=2", "%zz", "a;b", "vectors=x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var q recordsQuery
		if err := decodeQuery(raw, &q); err != nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		if q.Limit < 0 || q.Offset < 0 {
			t.Errorf("%q: %+v", raw, q)
		}
	})
}

func FuzzBody(f *testing.F) {
	for _, text := range []string{`{}`, `{"text":"x","headers":{"a":"b"}}`, "{\n\"txt\":1}", `{"text":1}`, `{} {}`, `[`, "null", `{"deadline":"x"}`, "\xff{"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var m NewMessage
		if err := decodeBody(strings.NewReader(string(body)), &m); err != nil && !errors.Is(err, api.ErrInvalid) {
			t.Errorf("%q: %v", body, err)
		}
	})
}
