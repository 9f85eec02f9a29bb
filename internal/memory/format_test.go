package memory

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// The files in testdata/format1 were made by the coma that had format 1: a memory and its two backups.

// format1 is what they hold, in the order of adding.
func format1(t *testing.T) []entry {
	var want []entry
	for i, text := range []string{"soil 0", "soil 1", "soil 2", "", "soil 4", "soil 5"} {
		if i == 3 {
			continue // was deleted
		}
		vectors, err := Hashing(4).Embed(t.Context(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, entry{Record: api.Record{ID: "id" + string(rune('0'+i)), Text: text, Time: start, Vector: vectors[0],
			Metadata: api.Metadata{"i": int64(i), "f": 2.5, "s": "日本", "b": i%2 == 0}}})
	}
	return append(want, entry{Record: api.Record{ID: "empty", Time: start}, nullText: true},
		entry{Record: api.Record{ID: "vector", Vector: []float32{1, 2, 3, 4}, Time: start.Add(-1000 * time.Second)}, nullText: true})
}

func TestFormat1(t *testing.T) {
	m := model{entries: format1(t)}
	check := func(t *testing.T, s *Store) {
		t.Helper()
		sel := api.Selection{Vectors: true}
		if got, want := get(t, s, sel), m.get(sel); !slices.EqualFunc(got, want, equalRecords) {
			t.Errorf("got %v\nwant %v", got, want)
		}
		items, err := s.Items(t.Context(), ItemSelection{IDs: []string{"empty", "vector"}})
		if err != nil || len(items) != 2 || items[0].Document != nil || items[0].Metadata != nil || items[0].URI != nil {
			t.Errorf("items %+v, %v", items, err)
		}
	}
	t.Run("file", func(t *testing.T) {
		old, err := os.ReadFile(filepath.Join("testdata", "format1", "format1.db"))
		if err != nil {
			t.Fatal(err)
		}
		path := temp(t)
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, Options{Embedder: Hashing(4)})
		check(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if now, err := os.ReadFile(path); err != nil || !slices.Equal(now, old) {
			t.Errorf("a file that was only read has changed: %v", err)
		}
		// The first write makes it one of format 2.
		for range 2 {
			s = open(t, path, Options{Embedder: Hashing(4)})
			document := ""
			if err := s.WriteItems(t.Context(), UpsertItems, []Item{{ID: "id0", Document: &document}}); err != nil {
				t.Fatal(err)
			}
			m.entries[0].Text = ""
			check(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if v := versionOf(t, path); v != diskVersion {
				t.Errorf("the file has version %d", v)
			}
		}
		m.entries[0].Text = "soil 0"
	})
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			s := open(t, temp(t), Options{Embedder: Hashing(4)})
			header, err := s.RestoreFile(t.Context(), filepath.Join("testdata", "format1", "format1."+string(format)), RestoreOptions{})
			if err != nil || header.Version != 1 || header.Records != len(m.entries) {
				t.Fatalf("%+v, %v", header, err)
			}
			// Backups of version 1 are in the order of time.
			slices.SortStableFunc(m.entries, func(a, b entry) int { return a.Time.Compare(b.Time) })
			check(t, s)
			m.entries = format1(t)
		})
	}
}

func versionOf(t *testing.T, path string) (version int) {
	t.Helper()
	d, err := openDisk(path, diskOptions{readOnly: true, timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = d.view(func(h diskHeader, _ *bbolt.Tx) error {
		version = h.Version
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	return version
}
