package memory

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// TestDamagedFile damages a memory's file in many ways. Opening it may fail, with the path in the error, or succeed where
// the damage is in a part that is not in use; it must not panic, and must not show a record that was never stored.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	whole := storedFile(t, filepath.Join(dir, "whole.db"))
	path := filepath.Join(dir, "damaged.db")
	refused, opened := 0, 0
	try := func(what string, damaged []byte) {
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		infos, err := List(dir)
		if err != nil || len(infos) != 2 {
			t.Fatalf("%s: list: %v, %v", what, infos, err)
		}
		s, err := Open(path, Options{Embedder: Hashing(4)})
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("%s: %v", what, err)
			}
			return
		}
		opened++
		for _, r := range get(t, s, api.Selection{}) {
			if !strings.HasPrefix(r.Text, r.ID+" ") {
				t.Fatalf("%s: record %+v", what, r)
			}
		}
		// A write may fail, too, but must not end the process.
		if _, err := s.Add(t.Context(), []api.Record{{Text: "x"}}); err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: add: %v", what, err)
		}
		_ = s.Close()
	}
	random := rand.New(rand.NewPCG(7, 8))
	for n := 0; n < len(whole); n += 1 + random.IntN(512) {
		try(fmt.Sprintf("cut to %d of %d", n, len(whole)), whole[:n])
	}
	for range 300 {
		at, with := random.IntN(len(whole)), byte(random.IntN(256))
		damaged := bytes.Clone(whole)
		damaged[at] = with
		try(fmt.Sprintf("byte %d is %d", at, with), damaged)
	}
	for page := 0; page < len(whole); page += 4096 {
		damaged := bytes.Clone(whole)
		clear(damaged[page:min(page+4096, len(damaged))])
		try(fmt.Sprintf("page at %d is zero", page), damaged)
		copy(damaged[page:], bytes.Repeat([]byte{0xff}, 64))
		try(fmt.Sprintf("page at %d is full", page), damaged)
	}
	t.Logf("%d were refused, %d opened", refused, opened)
	if refused == 0 || opened == 0 {
		t.Error("the damage was not varied enough to mean something")
	}
}

// storedFile makes a memory and returns its file.
func storedFile(t *testing.T, path string) []byte {
	t.Helper()
	s, err := Open(path, Options{Embedder: Hashing(4)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		add(t, s, api.Record{ID: fmt.Sprint(i), Text: fmt.Sprint(i, " ", strings.Repeat("x", 300))})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOtherFiles(t *testing.T) {
	for _, test := range []struct {
		name, says string
		make       func(*bbolt.Tx) error
	}{
		{"a newer version", "newer version", func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket(bucketMemory)
			if err != nil {
				return err
			}
			if _, err := tx.CreateBucket(bucketRecords); err != nil {
				return err
			}
			return b.Put(keyHeader, []byte(`{"version":3,"more":[]}`))
		}},
		{"something else", `holds "other"`, func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("other"))
			return err
		}},
		{"a half memory", "missing", func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket(bucketRecords)
			return err
		}},
		{"a key of another size", "key", func(tx *bbolt.Tx) error {
			if err := saveHeader(tx, header{space: space{"e", 4}}); err != nil {
				return err
			}
			b, err := tx.CreateBucket(bucketRecords)
			if err != nil {
				return err
			}
			return b.Put([]byte("short"), encodeRecord(&table.Row{Record: api.Record{ID: "a", Time: start}}))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := temp(t)
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(test.make), db.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = Open(path, Options{})
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if test.name == "a newer version" && strings.Contains(err.Error(), "damaged") {
				t.Errorf("a newer file is called damaged: %v", err)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		if _, err := Open(t.TempDir(), Options{}); err == nil || strings.Contains(err.Error(), "damaged") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an empty file", func(t *testing.T) {
		path := temp(t)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		add(t, open(t, path, Options{}), api.Record{Text: "x"})
	})
}
