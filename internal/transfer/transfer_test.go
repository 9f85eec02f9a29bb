package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// open opens a memory that makes vectors of 16 dimensions.
func open(t *testing.T) *memory.Store {
	t.Helper()
	s, err := memory.Open(filepath.Join(t.TempDir(), "m.db"), memory.Options{Embedder: memory.Hashing(16), TimeKey: timeKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// fill adds n records; many have the same time, some have no vector.
func fill(t *testing.T, m api.Memory, n int) {
	t.Helper()
	records := make([]api.Record, n)
	for i := range records {
		r := &records[i]
		r.ID = fmt.Sprintf("record-%05d", i)
		r.Text = fmt.Sprintf("text %d & <%d>", i, n)
		r.Time = time.Date(2026, 11, 21, 7, 0, i/300, 1000*(i%3), time.UTC)
		switch i % 5 {
		case 0:
			r.Metadata = api.Metadata{"n": int64(i), "w": float64(i), "name": "a\nb", "even": i%2 == 0}
		case 1:
			r.Text = ""
		}
	}
	if _, err := m.Add(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func all(t *testing.T, m api.Memory) []api.Record {
	t.Helper()
	records, err := m.Get(t.Context(), api.Selection{Oldest: true, Vectors: true})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func quiet(int, float64) {}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// export writes a memory to a file of that name.
func export(t *testing.T, m api.Memory, name string, vectors bool) string {
	t.Helper()
	var b bytes.Buffer
	lines := NewLines(&b, name, "hashing-1")
	result, err := Export(t.Context(), m, lines, vectors, quiet)
	if err := errors.Join(err, lines.Close()); err != nil {
		t.Fatal(err)
	}
	want, err := m.Count(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if result != (Result{Carried: want}) {
		t.Fatalf("%+v, want %d carried", result, want)
	}
	return write(t, name, b.String())
}

// load imports a place into a memory.
func load(t *testing.T, m api.Memory, path string, again bool) (Result, error) {
	t.Helper()
	source, err := Open(path, "")
	if err != nil {
		return Result{}, err
	}
	result, err := Import(t.Context(), m, source, again, quiet)
	return result, errors.Join(err, source.Close())
}

func TestLinesThereAndBack(t *testing.T) {
	m := open(t)
	fill(t, m, 1000)
	want := all(t, m)
	for _, name := range []string{"a.jsonl", "a.jsonl.gz"} {
		path := export(t, m, name, true)
		copied := open(t)
		for round, expected := range []Result{{Carried: 1000}, {There: 1000}} {
			if result, err := load(t, copied, path, false); err != nil || result != expected {
				t.Fatalf("%s, round %d: %+v, %v", name, round, result, err)
			}
		}
		if got := all(t, copied); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: what came back differs", name)
		}
	}
	bare := export(t, m, "bare.jsonl", false)
	text, err := os.ReadFile(bare)
	if err != nil || bytes.Contains(text, []byte("vector")) || bytes.Contains(text, []byte("embedder")) {
		t.Errorf("vectors that were not to come along: %v", err)
	}
	copied := open(t)
	if _, err := load(t, copied, bare, false); err != nil {
		t.Fatal(err)
	}
	if got := all(t, copied); !reflect.DeepEqual(got, want) { // the memory makes the same ones
		t.Error("without vectors, what came back differs")
	}
}

// stopping is a memory that fails after some batches.
type stopping struct {
	api.Memory
	batches int
}

func (s *stopping) Add(ctx context.Context, records []api.Record) ([]string, error) {
	if s.batches == 0 {
		return nil, errors.New("the power is out")
	}
	s.batches--
	return s.Memory.Add(ctx, records)
}

func TestImportIsGoneOnWith(t *testing.T) {
	m := open(t)
	fill(t, m, 1000)
	path := export(t, m, "a.jsonl", true)
	copied := open(t)
	if result, err := load(t, &stopping{copied, 2}, path, false); err == nil || result.Carried != 2*batchRecords {
		t.Fatalf("%+v, %v", result, err)
	}
	if result, err := load(t, copied, path, false); err != nil || result != (Result{Carried: 1000 - 2*batchRecords, There: 2 * batchRecords}) {
		t.Fatalf("%+v, %v", result, err)
	}
}

// narrow is a memory whose answers and requests hold little, as those over a connection do for very long records.
type narrow struct{ api.Memory }

const narrowBytes = 300

func (n narrow) Get(ctx context.Context, sel api.Selection) ([]api.Record, error) {
	records, err := n.Memory.Get(ctx, sel)
	bytes := 0
	for _, r := range records {
		bytes += len(r.Text)
	}
	if bytes > narrowBytes && len(records) > 1 {
		return nil, fmt.Errorf("ask for less at once")
	}
	return records, err
}

func TestRecordsThatAreTooMuchAtOnce(t *testing.T) {
	m := open(t)
	fill(t, m, 300)
	if _, err := m.Add(t.Context(), []api.Record{{ID: "long", Text: strings.Repeat("x", 2*narrowBytes)}}); err != nil {
		t.Fatal(err)
	}
	path := export(t, narrow{m}, "a.jsonl", true)
	copied := open(t)
	for round, want := range []Result{{Carried: 301}, {There: 301}} {
		if result, err := load(t, narrow{copied}, path, false); err != nil || result != want {
			t.Fatalf("round %d: %+v, %v", round, result, err)
		}
	}
	if !reflect.DeepEqual(all(t, copied), all(t, m)) {
		t.Error("what came back differs")
	}
}

func TestExportWhileTheMemoryChanges(t *testing.T) {
	m := open(t)
	fill(t, m, 2000)
	var b bytes.Buffer
	lines := NewLines(&b, "x", "")
	changes := 0
	_, err := Export(t.Context(), m, lines, false, func(done int, part float64) {
		// What has been carried goes, and younger ones come: neither moves what is still to be carried.
		if changes++; changes < 5 {
			if _, err := m.Add(t.Context(), []api.Record{{ID: fmt.Sprint("new ", changes), Text: "new"}}); err != nil {
				t.Error(err)
			}
			if part < 0 || part > 1 {
				t.Errorf("part %v", part)
			}
		}
	})
	if err := errors.Join(err, lines.Close()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	decoder := json.NewDecoder(&b)
	for decoder.More() {
		var l line
		if err := decoder.Decode(&l); err != nil {
			t.Fatal(err)
		}
		seen[l.ID]++
	}
	for i := range 2000 {
		if id := fmt.Sprintf("record-%05d", i); seen[id] != 1 {
			t.Errorf("%s is there %d times", id, seen[id])
		}
	}
	if len(seen) != 2004 {
		t.Errorf("%d records", len(seen))
	}
}

func TestLinesThatPeopleWrite(t *testing.T) {
	path := write(t, "a.jsonl", "{\"text\":\"one\"}\n\n  \n{\"text\":\"one\"}\r\n{\"text\":\"three\",\"time\":\"2026-11-21T07:00:00Z\",\"metadata\":{\"n\":1,\"w\":1.0}}")
	m := open(t)
	for round, want := range []Result{{Carried: 3}, {There: 3}} {
		if result, err := load(t, m, path, false); err != nil || result != want {
			t.Fatalf("round %d: %+v, %v", round, result, err)
		}
	}
	oldest := all(t, m)[0]
	if want := (api.Metadata{"n": int64(1), "w": 1.0}); oldest.Text != "three" || !reflect.DeepEqual(oldest.Metadata, want) {
		t.Errorf("%+v", oldest)
	}
	if result, err := load(t, m, write(t, "empty.jsonl", "\n"), false); err != nil || result != (Result{}) {
		t.Errorf("an empty file: %+v, %v", result, err)
	}
}

func TestFilesThatAreWrong(t *testing.T) {
	vector := strings.Repeat(",0", 15)
	for name, test := range map[string]struct {
		content, want string
		carried       int
	}{
		"syntax.jsonl":    {"{\"text\":\"a\"}\n{\"text\":\n", "line 2: invalid argument", 1},
		"key.jsonl":       {"{\"text\":\"a\",\"mood\":1}\n", `line 1: invalid argument: json: unknown field "mood"`, 0},
		"two.jsonl":       {"{\"text\":\"a\"} {}\n", "more than one value", 0},
		"list.jsonl":      {"[1]\n", "line 1", 0},
		"nan.jsonl":       {"{\"text\":\"a\",\"vector\":[1e99]}\n", "line 1", 0},
		"mix.jsonl":       {"{\"text\":\"a\",\"embedder\":\"x\",\"vector\":[1" + vector + "]}\n{\"text\":\"a\",\"embedder\":\"y\",\"vector\":[1" + vector + "]}\n", "line 2 has a vector of y, and those before it have x", 1},
		"half.jsonl":      {"{\"text\":\"a\",\"embedder\":\"x\",\"vector\":[1" + vector + "]}\n{\"text\":\"b\",\"vector\":[1" + vector + "]}\n", "line 2 has a vector of an embedder that is not named", 1},
		"dimension.jsonl": {"{\"text\":\"a\"}\n{\"text\":\"b\",\"vector\":[1,2]}\n", "dimension.jsonl: line 2: ", 1},
		"plain.jsonl.gz":  {"{\"text\":\"a\"}\n", "gzip", 0},
		"backup.jsonl":    {`{"format":"coma-memory","version":1}` + "\n", "coma memory restore", 0},
		"backup.json":     {`{"memory":{"format":"coma-memory"}}`, "coma memory restore", 0},
		"other.json":      {`{"text":"a"}`, "name a file of one record a line .jsonl", 0},
		"unequal.json":    {`{"ids":["a","b"],"documents":["x"]}`, "2 ids and 1 documents", 0},
		"cut.json":        {`{"ids":["a",`, "cut.json", 0},
		"old.pkl":         {"\x80\x04", "pickle.load(open(", 0},
		"old.pickle":      {"\x80\x04", "json.dump(", 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t)
			result, err := load(t, m, write(t, name, test.content), false)
			if err == nil || !strings.Contains(err.Error(), test.want) || result.Carried != test.carried || len(all(t, m)) != test.carried {
				t.Errorf("%+v, %v, want %q", result, err, test.want)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.jsonl"), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestWhoseTheVectorsAre(t *testing.T) {
	line := func(embedder string) string { return `{"text":"a"` + embedder + `,"vector":[1,0,0]}` + "\n" }
	long := "[" + strings.Repeat("0,", 383) + "1]"
	for name, test := range map[string]struct{ content, given, want string }{
		"none.jsonl":    {`{"text":"a"}` + "\n", "", ""},
		"named.jsonl":   {line(`,"embedder":"openai:m"`), "", "openai:m"},
		"unnamed.jsonl": {line(""), "", Given},
		"told.jsonl":    {line(""), "minilm", "minilm"},
		"late.jsonl":    {strings.Repeat(`{"text":""}`+"\n", 1000) + line(`,"embedder":"x"`), "", "x"},
		"old.json":      {`{"ids":["a"],"documents":["a"],"embeddings":[` + long + `]}`, "", "minilm"},
		"short.json":    {`{"ids":["a"],"documents":["a"],"embeddings":[[1,0]]}`, "", Given},
		"told.json":     {`{"ids":["a"],"documents":["a"],"embeddings":[[1,0]]}`, "openai:m", "openai:m"},
		"bare.json":     {`{"ids":["a"],"documents":["a"],"embeddings":null}`, "", ""},
	} {
		source, err := Open(write(t, name, test.content), test.given)
		if err != nil {
			t.Fatal(err)
		}
		if got := source.Embedder(); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		n := 0
		for err == nil {
			var records []api.Record
			records, _, err = source.Next(t.Context(), func([]string) (map[string]bool, error) { return nil, nil })
			n += len(records)
		}
		if want := max(1, strings.Count(test.content, "\n")); n != want || !isEnd(err) {
			t.Errorf("%s: %d records of %d, %v", name, n, want, err)
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBackupsOfThePythonFramework(t *testing.T) {
	vector := "[1" + strings.Repeat(", 0.0", 15) + "]"
	path := write(t, "old.json", `{"ids": ["a", "b"], "embeddings": [`+vector+`, `+vector+`], "documents": ["dürr", null], "uris": null,
  "included": ["metadatas"], "data": null, "metadatas": [{"timestamp": 1763708400.25, "n": 2, "gone": null}, null]}`)
	m := open(t)
	for round, want := range []Result{{Carried: 2}, {There: 2}} {
		if result, err := load(t, m, path, false); err != nil || result != want {
			t.Fatalf("round %d: %+v, %v", round, result, err)
		}
	}
	records, err := m.Get(t.Context(), api.Selection{IDs: []string{"a"}, Vectors: true})
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	want := api.Metadata{"timestamp": 1763708400.25, "n": int64(2)}
	if r := records[0]; r.Text != "dürr" || !reflect.DeepEqual(r.Metadata, want) || r.Vector[0] != 1 {
		t.Errorf("%+v", r)
	}
	if got := records[0].Time; !got.Equal(time.UnixMilli(1763708400250)) {
		t.Errorf("its time is %v", got)
	}
}

func FuzzLines(f *testing.F) {
	for _, text := range []string{"{\"text\":\"a\"}\n", "{\"id\":\"a\",\"time\":\"2026-11-21T07:00:00Z\",\"text\":\"\",\"metadata\":{\"a\":1.0},\"vector\":[0,1]}", "\n\n", "{", `{"text":"a"}{`} {
		f.Add([]byte(text))
	}
	known := func([]string) (map[string]bool, error) { return nil, nil }
	f.Fuzz(func(t *testing.T, data []byte) {
		source, err := openLines(&counted{ReadCloser: io.NopCloser(bytes.NewReader(data))}, "fuzz.jsonl", Given)
		var records []api.Record
		for err == nil {
			var batch []api.Record
			batch, _, err = source.Next(context.Background(), known)
			records = append(records, batch...)
		}
		// What was read can be written, and is read as the same again.
		var b bytes.Buffer
		lines := NewLines(&b, "fuzz.jsonl", "")
		if _, err := lines.Put(context.Background(), records); err != nil {
			if strings.Contains(err.Error(), "year") { // JSON knows years of four digits
				return
			}
			t.Fatal(err)
		}
		if err := lines.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := openLines(&counted{ReadCloser: io.NopCloser(&b)}, "fuzz.jsonl", Given)
		for i := 0; err == nil; {
			var batch []api.Record
			batch, _, err = again.Next(context.Background(), known)
			for _, r := range batch {
				if r.ID != records[i].ID || r.Text != records[i].Text || !r.Time.Equal(records[i].Time) || len(r.Metadata) != len(records[i].Metadata) || len(r.Vector) != len(records[i].Vector) {
					t.Fatalf("%+v was %+v", r, records[i])
				}
				i++
			}
		}
		if !isEnd(err) {
			t.Fatal(err)
		}
	})
}
