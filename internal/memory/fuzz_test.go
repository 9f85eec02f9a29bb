package memory

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
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
	f.Add([]byte(lines[:strings.LastIndex(lines, `{"records":`)]), true)
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
		if len(first.rows) != first.header.Records {
			t.Fatalf("%d records of %d", len(first.rows), first.header.Records)
		}
		var b bytes.Buffer
		content := backupContent{header: first.header, rows: slices.Values(first.rows), refs: first.refs}
		content.header.Version = backupVersion
		if err := writeDocument(t.Context(), &b, content); err != nil {
			t.Fatal(err)
		}
		second, err := readBackup(t, b.Bytes())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !slices.EqualFunc(second.rows, first.rows, equalRows) || !maps.Equal(second.refs, first.refs) {
			t.Errorf("got %+v, want %+v", second, first)
		}
	})
}

// read is what a backup says.
type read struct {
	header Header
	rows   []*table.Row
	refs   map[uint64]uint64
}

func readBackup(t *testing.T, data []byte) (read, error) {
	r := read{refs: make(map[uint64]uint64)}
	b := newBackupReader(1<<20, func(row *table.Row, references uint64) error {
		r.rows = append(r.rows, row)
		if row.Seq = uint64(len(r.rows)); references > 0 {
			r.refs[row.Seq] = references
		}
		return nil
	})
	err := b.read(t.Context(), bytes.NewReader(data))
	r.header = b.header
	return r, err
}

func FuzzDecodeRecord(f *testing.F) {
	for i, r := range odd() {
		if i != 9 { // the long one
			f.Add(encodeRecord(&table.Row{Record: r}))
		}
	}
	uri := "file:///a"
	for _, r := range []*table.Row{{URI: &uri}, {NoText: true, NoMetadata: true}, {Record: api.Record{Expires: start}, NoText: true}} {
		r.ID, r.Time = "a", start
		f.Add(encodeRecord(r))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(sealed(bytes.Clone(data)))
		if err != nil {
			return
		}
		again, err := decodeRecord(encodeRecord(r))
		if err != nil || !equalRows(again, r) {
			t.Errorf("got %+v, want %+v: %v", again, r, err)
		}
	})
}
