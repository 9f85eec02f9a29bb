package coma_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/comatest"
)

func TestRetrieve(t *testing.T) {
	memory := diary(t)
	noon := dawn.Add(6 * time.Hour)
	tests := []struct {
		name      string
		retriever coma.Retriever
		text      string
		k         int
		options   []coma.Option
		want      string
	}{
		{"the latest", coma.Latest(), "", 2, nil, "ed"},
		{"the oldest", coma.Oldest(), "", 2, nil, "ab"},
		{"the oldest of a kind", coma.Oldest(), "", 3, []coma.Option{coma.Key("mood").NotEqual("glad")}, "cde"},
		{"the nearest", coma.TimeWeighted{Now: noon}, "bees came by", 2, nil, "bc"},
		{"the nearest, for which old ones are too old", coma.TimeWeighted{Decay: 0.01, Now: noon}, "bees came by", 2, []coma.Option{coma.Until(dawn.Add(3 * time.Hour)), coma.Key("day").NotEqual(2)}, "ca"},
		{"drawn from two", coma.AlphaBeta{Alpha: 1, Beta: -1, Pi: 0.5, All: true}, "bees", 5, []coma.Option{coma.Key("mood").Equal("calm")}, "c"},
		{"by all that counts", coma.MarginalRelevance{HalfLife: time.Hour, Importance: "day", Lambda: 1, Now: noon}, "bees", 1, []coma.Option{coma.Since(dawn)}, "c"},
	}
	for _, test := range tests {
		got, err := memory.Retrieve(t.Context(), test.retriever, test.text, test.k, test.options...)
		if err != nil || names(got) != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, names(got), err, test.want)
		}
	}

	found, err := memory.Retrieve(t.Context(), coma.TimeWeighted{Decay: 1e-4, Now: noon, Space: coma.Cosine}, "dry soil", 1, coma.WithVectors())
	must(t, err)
	if names(found) != "d" || found[0].Vector == nil || found[0].Distance > 1e-6 {
		t.Errorf("found %+v", found)
	}
	again, err := memory.RetrieveVector(t.Context(), coma.TimeWeighted{Now: noon}, found[0].Vector, 1)
	must(t, err)
	if names(again) != "d" || again[0].Vector != nil {
		t.Errorf("by its vector: %+v", again)
	}
	if _, err := memory.Retrieve(t.Context(), nil, "bees", 1); !errors.Is(err, coma.ErrInvalid) {
		t.Errorf("no retriever: %v, want ErrInvalid", err)
	}
	if _, err := memory.Retrieve(t.Context(), coma.Latest(), "", 1, coma.IDs("a")); !errors.Is(err, coma.ErrInvalid) {
		t.Errorf("an option that it does not take: %v, want ErrInvalid", err)
	}
	if _, err := memory.Query(t.Context(), "bees", 1, coma.Latest()); !errors.Is(err, coma.ErrInvalid) {
		t.Errorf("query with an order: %v, want ErrInvalid", err)
	}
	if got, err := memory.Get(t.Context(), 1, coma.Latest()); err != nil || names(got) != "e" {
		t.Errorf("the latest by Get: %q, %v", names(got), err)
	}
}

// What one module has drawn counts for the others.
func TestReferencesAreShared(t *testing.T) {
	host := comatest.Start(t)
	one, other := host.Agent("one").Memory, host.Agent("other").Memory
	_, err := one.AddRecords(t.Context(), coma.Record{ID: "a", Vector: axis(0), Metadata: coma.Metadata{"kind": "song"}}, coma.Record{ID: "b", Vector: axis(1)})
	must(t, err)
	popular := coma.AlphaBeta{Alpha: 1, Pi: 1}
	score := func(m *coma.Memory, id string) float64 {
		found, err := m.RetrieveVector(t.Context(), popular, axis(0), 2)
		must(t, err)
		for _, f := range found {
			if f.ID == id {
				return f.Score
			}
		}
		t.Fatalf("%s is not among %q", id, names(found))
		return 0
	}
	if s := score(one, "a"); s != 0.5 {
		t.Errorf("before any reference: %v", s)
	}
	for range 3 {
		_, err := one.RetrieveVector(t.Context(), popular, axis(0), 1, coma.Key("kind").Equal("song"))
		must(t, err)
	}
	// a was drawn four times and b once.
	if got, want := score(other, "a"), 1/(1+math.Exp(0.2-0.8)); math.Abs(got-want) > 1e-12 {
		t.Errorf("the other module draws with probability %v, want %v", got, want)
	}
}

// axis is a vector of the length that the memories of tests have.
func axis(i int) []float32 {
	v := make([]float32, 384)
	v[i] = 1
	return v
}

func TestTTL(t *testing.T) {
	memory := comatest.Start(t).Agent("m").Memory
	before := time.Now()
	_, err := memory.Add(t.Context(), "the kettle is on", coma.TTL(time.Hour), coma.Metadata{"kind": "percept"})
	must(t, err)
	_, err = memory.Add(t.Context(), "over before it is told", coma.TTL(-time.Second))
	must(t, err)
	got, err := memory.Get(t.Context(), 0)
	must(t, err)
	if len(got) != 1 || got[0].Text != "the kettle is on" || got[0].Metadata["kind"] != "percept" {
		t.Fatalf("remembers %+v", got)
	}
	if e := got[0].Expires; e.Before(before.Add(time.Hour).Truncate(time.Microsecond)) || e.After(time.Now().Add(time.Hour)) {
		t.Errorf("expires at %s", e)
	}
}
