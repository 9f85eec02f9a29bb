package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// TestReembedWhileWriting converts a memory to and fro while it is written to. Each record's vector must be of its own
// text and of the embedder that the memory then has, none lost and none twice.
func TestReembedWhileWriting(t *testing.T) {
	embedders := []Embedder{Hashing(8), turned{Hashing(16)}}
	find := func(name string) (Embedder, error) {
		for _, e := range embedders {
			if e.Name() == name {
				return e, nil
			}
		}
		return nil, errors.New(name)
	}
	path := temp(t)
	s := open(t, path, Options{Embedder: embedders[0], Embedders: find})
	for i := range 600 {
		add(t, s, api.Record{ID: fmt.Sprint(i), Text: fmt.Sprint("text ", i)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	texts := make([]map[string]string, 4)
	for w := range texts {
		texts[w] = map[string]string{}
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", w, random.IntN(200))
				text := fmt.Sprint("text ", w, i)
				var err error
				switch _, there := texts[w][id]; {
				case !there:
					_, err = s.Add(t.Context(), []api.Record{{ID: id, Text: text}})
					texts[w][id] = text
				case i%3 == 0:
					_, err = s.Delete(t.Context(), []string{id}, nil)
					delete(texts[w], id)
				default:
					err = s.Update(t.Context(), []api.Record{{ID: id, Text: text}})
					texts[w][id] = text
				}
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Query(t.Context(), api.Query{Text: text, K: 3}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for round := range 7 {
		e := embedders[(round+1)%2]
		if err := s.Reembed(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wg.Wait()
	for _, when := range []string{"at once", "after opening again"} {
		records := get(t, s, api.Selection{Vectors: true})
		want := 600
		for _, texts := range texts {
			want += len(texts)
		}
		if len(records) != want {
			t.Fatalf("%s: %d records, want %d", when, len(records), want)
		}
		for _, r := range records {
			text := "text " + r.ID
			for _, texts := range texts {
				if own, ok := texts[r.ID]; ok {
					text = own
				}
			}
			made, err := embedders[1].Embed(t.Context(), []string{text})
			if err != nil || r.Text != text || !slices.Equal(r.Vector, made[0]) {
				t.Fatalf("%s: record %+v, want %q, %v: %v", when, r, text, made[0], err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if when == "at once" {
			s = open(t, path, Options{Embedder: embedders[0], Embedders: find})
		}
	}
}

// failing is an embedder that fails after some texts.
type failing struct {
	Embedder
	left int
}

func (*failing) Name() string { return "failing" }
func (f *failing) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if f.left -= len(texts); f.left < 0 {
		return nil, errors.New("no more")
	}
	return f.Embedder.Embed(ctx, texts)
}

func TestFailedReembedChangesNothing(t *testing.T) {
	path := temp(t)
	s := open(t, path, Options{Embedder: Hashing(4)})
	for i := range 600 {
		add(t, s, api.Record{ID: fmt.Sprint(i), Text: fmt.Sprint("text ", i)})
	}
	before := get(t, s, api.Selection{Vectors: true})
	canceled, cancel := context.WithCancel(t.Context())
	for name, try := range map[string]func() error{
		"failing":  func() error { return s.Reembed(t.Context(), &failing{Hashing(4), 500}, nil) },
		"canceled": func() error { return s.Reembed(canceled, turned{Hashing(4)}, func(int, int) { cancel() }) },
		"broken":   func() error { return s.Reembed(t.Context(), broken{}, nil) },
	} {
		if err := try(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if after := get(t, s, api.Selection{Vectors: true}); !slices.EqualFunc(before, after, equalRecords) {
			t.Errorf("%s: the memory has changed", name)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("%s: left behind: %v, %v", name, entries, err)
		}
		add(t, s, before[0]) // still there, still works
	}
}

func TestCompactGivesRoomBack(t *testing.T) {
	path := temp(t)
	s := open(t, path, Options{Embedder: Hashing(4)})
	for range 20 {
		var records []api.Record
		for i := range 100 {
			records = append(records, api.Record{ID: fmt.Sprint(i), Text: strings.Repeat("x", 4000)})
		}
		add(t, s, records...)
	}
	if _, err := s.Delete(t.Context(), nil, &api.Filter{Op: "contains", Value: "x"}); err != nil {
		t.Fatal(err)
	}
	add(t, s, api.Record{ID: "stays", Text: "y"})
	before, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := s.Info()
	if err != nil || after.Bytes > before.Bytes/4 || after.Records != 1 {
		t.Errorf("before %+v, after %+v: %v", before, after, err)
	}
	add(t, s, api.Record{ID: "new", Text: "z"})
	s.Close()
	if got := texts(get(t, open(t, path, Options{Embedder: Hashing(4)}), api.Selection{Oldest: true})); got != "y z" {
		t.Errorf("got %q", got)
	}
}
