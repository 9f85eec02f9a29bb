package memory

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// FuzzRestore reads backups without a store around, which would be too slow; TestDamagedBackups has one. Where seal is
// set, the input is the lines before the end, and gets an end that fits: else no changed input would pass the checksum.
func FuzzRestore(f *testing.F) {
	s, _ := damageSource(f)
	for _, format := range formats {
		whole := backup(f, s, format)
		f.Add(whole, false)
		f.Add(whole[:len(whole)/2], false)
	}
	lines := unzip(f, backup(f, s, JSONLines))
	f.Add([]byte(lines[:strings.Index(lines, `{"records":2`)]), true)
	f.Add([]byte(`{"memory":{"format":"coma-memory","version":1,"records":1},"records":[{"id":"a"}],"end":{}}`), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			sum := sha256.Sum256(data)
			data = fmt.Appendf(bytes.Clone(data), `{"records":%d,"sha256":"%x"}`, max(0, bytes.Count(data, []byte("\n"))-1), sum)
			data = zip(t, string(data))
		}
		first, err := readBackup(t, data)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) && !errors.Is(err, api.ErrTooLarge) {
				t.Error(err)
			}
			return
		}
		if len(first.records) != first.header.Records {
			t.Fatalf("%d records of %d", len(first.records), first.header.Records)
		}
		var b bytes.Buffer
		if err := writeDocument(t.Context(), &b, first.header, first.records); err != nil {
			t.Fatal(err)
		}
		second, err := readBackup(t, b.Bytes())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		for i, r := range second.records {
			if !equalRecords(r.Record, first.records[i].Record) {
				t.Errorf("got %+v, want %+v", r, first.records[i])
			}
		}
	})
}

func readBackup(t *testing.T, data []byte) (*backupReader, error) {
	b := &backupReader{limit: 1 << 20, sum: sha256.New(), ids: make(map[string]bool)}
	return b, b.read(t.Context(), bytes.NewReader(data))
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
