package memory

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func FuzzRestore(f *testing.F) {
	s, _ := damageSource(f)
	for _, format := range formats {
		whole := backup(f, s, format)
		f.Add(whole)
		f.Add(whole[:len(whole)/2])
	}
	f.Add([]byte(`{"memory":{"format":"coma-memory","version":1,"records":1},"records":[{"id":"a"}],"end":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		target := open(t, temp(t), Options{Embedder: Hashing(2)})
		add(t, target, api.Record{ID: "before"})
		header, err := target.Restore(t.Context(), bytes.NewReader(data), RestoreOptions{Replace: true, MaxBytes: 1 << 20})
		records := get(t, target, api.Selection{Vectors: true})
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) && !errors.Is(err, api.ErrTooLarge) {
				t.Error(err)
			}
			if len(records) != 1 || records[0].ID != "before" {
				t.Errorf("half restored: %v", records)
			}
			return
		}
		if len(records) != header.Records {
			t.Fatalf("%d records of %d", len(records), header.Records)
		}
		again := open(t, temp(t), Options{Embedder: Hashing(2)})
		if _, err := again.Restore(t.Context(), bytes.NewReader(backup(t, target, JSONLines)), RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := get(t, again, api.Selection{Vectors: true}); !slices.EqualFunc(got, records, equalRecords) {
			t.Errorf("got %v, want %v", got, records)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`{"op":"eq","key":"k","value":2}`, `{"op":"in","key":"k","value":[1,"a",true,null,{}]}`,
		`{"op":"and","filters":[{"op":"contains","value":"x"},{"op":"lt","key":"f","value":1e308}]}`, `{"op":"gt","key":"s","value":"a"}`} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	records := []*record{
		{Record: api.Record{}},
		{Record: api.Record{Text: "x", Metadata: api.Metadata{"k": int64(2), "f": 2.5, "s": "b", "b": true}}},
	}
	f.Fuzz(func(t *testing.T, data []byte, numbers bool) {
		var filter api.Filter
		dec := json.NewDecoder(bytes.NewReader(data))
		if numbers {
			dec.UseNumber()
		}
		if dec.Decode(&filter) != nil {
			return
		}
		matches, err := compile(&filter)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Error(err)
			}
			return
		}
		opposite := map[string]string{"eq": "ne", "ne": "eq", "in": "nin", "nin": "in", "contains": "notcontains", "notcontains": "contains"}
		for _, r := range records {
			got := matches(r)
			if op := opposite[filter.Op]; op != "" {
				other := filter
				other.Op = op
				if not, err := compile(&other); err != nil || not(r) == got {
					t.Errorf("%s and %s agree on %+v: %v", filter.Op, op, r, err)
				}
			}
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	for i, r := range odd() {
		if i != 9 { // the long one
			f.Add(encodeRecord(&record{Record: r}))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(sealed(bytes.Clone(data)))
		if err != nil {
			return
		}
		again, err := decodeRecord(encodeRecord(r))
		if err != nil || !equalRecords(again.Record, r.Record) {
			t.Errorf("got %+v, want %+v: %v", again, r, err)
		}
	})
}
