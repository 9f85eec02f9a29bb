package coma_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/comatest"
)

var dawn = time.Date(2030, time.May, 1, 6, 0, 0, 0, time.UTC)

// diary is a memory of five records, an hour apart, named by their texts' first letters.
func diary(t *testing.T) *coma.Memory {
	t.Helper()
	memory := comatest.Start(t, "m").Agent("m").Memory
	records := []coma.Record{
		{ID: "a", Text: "apples are ripe", Metadata: coma.Metadata{"mood": "glad", "day": 1, "warm": true}},
		{ID: "b", Text: "bees came by", Metadata: coma.Metadata{"mood": "glad", "day": 2, "level": 0.5}},
		{ID: "c", Text: "clouds and bees", Metadata: coma.Metadata{"mood": "calm", "day": 3, "warm": false}},
		{ID: "d", Text: "dry soil", Metadata: coma.Metadata{"mood": "thirsty", "day": 4.5}},
		{ID: "e", Text: "evening"},
	}
	for i := range records {
		records[i].Time = dawn.Add(time.Duration(i) * time.Hour)
	}
	ids, err := memory.AddRecords(t.Context(), records...)
	must(t, err)
	if strings.Join(ids, "") != "abcde" {
		t.Fatalf("added %q", ids)
	}
	return memory
}

func names[R coma.Record | coma.Match](records []R) string {
	var b strings.Builder
	for _, r := range records {
		switch r := any(r).(type) {
		case coma.Record:
			b.WriteString(r.ID)
		case coma.Match:
			b.WriteString(r.ID)
		}
	}
	return b.String()
}

func TestConditions(t *testing.T) {
	tests := []struct {
		name      string
		condition coma.Condition
		want      string // the oldest first
	}{
		{"equal", coma.Key("mood").Equal("glad"), "ab"},
		{"equal to a bool", coma.Key("warm").Equal(false), "c"},
		{"numbers by value", coma.Key("day").Equal(2.0), "b"},
		{"not equal, or not there", coma.Key("mood").NotEqual("glad"), "cde"},
		{"greater", coma.Key("day").Greater(2), "cd"},
		{"at least", coma.Key("day").AtLeast(2), "bcd"},
		{"less", coma.Key("day").Less(3), "ab"},
		{"at most", coma.Key("day").AtMost(3), "abc"},
		{"less than a fraction", coma.Key("day").Less(4.6), "abcd"},
		{"in", coma.Key("mood").In("calm", "thirsty"), "cd"},
		{"not in, or not there", coma.Key("mood").NotIn("calm", "glad"), "de"},
		{"contains", coma.Contains("bees"), "bc"},
		{"contains to the letter", coma.Contains("Bees"), ""},
		{"does not contain", coma.NotContains("bees"), "ade"},
		{"matches", coma.Matches(`^b.*y$|\bdry\b`), "bd"},
		{"does not match", coma.NotMatches(`[aeiou]{2}`), "ae"},
		{"by its time, as Chroma's clients see it", coma.Key("timestamp").Less(dawn.Add(2 * time.Hour).Unix()), "ab"},
		{"by its time with a fraction", coma.Key("timestamp").Equal(float64(dawn.Add(time.Hour).Unix())), "b"},
		{"all", coma.All(coma.Contains("bees"), coma.Key("day").Greater(2)), "c"},
		{"any", coma.Any(coma.Contains("apples"), coma.Key("mood").Equal("thirsty")), "ad"},
		{"any of all", coma.Any(coma.All(coma.Contains("bees"), coma.Key("mood").Equal("calm")), coma.Contains("dry")), "cd"},
		{"no such key", coma.Key("nothing").Equal(1), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			memory := diary(t)
			got, err := memory.Get(t.Context(), 0, coma.Oldest(), test.condition)
			if err != nil || names(got) != test.want {
				t.Errorf("Get found %q, %v, want %q", names(got), err, test.want)
			}
			n, err := memory.Count(t.Context(), test.condition)
			if err != nil || n != len(test.want) {
				t.Errorf("Count counted %d, %v, want %d", n, err, len(test.want))
			}
			found, err := memory.Query(t.Context(), "bees", 10, test.condition)
			if err != nil || len(found) != len(test.want) {
				t.Errorf("Query found %q, %v, want those of %q", names(found), err, test.want)
			}
			n, err = memory.Delete(t.Context(), test.condition)
			if err != nil || n != len(test.want) {
				t.Errorf("Delete removed %d, %v, want %d", n, err, len(test.want))
			}
		})
	}
	// More conditions in one call than a filter may be deep.
	memory := diary(t)
	many := make([]coma.Condition, 100)
	for i := range many {
		many[i] = coma.Key("day").Greater(1)
	}
	if n, err := memory.Count(t.Context(), many...); err != nil || n != 3 {
		t.Errorf("a hundred conditions: %d, %v", n, err)
	}
}

func TestGet(t *testing.T) {
	memory := diary(t)
	tests := []struct {
		name    string
		limit   int
		options []coma.Option
		want    string
	}{
		{"all, the newest first", 0, nil, "edcba"},
		{"the newest", 2, nil, "ed"},
		{"the oldest", 2, []coma.Option{coma.Oldest()}, "ab"},
		{"more than there are", 100, nil, "edcba"},
		{"since", 0, []coma.Option{coma.Since(dawn.Add(3 * time.Hour))}, "ed"},
		{"until", 0, []coma.Option{coma.Until(dawn.Add(3 * time.Hour))}, "cba"},
		{"between", 0, []coma.Option{coma.Since(dawn.Add(time.Hour)), coma.Until(dawn.Add(3 * time.Hour)), coma.Oldest()}, "bc"},
		{"IDs", 0, []coma.Option{coma.IDs("a", "d", "zz", "a")}, "da"},
		{"IDs twice", 0, []coma.Option{coma.IDs("a"), coma.IDs("b")}, "ba"},
		{"no IDs", 0, []coma.Option{coma.IDs()}, ""},
		{"IDs and a condition", 0, []coma.Option{coma.IDs("a", "c"), coma.Contains("bees")}, "c"},
		{"two conditions", 0, []coma.Option{coma.Key("mood").Equal("glad"), coma.Key("day").Less(2)}, "a"},
		{"three conditions and a limit", 1, []coma.Option{coma.Key("day").Less(4), coma.Key("day").Greater(0), coma.NotContains("apples")}, "c"},
	}
	for _, test := range tests {
		got, err := memory.Get(t.Context(), test.limit, test.options...)
		if err != nil || names(got) != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.name, names(got), err, test.want)
		}
		for _, r := range got {
			if r.Vector != nil {
				t.Errorf("%s: a vector that nobody asked for", test.name)
			}
		}
	}

	records, err := memory.Get(t.Context(), 1, coma.IDs("b"), coma.WithVectors())
	must(t, err)
	if len(records) != 1 || len(records[0].Vector) == 0 || records[0].Text != "bees came by" || !records[0].Time.Equal(dawn.Add(time.Hour)) {
		t.Errorf("got %+v", records)
	}
	// Numbers come back as what they were, or as what they are equal to.
	if m := records[0].Metadata; fmt.Sprint(m["day"]) != "2" || m["level"] != 0.5 || m["mood"] != "glad" {
		t.Errorf("metadata %v", m)
	}
}

func TestQuery(t *testing.T) {
	memory := diary(t)
	found, err := memory.Query(t.Context(), "bees came by", 2, coma.WithVectors())
	must(t, err)
	if names(found) != "bc" || found[0].Distance > 1e-6 || found[1].Distance <= found[0].Distance || found[0].Vector == nil {
		t.Fatalf("found %+v", found)
	}
	again, err := memory.QueryVector(t.Context(), found[0].Vector, 1)
	must(t, err)
	if names(again) != "b" || again[0].Vector != nil {
		t.Errorf("by its vector: %+v", again)
	}
	for _, vector := range [][]float32{{1, 2}, {}, nil} {
		if _, err := memory.QueryVector(t.Context(), vector, 1); !errors.Is(err, coma.ErrInvalid) {
			t.Errorf("query by the vector %v: %v, want ErrInvalid", vector, err)
		}
	}
}

func TestWhatAMemoryCallDoesNotTakeIsRefused(t *testing.T) {
	memory := diary(t)
	for name, option := range map[string]coma.Option{
		"Oldest": coma.Oldest(), "Since": coma.Since(dawn), "Until": coma.Until(dawn), "IDs": coma.IDs("a"), "WithVectors": coma.WithVectors(),
	} {
		_, err := memory.Query(t.Context(), "bees", 1, option)
		if want := name == "Oldest" || name == "IDs"; errors.Is(err, coma.ErrInvalid) != want || want && !strings.Contains(err.Error(), name) {
			t.Errorf("query with %s: %v", name, err)
		}
		_, err = memory.Delete(t.Context(), coma.Contains("nothing like it"), option)
		if want := name != "IDs"; errors.Is(err, coma.ErrInvalid) != want || want && !strings.Contains(err.Error(), name) {
			t.Errorf("delete with %s: %v", name, err)
		}
	}
	for name, condition := range map[string]coma.Condition{
		"a list as a value": coma.Key("mood").Equal([]string{"glad"}),
		"In without values": coma.Key("mood").In(),
		"Any of none":       coma.Any(),
		"an order of bools": coma.Key("warm").Greater(true),
		"a nameless key":    coma.Key("").Equal(1),
	} {
		if _, err := memory.Count(t.Context(), condition); !errors.Is(err, coma.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if n, err := memory.Count(t.Context()); err != nil || n != 5 {
		t.Errorf("%d records are left, %v", n, err)
	}
}

func TestDeleteAndClear(t *testing.T) {
	memory := diary(t)
	if _, err := memory.Delete(t.Context()); !errors.Is(err, coma.ErrInvalid) {
		t.Errorf("delete without a choice: %v, want ErrInvalid", err)
	}
	tests := []struct {
		options []coma.Option
		want    int
		left    string
	}{
		{[]coma.Option{coma.IDs()}, 0, "abcde"},
		{[]coma.Option{coma.IDs(), coma.Contains("bees")}, 0, "abcde"},
		{[]coma.Option{coma.IDs("a", "b"), coma.Contains("bees")}, 1, "acde"},
		{[]coma.Option{coma.IDs("d", "zz")}, 1, "ace"},
		{[]coma.Option{coma.Key("mood").Equal("calm"), coma.Contains("apples")}, 0, "ace"},
		{[]coma.Option{coma.Key("mood").Equal("calm")}, 1, "ae"},
	}
	for i, test := range tests {
		n, err := memory.Delete(t.Context(), test.options...)
		left, leftErr := memory.Get(t.Context(), 0, coma.Oldest())
		if err != nil || leftErr != nil || n != test.want || names(left) != test.left {
			t.Errorf("delete %d removed %d (%v) and left %q (%v), want %d and %q", i, n, err, names(left), leftErr, test.want, test.left)
		}
	}
	if n, err := memory.Clear(t.Context()); err != nil || n != 2 {
		t.Errorf("clear: %d, %v", n, err)
	}
	if n, err := memory.Count(t.Context()); err != nil || n != 0 {
		t.Errorf("after clear: %d, %v", n, err)
	}
}

func TestAdd(t *testing.T) {
	memory := comatest.Start(t, "m").Agent("m").Memory
	before := time.Now().Truncate(time.Microsecond)
	id, err := memory.Add(t.Context(), "the tap drips", coma.Metadata{"by": "ada", "n": 1}, nil, coma.Metadata{"n": 2})
	must(t, err)
	got, err := memory.Get(t.Context(), 0)
	must(t, err)
	if len(got) != 1 || got[0].ID != id || id == "" || got[0].Text != "the tap drips" || got[0].Metadata["by"] != "ada" || fmt.Sprint(got[0].Metadata["n"]) != "2" {
		t.Errorf("remembers %+v", got)
	}
	if got[0].Time.Before(before) || got[0].Time.After(time.Now()) {
		t.Errorf("remembered at %s", got[0].Time)
	}
	// One that is there already stays as it is.
	ids, err := memory.AddRecords(t.Context(), coma.Record{ID: id, Text: "something else"}, coma.Record{Text: "new"})
	if err != nil || len(ids) != 2 || ids[0] != id {
		t.Errorf("added %q, %v", ids, err)
	}
	if got, err := memory.Get(t.Context(), 1, coma.IDs(id)); err != nil || got[0].Text != "the tap drips" {
		t.Errorf("remembers %+v, %v", got, err)
	}
	// All or none.
	for name, wrong := range map[string]coma.Record{
		"metadata of an unknown kind": {Text: "x", Metadata: coma.Metadata{"list": []int{1}}},
		"text that is not UTF-8":      {Text: "\xff"},
		"vector of another dimension": {Text: "x", Vector: []float32{1}},
	} {
		if _, err := memory.AddRecords(t.Context(), coma.Record{Text: "right"}, wrong); !errors.Is(err, coma.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if n, err := memory.Count(t.Context()); err != nil || n != 2 {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestUpdate(t *testing.T) {
	memory := diary(t)
	must(t, memory.Update(t.Context(), coma.Record{ID: "a", Text: "bees again"}, coma.Record{ID: "b", Metadata: coma.Metadata{"mood": "calm"}}))
	got, err := memory.Get(t.Context(), 0, coma.IDs("a", "b"), coma.Oldest())
	must(t, err)
	if got[0].Text != "bees again" || got[0].Metadata["mood"] != "glad" || got[1].Text != "bees came by" || got[1].Metadata["mood"] != "calm" || len(got[1].Metadata) != 1 {
		t.Errorf("updated to %+v", got)
	}
	if found, err := memory.Query(t.Context(), "bees again", 1); err != nil || names(found) != "a" {
		t.Errorf("the new text is not found: %+v, %v", found, err)
	}
	err = memory.Update(t.Context(), coma.Record{ID: "c", Text: "changed"}, coma.Record{ID: "zz", Text: "unknown"})
	if !errors.Is(err, coma.ErrNotFound) || !strings.Contains(err.Error(), "zz") {
		t.Errorf("an unknown ID: %v, want ErrNotFound", err)
	}
	if got, err := memory.Get(t.Context(), 1, coma.IDs("c")); err != nil || got[0].Text != "clouds and bees" {
		t.Errorf("half of a refused update was done: %+v, %v", got, err)
	}
}
