package memory

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

var formats = []Format{JSON, JSONLines}

// odd is records whose texts, keys and numbers are hard to write down.
func odd() []api.Record {
	records := []api.Record{
		{ID: "none"},
		{ID: "vector", Text: "tiny", Vector: []float32{math.SmallestNonzeroFloat32, 0, float32(math.Copysign(0, -1)), 0}},
		{ID: "large", Vector: []float32{math.MaxFloat32, math.MaxFloat32, 1, 2}},
		{ID: "old", Text: "before 1970", Time: time.Date(12, 3, 4, 5, 6, 7, 8000, time.UTC)},
		{ID: "numbers", Text: "n", Metadata: api.Metadata{"i": int64(math.MaxInt64), "j": int64(math.MinInt64), "f": 2.0,
			"g": -0.0, "h": 1e300, "k": math.SmallestNonzeroFloat64, "l": 1e21, "": nil}},
	}
	delete(records[4].Metadata, "")
	for i, text := range []string{"a\nb\r\n\tc\x00\x01\x7f", `"quoted\" </script> &amp;`, "日本語 \u2028\u2029 🌱", "\ufeffBOM \ufffd",
		strings.Repeat("long ", 50_000), "]}\n{\"end\":1}"} {
		records = append(records, api.Record{ID: fmt.Sprint(i, string([]rune(text)[:3])), Text: text, Metadata: api.Metadata{"k\n\"<" + string([]rune(text)[:1]): text}})
	}
	for i := range records {
		if records[i].Time.IsZero() {
			records[i].Time = start.Add(time.Duration(i%3) * time.Microsecond)
		}
	}
	return records
}

func backup(t testing.TB, s *Store, format Format) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.Backup(t.Context(), &b, format); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBackupRoundTrip(t *testing.T) {
	now := func() time.Time { return start }
	s := open(t, temp(t), Options{Embedder: Hashing(4), Now: now})
	empty := map[Format][]byte{}
	for _, format := range formats {
		empty[format] = backup(t, s, format)
	}
	add(t, s, odd()...)
	want := get(t, s, api.Selection{Vectors: true})
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "b."+string(format))
			header, err := s.BackupFile(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if stat, err := os.Stat(path); err != nil || stat.Mode() != 0o600 {
				t.Errorf("mode %v, %v", stat.Mode(), err)
			}
			if inspected, err := Inspect(path); err != nil || !reflect.DeepEqual(inspected, header) || header.Records != len(want) || header.Name != "plant" {
				t.Errorf("inspect: %+v, %v; written %+v", inspected, err, header)
			}
			other := open(t, temp(t), Options{Embedder: Hashing(4), Now: now})
			if _, err := other.RestoreFile(t.Context(), path, RestoreOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := get(t, other, api.Selection{Vectors: true}); !slices.EqualFunc(got, want, equalRecords) {
				t.Errorf("restored\n%v\nwant\n%v", got, want)
			}
			other.Close()
			other = open(t, other.path, Options{Embedder: Hashing(4), Now: now})
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			other.name = s.name
			if !bytes.Equal(backup(t, other, format), file) {
				t.Error("the backup of what was restored is another one")
			}
			if _, err := other.Restore(t.Context(), bytes.NewReader(empty[format]), RestoreOptions{}); !errors.Is(err, api.ErrInvalid) {
				t.Errorf("records were replaced without being asked: %v", err)
			}
			if _, err := other.Restore(t.Context(), bytes.NewReader(empty[format]), RestoreOptions{Replace: true}); err != nil {
				t.Error(err)
			}
			if n, err := other.Count(t.Context(), nil); n != 0 || err != nil {
				t.Errorf("%d records after restoring none: %v", n, err)
			}
		})
	}
}

func TestBackupIsASnapshot(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(4)})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			// Two records at a time: a snapshot has both or neither.
			if _, err := s.Add(ctx, []api.Record{{ID: fmt.Sprint(i, "a")}, {ID: fmt.Sprint(i, "b")}}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		b := backup(t, s, JSONLines)
		other := open(t, temp(t), Options{Embedder: Hashing(4)})
		if _, err := other.Restore(t.Context(), bytes.NewReader(b), RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		if n, err := other.Count(t.Context(), nil); n%2 != 0 || err != nil {
			t.Errorf("%d records: %v", n, err)
		}
	}
	cancel()
	wg.Wait()
}

func TestBackupFileKeepsTheOldOneOnFailure(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(4)})
	add(t, s, api.Record{Text: "x"})
	dir := t.TempDir()
	path := filepath.Join(dir, "b.json")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := writeFile(path, func(w io.Writer) error {
		_, err := w.Write([]byte("half"))
		return errors.Join(err, errors.New("disk full"))
	})
	if err == nil {
		t.Error("no error")
	}
	if got, err := os.ReadFile(path); string(got) != "old" || err != nil {
		t.Errorf("the file is %q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for _, path := range []string{filepath.Join(dir, "b.zip"), filepath.Join(dir, "none", "b.json")} {
		if _, err := s.BackupFile(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	}
}

// damageSource is a memory with a small backup, and its records.
func damageSource(t testing.TB) (*Store, []api.Record) {
	s := open(t, temp(t), Options{Embedder: Hashing(2), Now: func() time.Time { return start }})
	add(t, s, api.Record{ID: "a", Text: "soil 日本", Metadata: api.Metadata{"f": 2.0, "i": 2, "s": "x"}}, api.Record{ID: "b"})
	return s, get(t, s, api.Selection{Vectors: true})
}

// TestDamagedBackups restores every truncation and every flipped bit of a small backup: each is refused with the memory
// as it was, or gives just what was backed up (a bit of white space, or of gzip's header).
func TestDamagedBackups(t *testing.T) {
	s, want := damageSource(t)
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			whole := backup(t, s, format)
			target := open(t, temp(t), Options{Embedder: Hashing(2)})
			add(t, target, api.Record{ID: "before", Text: "as it was"})
			before := get(t, target, api.Selection{Vectors: true})
			refused := 0
			try := func(what string, damaged []byte) {
				_, err := target.Restore(t.Context(), bytes.NewReader(damaged), RestoreOptions{Replace: true})
				got := get(t, target, api.Selection{Vectors: true})
				if err == nil {
					if !slices.EqualFunc(got, want, equalRecords) {
						t.Fatalf("%s was accepted and gave %v", what, got)
					}
					_, err := target.Clear(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					add(t, target, before...)
					return
				}
				refused++
				if !errors.Is(err, api.ErrInvalid) || !slices.EqualFunc(got, before, equalRecords) {
					t.Fatalf("%s: %v; the memory is %v", what, err, got)
				}
			}
			for n := range whole {
				try(fmt.Sprintf("truncation to %d of %d", n, len(whole)), whole[:n])
			}
			if refused < len(whole)-3 { // the last line end may be missing
				t.Errorf("only %d of %d truncations were refused", refused, len(whole))
			}
			refused = 0
			for i := range 8 * len(whole) {
				damaged := bytes.Clone(whole)
				damaged[i/8] ^= 1 << (i % 8)
				try(fmt.Sprintf("flipped bit %d", i), damaged)
			}
			if refused < 7*len(whole) {
				t.Errorf("only %d of %d flipped bits were refused", refused, 8*len(whole))
			}
			try("doubled", append(bytes.Clone(whole), whole...))
			random := rand.New(rand.NewPCG(5, 6))
			for range 300 {
				damaged := bytes.Clone(whole)
				from, to := random.IntN(len(whole)), random.IntN(len(whole))
				copy(damaged[from:], whole[to:])
				try(fmt.Sprintf("bytes from %d put at %d", to, from), damaged)
			}
		})
	}
}

func TestRestoreSaysWhatIsWrong(t *testing.T) {
	s, _ := damageSource(t)
	doc := string(backup(t, s, JSON))
	lines := unzip(t, backup(t, s, JSONLines))
	for _, test := range []struct {
		name, says string
		data       []byte
		opt        RestoreOptions
		is         error
	}{
		{"nothing", "is empty", nil, RestoreOptions{}, api.ErrInvalid},
		{"not a backup", "at the header", []byte("hello"), RestoreOptions{}, api.ErrInvalid},
		{"other JSON", "found other instead of memory", []byte(`{"other":1}`), RestoreOptions{}, api.ErrInvalid},
		{"cut off", "after record 2 of 2: the backup is cut off", []byte(doc[:len(doc)-100]), RestoreOptions{}, api.ErrInvalid},
		{"cut off line", "after record 1 of 2", zip(t, lines[:strings.Index(lines, `{"id":"b"`)]), RestoreOptions{}, api.ErrInvalid},
		{"newer", "use a newer coma", []byte(strings.Replace(doc, `"version":2`, `"version":3,"new":true`, 1)), RestoreOptions{}, api.ErrInvalid},
		{"edited", "checksum", []byte(strings.Replace(doc, "soil", "rain", 1)), RestoreOptions{}, api.ErrInvalid},
		{"edited line", "checksum", zip(t, strings.Replace(lines, "soil", "rain", 1)), RestoreOptions{}, api.ErrInvalid},
		{"unknown key", `unknown field "x"`, []byte(strings.Replace(doc, `"id":"a"`, `"id":"a","x":1`, 1)), RestoreOptions{}, api.ErrInvalid},
		{"twice", `the ID "a" comes twice`, []byte(strings.Replace(doc, `"id":"b"`, `"id":"a"`, 1)), RestoreOptions{}, api.ErrInvalid},
		{"dimension", "vector has 8 bytes", []byte(strings.Replace(doc, `"dimension":2`, `"dimension":3`, 1)), RestoreOptions{}, api.ErrInvalid},
		{"more follows", "follows", []byte(doc + "{}"), RestoreOptions{}, api.ErrInvalid},
		{"more lines", "follows", zip(t, lines+"{}\n"), RestoreOptions{}, api.ErrInvalid},
		{"more after gzip", "follows", append(zip(t, lines), 'x'), RestoreOptions{}, api.ErrInvalid},
		{"too large", "larger than may be read", []byte(doc), RestoreOptions{MaxBytes: 100}, api.ErrTooLarge},
		{"bomb", "larger than may be read", zip(t, strings.Repeat(" ", 1<<20)+lines), RestoreOptions{MaxBytes: 1 << 16}, api.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := open(t, temp(t), Options{Embedder: Hashing(2)})
			_, err := target.Restore(t.Context(), bytes.NewReader(test.data), test.opt)
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

func TestReformattedDocumentIsTheSame(t *testing.T) {
	s, want := damageSource(t)
	doc := strings.NewReplacer("{\"", "{ \n\t\"", "\":", "\" : ", ",\"", " ,\r\n\"").Replace(string(backup(t, s, JSON)))
	target := open(t, temp(t), Options{Embedder: Hashing(2)})
	if _, err := target.Restore(t.Context(), strings.NewReader(doc), RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, target, api.Selection{Vectors: true}); !slices.EqualFunc(got, want, equalRecords) {
		t.Errorf("got %v", got)
	}
}

func TestRestoreBringsItsEmbedder(t *testing.T) {
	s, _ := damageSource(t)
	target := open(t, temp(t), Options{Embedder: Hashing(8)})
	if _, err := target.Restore(t.Context(), bytes.NewReader(backup(t, s, JSON)), RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Query(t.Context(), api.Query{Text: "soil"}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("query by text: %v", err)
	}
	if info, err := target.Info(); err != nil || info.Dimension != 2 {
		t.Errorf("%+v, %v", info, err)
	}
}

func zip(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unzip(t testing.TB, b []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}
