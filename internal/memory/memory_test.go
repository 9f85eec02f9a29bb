package memory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

var start = time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)

// open opens a memory that the end of the test closes.
func open(t testing.TB, path string, opt Options) *Store {
	t.Helper()
	s, err := Open(path, opt)
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

func temp(t testing.TB) string { return filepath.Join(t.TempDir(), "plant.db") }

func add(t testing.TB, s *Store, records ...api.Record) []string {
	t.Helper()
	ids, err := s.Add(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func get(t testing.TB, s *Store, sel api.Selection) []api.Record {
	t.Helper()
	records, err := s.Get(t.Context(), sel)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func texts(records []api.Record) string {
	var all []string
	for _, r := range records {
		all = append(all, r.Text)
	}
	return strings.Join(all, " ")
}

func TestAddFillsInWhatIsMissing(t *testing.T) {
	path := temp(t)
	s, err := Open(path, Options{Now: func() time.Time { return start.Add(1234567 * time.Nanosecond) }})
	if err != nil {
		t.Fatal(err)
	}
	ids := add(t, s, api.Record{Text: "a"}, api.Record{ID: "b", Text: "b", Time: start, Metadata: map[string]any{
		"int": 2, "float": 2.0, "string": "2", "bool": true, "negative": int8(-3)}})
	if ids[0] == "" || ids[1] != "b" {
		t.Errorf("ids %q", ids)
	}
	for _, when := range []string{"at once", "after opening again"} {
		records := get(t, s, api.Selection{Vectors: true})
		if texts(records) != "a b" || records[0].ID != ids[0] {
			t.Fatalf("%s: %+v", when, records)
		}
		if want := start.Add(1234 * time.Microsecond); !records[0].Time.Equal(want) {
			t.Errorf("%s: time %v, want %v", when, records[0].Time, want)
		}
		if len(records[0].Vector) != 256 {
			t.Errorf("%s: vector of %d", when, len(records[0].Vector))
		}
		m := records[1].Metadata
		if m["int"] != int64(2) || m["float"] != 2.0 || m["string"] != "2" || m["bool"] != true || m["negative"] != int64(-3) {
			t.Errorf("%s: metadata %#v", when, m)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path, Options{})
	}
}

func TestAddTwiceKeepsTheFirst(t *testing.T) {
	s := open(t, temp(t), Options{})
	add(t, s, api.Record{ID: "a", Text: "first"}, api.Record{ID: "a", Text: "second"})
	add(t, s, api.Record{ID: "a", Text: "third"})
	if got := texts(get(t, s, api.Selection{})); got != "first" {
		t.Errorf("got %q", got)
	}
}

func TestGetSelects(t *testing.T) {
	s := open(t, temp(t), Options{})
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Minute) }
	for _, i := range []int{3, 1, 4, 2, 0} {
		add(t, s, api.Record{ID: fmt.Sprint("id", i), Text: fmt.Sprint(i), Time: at(i), Metadata: map[string]any{"odd": i%2 == 1}})
	}
	odd := &api.Filter{Op: "eq", Key: "odd", Value: true}
	tests := []struct {
		name string
		sel  api.Selection
		want string
	}{
		{"all", api.Selection{}, "4 3 2 1 0"},
		{"newest two", api.Selection{Limit: 2}, "4 3"},
		{"oldest two", api.Selection{Limit: 2, Oldest: true}, "0 1"},
		{"offset", api.Selection{Limit: 2, Offset: 1}, "3 2"},
		{"offset past the end", api.Selection{Offset: 9}, ""},
		{"since is inclusive", api.Selection{Since: at(3)}, "4 3"},
		{"until is exclusive", api.Selection{Until: at(1)}, "0"},
		{"since and until", api.Selection{Since: at(1), Until: at(3)}, "2 1"},
		{"since after until", api.Selection{Since: at(3), Until: at(1)}, ""},
		{"ids", api.Selection{IDs: []string{"id1", "none", "id4", "id1"}}, "4 1"},
		{"filter", api.Selection{Filter: odd, Limit: 1}, "3"},
		{"filter before offset", api.Selection{Filter: odd, Offset: 1}, "1"},
		{"everything", api.Selection{IDs: []string{"id1", "id3", "id4"}, Filter: odd, Until: at(3), Oldest: true}, "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := texts(get(t, s, test.sel)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestQueryFindsBySpelling(t *testing.T) {
	s := open(t, temp(t), Options{})
	add(t, s, api.Record{ID: "a", Text: "The plants are thirsty."}, api.Record{ID: "b", Text: "It rained all night."},
		api.Record{ID: "blank", Text: "  "}, api.Record{ID: "empty"})
	matches, err := s.Query(t.Context(), api.Query{Text: "a thirsty plant"})
	if err != nil {
		t.Fatal(err)
	}
	if len(matches) != 2 || matches[0].ID != "a" || matches[0].Vector != nil || matches[0].Distance >= matches[1].Distance {
		t.Errorf("got %+v", matches)
	}
	same, err := s.Query(t.Context(), api.Query{Text: "the plants are thirsty", K: 1, Vectors: true})
	if err != nil || len(same) != 1 || same[0].Distance > 1e-6 || len(same[0].Vector) != 256 {
		t.Errorf("got %+v, %v", same, err)
	}
	blank, err := s.Query(t.Context(), api.Query{Text: " \n"})
	if err != nil || len(blank) != 0 {
		t.Errorf("a blank text found %v, %v", blank, err)
	}
}

func TestUpdateReplacesWhatIsGiven(t *testing.T) {
	s := open(t, temp(t), Options{})
	meta := map[string]any{"n": 1}
	add(t, s, api.Record{ID: "a", Text: "apple", Time: start, Metadata: meta}, api.Record{ID: "b", Text: "banana", Time: start.Add(1)})
	err := s.Update(t.Context(), []api.Record{{ID: "a", Text: "cherry"}, {ID: "none", Text: "x"}})
	if !errors.Is(err, api.ErrNotFound) || texts(get(t, s, api.Selection{Oldest: true})) != "apple banana" {
		t.Fatalf("an unknown ID: %v, %v", err, get(t, s, api.Selection{}))
	}
	if err := s.Update(t.Context(), []api.Record{{ID: "a", Text: "cherry"}, {ID: "b", Time: start.Add(-time.Hour), Metadata: map[string]any{"x": "y"}}}); err != nil {
		t.Fatal(err)
	}
	records := get(t, s, api.Selection{Oldest: true})
	if texts(records) != "banana cherry" || records[1].Metadata["n"] != int64(1) || records[0].Metadata["x"] != "y" {
		t.Errorf("got %+v", records)
	}
	matches, err := s.Query(t.Context(), api.Query{Text: "cherry", K: 1})
	if err != nil || len(matches) != 1 || matches[0].ID != "a" || matches[0].Distance > 1e-6 {
		t.Errorf("the new text was not embedded: %+v, %v", matches, err)
	}
	if err := s.Update(t.Context(), []api.Record{{ID: "a", Text: " "}}); err != nil {
		t.Fatal(err)
	}
	if matches, err := s.Query(t.Context(), api.Query{Text: "cherry"}); err != nil || len(matches) != 1 {
		t.Errorf("a blank text kept its vector: %+v, %v", matches, err)
	}
}

func TestDelete(t *testing.T) {
	s := open(t, temp(t), Options{})
	for i := range 6 {
		add(t, s, api.Record{ID: fmt.Sprint(i), Text: fmt.Sprint("t", i), Metadata: map[string]any{"i": i}})
	}
	low := &api.Filter{Op: "lt", Key: "i", Value: 3}
	for _, test := range []struct {
		name   string
		ids    []string
		filter *api.Filter
		want   int
		err    error
	}{
		{"neither", nil, nil, 0, api.ErrInvalid},
		{"empty ids", []string{}, nil, 0, api.ErrInvalid},
		{"unknown", []string{"9"}, nil, 0, nil},
		{"twice", []string{"5", "5"}, nil, 1, nil},
		{"ids and filter", []string{"0", "4"}, low, 1, nil},
		{"filter", nil, low, 2, nil},
	} {
		n, err := s.Delete(t.Context(), test.ids, test.filter)
		if n != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: %d, %v", test.name, n, err)
		}
	}
	if n, err := s.Clear(t.Context()); n != 2 || err != nil {
		t.Errorf("clear: %d, %v", n, err)
	}
	if n, err := s.Clear(t.Context()); n != 0 || err != nil {
		t.Errorf("clear again: %d, %v", n, err)
	}
}

func TestRefused(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(4)})
	add(t, s, api.Record{ID: "there", Text: "x"})
	nan := float32(math.NaN())
	bad := map[string]struct {
		record api.Record
		err    error
		says   string
	}{
		"text is not UTF-8":     {api.Record{Text: "\xff"}, api.ErrInvalid, "UTF-8"},
		"id is not UTF-8":       {api.Record{ID: "\xff"}, api.ErrInvalid, "UTF-8"},
		"id too long":           {api.Record{ID: strings.Repeat("x", 1025)}, api.ErrTooLarge, "1025"},
		"text too long":         {api.Record{Text: strings.Repeat("x", maxTextBytes+1)}, api.ErrTooLarge, "text"},
		"vector too short":      {api.Record{Vector: []float32{1}}, api.ErrInvalid, "dimension of 4, got 1"},
		"vector NaN":            {api.Record{Vector: []float32{0, nan, 0, 0}}, api.ErrInvalid, "NaN at place 1"},
		"metadata nil":          {api.Record{Metadata: map[string]any{"color": nil}}, api.ErrInvalid, `"color"`},
		"metadata list":         {api.Record{Metadata: map[string]any{"color": []string{"x"}}}, api.ErrInvalid, `"color"`},
		"metadata NaN":          {api.Record{Metadata: map[string]any{"color": math.NaN()}}, api.ErrInvalid, `"color"`},
		"metadata too big":      {api.Record{Metadata: map[string]any{"color": uint64(math.MaxUint64)}}, api.ErrInvalid, `"color"`},
		"metadata not UTF-8":    {api.Record{Metadata: map[string]any{"color": "\xff"}}, api.ErrInvalid, `"color"`},
		"metadata without key":  {api.Record{Metadata: map[string]any{"": 1}}, api.ErrInvalid, "empty key"},
		"metadata long":         {api.Record{Metadata: map[string]any{"color": strings.Repeat("x", maxMetadataBytes)}}, api.ErrTooLarge, "metadata"},
		"time after year 9999":  {api.Record{Time: start.AddDate(9000, 0, 0)}, api.ErrInvalid, "year"},
		"time before the first": {api.Record{Time: start.AddDate(-3000, 0, 0)}, api.ErrInvalid, "year"},
	}
	for name, test := range bad {
		t.Run(name, func(t *testing.T) {
			_, err := s.Add(t.Context(), []api.Record{{ID: "good", Text: "good"}, test.record})
			if !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("add: %v", err)
			}
			if test.record.ID == "" {
				test.record.ID = "there"
			}
			if err := s.Update(t.Context(), []api.Record{test.record}); !errors.Is(err, test.err) {
				t.Errorf("update: %v", err)
			}
		})
	}
	if got := get(t, s, api.Selection{}); len(got) != 1 || got[0].Text != "x" {
		t.Errorf("something was stored: %+v", got)
	}
	for _, q := range []api.Query{{K: -1}, {Vector: []float32{1}}, {Text: "x", Filter: &api.Filter{}}} {
		if _, err := s.Query(t.Context(), q); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("query %+v: %v", q, err)
		}
	}
	for _, sel := range []api.Selection{{Limit: -1}, {Offset: -1}, {Filter: &api.Filter{Op: "like"}}} {
		if _, err := s.Get(t.Context(), sel); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("get %+v: %v", sel, err)
		}
	}
}

func TestAnswersAreCopies(t *testing.T) {
	s := open(t, temp(t), Options{Embedder: Hashing(4)})
	given := api.Record{ID: "a", Text: "x", Vector: []float32{1, 0, 0, 0}, Metadata: map[string]any{"k": "v"}}
	add(t, s, given)
	given.Vector[0], given.Metadata["k"] = 7, "changed"
	got := get(t, s, api.Selection{Vectors: true})[0]
	got.Vector[0], got.Metadata["k"] = 8, "changed"
	if r := get(t, s, api.Selection{Vectors: true})[0]; r.Vector[0] != 1 || r.Metadata["k"] != "v" {
		t.Errorf("the store was changed from outside: %+v", r)
	}
}

// broken is an embedder that answers with what it was given.
type broken struct{ answer [][]float32 }

func (broken) Name() string                                           { return "broken" }
func (broken) Dimension() int                                         { return 2 }
func (b broken) Embed(context.Context, []string) ([][]float32, error) { return b.answer, nil }

func TestBrokenEmbedder(t *testing.T) {
	nan := float32(math.NaN())
	for name, answer := range map[string][][]float32{"too few": {}, "too many": {{1, 0}, {1, 0}}, "long": {{1, 0, 0}}, "NaN": {{1, nan}}} {
		s := open(t, temp(t), Options{Embedder: broken{answer}})
		_, err := s.Add(t.Context(), []api.Record{{Text: "x"}})
		if err == nil || !strings.Contains(err.Error(), `"broken"`) {
			t.Errorf("%s: %v", name, err)
		}
		if n, _ := s.Count(t.Context(), nil); n != 0 {
			t.Errorf("%s: %d records", name, n)
		}
	}
}

func TestEmbeddersAreNotMixed(t *testing.T) {
	path := temp(t)
	s := open(t, path, Options{Embedder: Hashing(8)})
	add(t, s, api.Record{ID: "old", Text: "hello"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path, Options{Embedder: Hashing(16)})
	if got := texts(get(t, s, api.Selection{})); got != "hello" {
		t.Errorf("get: %q", got)
	}
	_, addErr := s.Add(t.Context(), []api.Record{{Text: "x"}})
	_, queryErr := s.Query(t.Context(), api.Query{Text: "x"})
	updateErr := s.Update(t.Context(), []api.Record{{ID: "old", Text: "x"}})
	for _, err := range []error{addErr, queryErr, updateErr} {
		if !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "8 dim") || !strings.Contains(err.Error(), "16 dim") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.Add(t.Context(), []api.Record{{Vector: make([]float32, 16)}}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("vector of the new embedder: %v", err)
	}
	add(t, s, api.Record{ID: "v", Text: "with a vector", Vector: []float32{1, 2, 3, 4, 5, 6, 7, 8}}, api.Record{ID: "blank"})
	matches, err := s.Query(t.Context(), api.Query{Vector: []float32{1, 2, 3, 4, 5, 6, 7, 8}, K: 1})
	if err != nil || len(matches) != 1 || matches[0].ID != "v" {
		t.Errorf("query by vector: %v, %v", matches, err)
	}

	if _, err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, s, api.Record{ID: "new", Text: "hello"})
	info, err := s.Info()
	if err != nil || info.Dimension != 16 || info.Records != 1 {
		t.Errorf("info %+v, %v", info, err)
	}
	if matches, err := s.Query(t.Context(), api.Query{Text: "hello"}); err != nil || len(matches) != 1 {
		t.Errorf("query after clear: %v, %v", matches, err)
	}
}

func TestEmptiedByDeleteTakesAnyEmbedder(t *testing.T) {
	path := temp(t)
	s := open(t, path, Options{Embedder: Hashing(8)})
	for i := range 40 {
		add(t, s, api.Record{ID: fmt.Sprint(i), Text: "hello"})
	}
	s.Close()
	s = open(t, path, Options{Embedder: Hashing(16)})
	if n, err := s.Delete(t.Context(), nil, &api.Filter{Op: "contains", Value: "hello"}); n != 40 || err != nil {
		t.Fatal(n, err)
	}
	add(t, s, api.Record{Text: "x"})
	s.Close()
	s = open(t, path, Options{Embedder: Hashing(16)})
	if matches, err := s.Query(t.Context(), api.Query{Text: "x"}); err != nil || len(matches) != 1 {
		t.Errorf("%v, %v", matches, err)
	}
}

func TestGroupCommit(t *testing.T) {
	path := temp(t)
	s := open(t, path, Options{})
	const writers, each = 16, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				if _, err := s.Add(t.Context(), []api.Record{{ID: id, Text: "t " + id}, {ID: fmt.Sprint("shared", i)}}); err != nil {
					t.Error(err)
				}
				if got, err := s.Get(t.Context(), api.Selection{IDs: []string{id}}); err != nil || len(got) != 1 {
					t.Errorf("an Add that returned is not seen: %v, %v", got, err)
				}
				if i%5 == 0 {
					if n, err := s.Delete(t.Context(), []string{id}, nil); n != 1 || err != nil {
						t.Errorf("delete: %d, %v", n, err)
					}
				}
				if _, err := s.Query(t.Context(), api.Query{Text: "t", K: 3}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want := writers*each*4/5 + each
	if n, err := s.Count(t.Context(), nil); n != want || err != nil {
		t.Errorf("%d records, want %d: %v", n, want, err)
	}
	before := get(t, s, api.Selection{Vectors: true})
	s.Close()
	after := get(t, open(t, path, Options{}), api.Selection{Vectors: true})
	if !slices.EqualFunc(before, after, equalRecords) {
		t.Error("the memory is another one after opening again")
	}
}

func TestInUse(t *testing.T) {
	path := temp(t)
	s := open(t, path, Options{})
	_, err := Open(path, Options{LockTimeout: time.Millisecond})
	if !errors.Is(err, api.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	add(t, s, api.Record{Text: "still works"})
}

func TestClosed(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := open(t, temp(t), Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if _, err := s.Add(t.Context(), []api.Record{{Text: "x"}}); err != nil {
					if !errors.Is(err, api.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	add(t, s, api.Record{Text: "y"})
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	ctx := t.Context()
	_, getErr := s.Get(ctx, api.Selection{})
	_, queryErr := s.Query(ctx, api.Query{Text: "x"})
	_, countErr := s.Count(ctx, nil)
	_, clearErr := s.Clear(ctx)
	_, infoErr := s.Info()
	_, backupErr := s.Backup(ctx, nil, JSON)
	for _, err := range []error{getErr, queryErr, countErr, clearErr, infoErr, backupErr, s.Update(ctx, nil)} {
		if !errors.Is(err, api.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestCanceled(t *testing.T) {
	s := open(t, temp(t), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, addErr := s.Add(ctx, []api.Record{{Text: "x"}})
	_, getErr := s.Get(ctx, api.Selection{})
	_, queryErr := s.Query(ctx, api.Query{Text: "x"})
	for _, err := range []error{addErr, getErr, queryErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

func equalRecords(a, b api.Record) bool {
	if len(a.Metadata) != len(b.Metadata) {
		return false
	}
	for k, v := range a.Metadata {
		if w, ok := b.Metadata[k]; !ok || v != w {
			return false
		}
	}
	return a.ID == b.ID && a.Text == b.Text && a.Time.Equal(b.Time) && a.Expires.Equal(b.Expires) && slices.Equal(a.Vector, b.Vector)
}

// equalRows compares all but when they were added.
func equalRows(a, b *table.Row) bool {
	return equalRecords(a.Record, b.Record) && a.Expires.Equal(b.Expires) && a.NoText == b.NoText && a.NoMetadata == b.NoMetadata &&
		(a.URI == nil) == (b.URI == nil) && (a.URI == nil || *a.URI == *b.URI)
}
