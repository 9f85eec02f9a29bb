package link_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// What a module gets of its memory over the link is what the host has, to the last field.
func TestMemoryOverTheLink(t *testing.T) {
	b, _, address := host(t, api.Attachment{Agent: "a", Modules: []string{"m"}})
	there := seat(t, address, "m", 1).Memory()
	noon := time.Date(2030, time.May, 1, 12, 0, 0, 123_456_000, time.UTC)
	if _, err := there.Add(t.Context(), []api.Record{
		{ID: "a", Text: "bees", Vector: []float32{1, 0.1, -1e-30}, Time: noon.Add(-time.Hour), Metadata: api.Metadata{"n": int64(1), "whole": 1.0, "on": true}},
		{ID: "b", Text: "trees", Vector: []float32{0, 1, 1.0 / 3}, Time: noon.Add(-2 * time.Hour), Expires: noon.Add(1000 * time.Hour), Metadata: api.Metadata{"kind": "green"}},
		{ID: "c", Text: "", Vector: []float32{0.5, 0.5, 0}, Time: noon.Add(-3 * time.Hour)},
	}); err != nil {
		t.Fatal(err)
	}
	here, err := b.OpenMemory(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	q := api.Query{Vector: []float32{1, 0.2, 0}, K: 3, Vectors: true}
	narrow := q
	narrow.Since, narrow.Until, narrow.Vectors = noon.Add(-150*time.Minute), noon, false
	narrow.Filter = &api.Filter{Op: "regex", Value: "ees$"}
	for name, ask := range map[string]func(api.Memory) (any, error){
		"get":            func(m api.Memory) (any, error) { return m.Get(t.Context(), api.Selection{Vectors: true}) },
		"query":          func(m api.Memory) (any, error) { return m.Query(t.Context(), q) },
		"query narrowed": func(m api.Memory) (any, error) { return m.Query(t.Context(), narrow) },
		"latest":         retrieval(t, api.Retrieval{Query: narrow, ByTime: &api.ByTime{}}),
		"oldest":         retrieval(t, api.Retrieval{Query: narrow, ByTime: &api.ByTime{Oldest: true}}),
		"time-weighted":  retrieval(t, api.Retrieval{Query: q, TimeWeighted: &api.TimeWeighted{Decay: 1e-4, Now: noon, All: true, Space: api.Cosine}}),
		// With α = 0 the counts of one call do not weigh in the next.
		"alpha-beta":         retrieval(t, api.Retrieval{Query: q, AlphaBeta: &api.AlphaBeta{Beta: -2, Pi: 0.25, Seed: 1 << 63, All: true}}),
		"marginal relevance": retrieval(t, api.Retrieval{Query: q, MarginalRelevance: &api.MarginalRelevance{HalfLife: time.Hour, Importance: "n", Lambda: 0.3, Now: noon}}),
	} {
		want, err := ask(here)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if reflect.ValueOf(want).Len() == 0 {
			t.Errorf("%s: found nothing to compare", name)
		}
		got, err := ask(there)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s over the link: %+v, %v\nin the host: %+v", name, got, err, want)
		}
	}
	if _, err := there.Retrieve(t.Context(), api.Retrieval{Query: q}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("no retriever: %v, want ErrInvalid", err)
	}
}

func retrieval(t *testing.T, r api.Retrieval) func(api.Memory) (any, error) {
	return func(m api.Memory) (any, error) { return m.Retrieve(t.Context(), r) }
}
