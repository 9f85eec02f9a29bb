package table

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustNew(t *testing.T, opt Options, rows ...*Row) *Table {
	t.Helper()
	table, err := New(opt, rows)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func mustApply(t *testing.T, table *Table, c Change) {
	t.Helper()
	if err := table.Apply(c); err != nil {
		t.Fatal(err)
	}
}

func rowOf(seq int, id string, vector ...float32) *Row {
	return &Row{Seq: uint64(seq), Record: api.Record{ID: id, Vector: vector, Time: start.Add(time.Duration(seq) * time.Second)}}
}

func idsOf(rows []*Row) string {
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func TestRefused(t *testing.T) {
	nan := float32(math.NaN())
	for _, test := range []struct {
		name   string
		change Change
		says   string
	}{
		{"an ID twice", Change{Put: []*Row{rowOf(10, "x"), rowOf(11, "x")}}, `two rows have the ID "x"`},
		{"an ID twice, cleared", Change{Clear: true, Put: []*Row{rowOf(10, "x"), rowOf(11, "x")}}, `two rows have the ID "x"`},
		{"a Seq twice", Change{Put: []*Row{rowOf(10, "x"), rowOf(10, "y")}}, "same Seq 10"},
		{"another's Seq", Change{Put: []*Row{rowOf(2, "x")}}, "same Seq 2"},
		{"another dimension", Change{Put: []*Row{rowOf(10, "x", 1)}}, "1 dimensions, not 2"},
		{"another dimension in place", Change{Put: []*Row{rowOf(1, "a", 1, 2, 3)}}, "3 dimensions, not 2"},
		{"two dimensions", Change{Clear: true, Put: []*Row{rowOf(1, "a", 1, 2, 3), rowOf(2, "b", 1)}}, "1 dimensions, not 3"},
		{"no dimensions", Change{Put: []*Row{{Seq: 10, Record: api.Record{ID: "x", Vector: []float32{}}}}}, "0 dimensions"},
		{"no number", Change{Put: []*Row{rowOf(10, "x", 1, nan)}}, "NaN at place 1"},
		{"no number, cleared", Change{Clear: true, Put: []*Row{rowOf(10, "x", 1, nan)}}, "NaN at place 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := mustNew(t, Options{}, rowOf(1, "a", 1, 0), rowOf(2, "b", 0, 1), rowOf(3, "c"))
			before := table.Snapshot()
			if err := table.Apply(test.change); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error: %v", err)
			}
			if table.Snapshot() != before || idsOf(before.all()) != "a b c" {
				t.Error("it is changed nevertheless")
			}
			mustApply(t, table, Change{Put: []*Row{rowOf(10, "x", 1, 1)}, Delete: []string{"b"}})
			if got := idsOf(table.Snapshot().all()); got != "a c x" {
				t.Errorf("then: %s", got)
			}
		})
	}
	if _, err := New(Options{Dimension: 3}, []*Row{rowOf(1, "a", 1, 0)}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("new: %v", err)
	}
	s := mustNew(t, Options{}, rowOf(1, "a", 1, 0)).Snapshot()
	for _, query := range [][]float32{nil, {1}, {1, 2, 3}, {1, nan}} {
		if _, err := s.Nearest(t.Context(), query, 1, Cosine, Select{}); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("query %v: %v", query, err)
		}
	}
}

func TestEmpty(t *testing.T) {
	s := mustNew(t, Options{Dimension: 5}).Snapshot()
	hits, err := s.Nearest(t.Context(), []float32{1, 2}, 3, L2, Select{})
	if len(hits) > 0 || err != nil || s.Len() != 0 || s.Dimension() != 5 || s.Get("a") != nil || s.Oldest(3) != nil || s.Expired(start) != nil || s.Count(Select{}) != 0 {
		t.Errorf("%v, %v, %d dimensions", hits, err, s.Dimension())
	}
}

// TestOrder: a row that comes late, by its Seq, stands where it belongs.
func TestOrder(t *testing.T) {
	table := mustNew(t, Options{}, rowOf(5, "e", 1), rowOf(3, "c", 1))
	mustApply(t, table, Change{Put: []*Row{rowOf(4, "d", 1), rowOf(9, "z", 1)}})
	mustApply(t, table, Change{Put: []*Row{rowOf(2, "e", 1)}}) // in the place of the old e, but added elsewhere
	if got := idsOf(table.Snapshot().all()); got != "e c d z" {
		t.Errorf("by adding: %s", got)
	}
	hits, err := table.Snapshot().Nearest(t.Context(), []float32{2}, 3, Cosine, Select{})
	if err != nil || len(hits) != 3 || hits[0].Row.ID != "e" || hits[1].Row.ID != "c" || hits[2].Row.ID != "d" {
		t.Errorf("equally near: %v, %v", hits, err)
	}
}

func TestDimensionChanges(t *testing.T) {
	table := mustNew(t, Options{}, rowOf(1, "a", 1, 0), rowOf(2, "b", 0, 1), rowOf(3, "c"))
	all := Change{Put: []*Row{rowOf(1, "a", 1, 2, 3), rowOf(2, "b"), rowOf(4, "d", 3, 2, 1)}}
	mustApply(t, table, all)
	if s := table.Snapshot(); s.Dimension() != 3 || idsOf(s.all()) != "a b c d" {
		t.Errorf("%d dimensions, %s", s.Dimension(), idsOf(s.all()))
	}
	mustApply(t, table, Change{Delete: []string{"a", "d"}})
	mustApply(t, table, Change{Put: []*Row{rowOf(3, "c", 7)}})
	if hits, err := table.Snapshot().Nearest(t.Context(), []float32{7}, 3, L2, Select{}); err != nil || len(hits) != 1 || hits[0].Distance != 0 {
		t.Errorf("%v, %v", hits, err)
	}
	mustApply(t, table, Change{Clear: true})
	mustApply(t, table, Change{Put: []*Row{rowOf(1, "a", 1, 2, 3, 4)}})
	if s := table.Snapshot(); s.Dimension() != 4 || s.Len() != 1 {
		t.Errorf("%d dimensions, %d rows", s.Dimension(), s.Len())
	}
}

// TestWaste: what is gone is given back, in the end.
func TestWaste(t *testing.T) {
	const n = 8 * blockSlots
	var rows []*Row
	for i := range n {
		r := rowOf(i+1, fmt.Sprint(i), float32(i), 1)
		r.Metadata = api.Metadata{"k": fmt.Sprint("value", i)}
		rows = append(rows, r)
	}
	table := mustNew(t, Options{TimeKey: timeKey}, rows...)
	whole := table.Snapshot().Bytes()
	for at := 0; at < n-10; at += 100 { // the oldest first, as a limit does
		var c Change
		for i := at; i < min(at+100, n-10); i++ {
			c.Delete = append(c.Delete, fmt.Sprint(i))
		}
		mustApply(t, table, c)
	}
	s := table.Snapshot()
	if s.Len() != 10 || s.slots() > 2*10+2*blockSlots || s.Bytes() > whole/8 {
		t.Errorf("%d rows in %d slots, %d of %d bytes", s.Len(), s.slots(), s.Bytes(), whole)
	}
	if got := idsOf(s.Oldest(2)); got != fmt.Sprint(n-10, " ", n-9) {
		t.Errorf("oldest: %s", got)
	}
	last := s.all()[0]
	for i := range 3 * 2 * blockSlots { // ever new texts
		r := *last
		r.Metadata = api.Metadata{"k": fmt.Sprint("new", i)}
		mustApply(t, table, Change{Put: []*Row{&r}})
	}
	if s := table.Snapshot(); len(s.dict.texts) > 2*10+2*blockSlots || s.Len() != 10 {
		t.Errorf("%d texts are kept for %d rows", len(s.dict.texts), s.Len())
	}
	mustApply(t, table, Change{Clear: true})
	if s := table.Snapshot(); s.weight != 0 || s.texts != 0 || s.Len() != 0 {
		t.Errorf("an empty table weighs %d bytes, has %d texts", s.weight, s.texts)
	}
}

// TestReadersWhileWriting has readers ask snapshots the same question twice, and row by row, while the table changes.
func TestReadersWhileWriting(t *testing.T) {
	var seq uint64
	c := chance{Rand: rand.New(rand.NewPCG(1, 1)), seq: &seq, ids: 3000, dimension: 40, keys: []string{"k", "l", "m"}}
	m := c.rows(nil, 2000)
	table := mustNew(t, Options{TimeKey: timeKey}, m...)
	done := make(chan struct{})
	var reading sync.WaitGroup
	for i := range 3 {
		reading.Go(func() {
			var none uint64
			c := chance{Rand: rand.New(rand.NewPCG(2, uint64(i))), seq: &none, ids: 3000, dimension: 40, keys: c.keys}
			for {
				select {
				case <-done:
					return
				default:
				}
				s := table.Snapshot()
				sel, _ := c.selection(t)
				sel.IDs = nil
				first := slices.Collect(s.ByAdding(sel))
				hits, err := s.Nearest(t.Context(), c.vector(), 20, L2, sel)
				if err != nil {
					t.Error(err)
				}
				for _, h := range hits {
					if s.Get(h.Row.ID) != h.Row {
						t.Errorf("row %s is not what it is", h.Row.ID)
					}
				}
				p := s.planned(sel)
				var second []*Row
				for r := range s.ByTime(Select{}, true) {
					if p.holds(r) {
						second = append(second, r)
					}
				}
				if !slices.Equal(byTime(first, true), second) {
					t.Errorf("a snapshot has changed: %d rows, then %d", len(first), len(second))
				}
			}
		})
	}
	steps := 300
	if testing.Short() {
		steps = 50
	}
	for range steps {
		change := Change{Put: c.rows(table.Snapshot().all(), c.IntN(60))}
		for range c.IntN(20) {
			change.Delete = append(change.Delete, fmt.Sprint("no", c.IntN(9)), table.Snapshot().all()[c.IntN(table.Snapshot().Len())].ID)
		}
		change.Put = slices.DeleteFunc(change.Put, func(r *Row) bool { return slices.Contains(change.Delete, r.ID) })
		mustApply(t, table, change)
	}
	close(done)
	reading.Wait()
}

// TestTimeline puts records in and moves them about in an order that is as bad as can be.
func TestTimeline(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	table := mustNew(t, Options{})
	var m model
	for step := range 60 {
		var change Change
		for i := range 100 {
			n := step*100 + i
			r := rowOf(n+1, fmt.Sprint(n))
			r.Time = start.Add(time.Duration(rng.IntN(3000)) * time.Second)
			if step%3 == 0 {
				r.Time = start.Add(-time.Duration(n) * time.Second) // backwards
			}
			change.Put = append(change.Put, r)
		}
		for range min(50, len(m)) {
			old := m[rng.IntN(len(m))]
			if slices.ContainsFunc(change.Put, func(r *Row) bool { return r.ID == old.ID }) {
				continue
			}
			r := *old
			r.Time = start.Add(time.Duration(rng.IntN(10000)-3000) * time.Second)
			change.Put = append(change.Put, &r)
		}
		mustApply(t, table, change)
		m = m.apply(change)
		for _, oldest := range []bool{true, false} {
			sel := Select{}
			if step%2 == 0 {
				sel.Since = start.Add(time.Duration(rng.IntN(1000)) * time.Second)
				sel.Until = sel.Since.Add(time.Duration(rng.IntN(2000)-100) * time.Second)
			}
			if got, want := slices.Collect(table.Snapshot().ByTime(sel, oldest)), byTime(m.selected(sel, nil), oldest); !slices.Equal(got, want) {
				t.Fatalf("step %d, oldest %v: %d rows, want %d", step, oldest, len(got), len(want))
			}
		}
	}
}

// TestTimelineSplits takes runs apart and puts them together.
func TestTimelineSplits(t *testing.T) {
	var m model
	for i := range 10 {
		m = append(m, rowOf(i+1, fmt.Sprint(i)))
	}
	table := mustNew(t, Options{}, m...)
	at := func(seq int, id string, second float64) *Row {
		r := rowOf(seq, id)
		r.Time = start.Add(time.Duration(second * float64(time.Second)))
		return r
	}
	for _, test := range []struct {
		row  *Row
		want string
	}{
		{at(11, "x", 4.5), "0 1 2 3 x 4 5 6 7 8 9"},            // into the middle of the last run
		{at(12, "y", 2), "0 1 y 2 3 x 4 5 6 7 8 9"},            // behind that of the same time, in a run before
		{at(8, "7", 100), "0 1 y 2 3 x 4 5 6 8 9 7"},           // out of the middle, to the end
		{at(8, "7", 7.5), "0 1 y 2 3 x 4 5 6 7 8 9"},           // back: the last run is gone and another is the last
		{at(9, "8", -1), "8 0 1 y 2 3 x 4 5 6 7 9"},            // to the very beginning
		{at(10, "9", -2), "9 8 0 1 y 2 3 x 4 5 6 7"},           // before it
		{at(5, "4", 5), "9 8 0 1 y 2 3 x 4 5 6 7"},             // not at all
		{at(13, "z", 4.5), "9 8 0 1 y 2 3 x z 4 5 6 7"},        // behind the one added before
		{at(14, "end", 1000), "9 8 0 1 y 2 3 x z 4 5 6 7 end"}, // a record as they mostly come
		{at(15, "ender", 1000), "9 8 0 1 y 2 3 x z 4 5 6 7 end ender"},
		{at(14, "end", 0), "9 8 end 0 1 y 2 3 x z 4 5 6 7 ender"},
	} {
		mustApply(t, table, Change{Put: []*Row{test.row}})
		s := table.Snapshot()
		if got := idsOf(slices.Collect(s.ByTime(Select{}, true))); got != test.want {
			t.Fatalf("with %s: %s, want %s", test.row.ID, got, test.want)
		}
		newest := slices.Collect(s.ByTime(Select{}, false))
		slices.Reverse(newest)
		if got := idsOf(newest); got != test.want {
			t.Fatalf("with %s: newest first, turned round: %s", test.row.ID, got)
		}
	}
}

// TestNearestEnds: a query whose context has ended tells so.
func TestNearestEnds(t *testing.T) {
	var rows []*Row
	for i := range 10 * blockSlots {
		rows = append(rows, rowOf(i+1, fmt.Sprint(i), float32(i)))
	}
	s := mustNew(t, Options{}, rows...).Snapshot()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Nearest(ctx, []float32{1}, 1, L2, Select{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	// All of them, nearest first, by all cores.
	hits, err := s.Nearest(t.Context(), []float32{0}, s.Len(), L2, Select{})
	if err != nil || len(hits) != s.Len() {
		t.Fatalf("%d hits: %v", len(hits), err)
	}
	for i, h := range hits {
		if h.Row != rows[i] {
			t.Fatalf("hit %d is %s", i, h.Row.ID)
		}
	}
}

func TestExpired(t *testing.T) {
	table := mustNew(t, Options{}, rowOf(1, "a", 1), rowOf(2, "b", 1))
	soon := func(seq int, id string, seconds int) *Row {
		r := rowOf(seq, id, 1)
		r.Expires = start.Add(time.Duration(seconds) * time.Second)
		return r
	}
	mustApply(t, table, Change{Put: []*Row{soon(3, "c", 10), soon(4, "d", 20), soon(1, "a", 5)}})
	now := start.Add(10 * time.Second)
	if got := idsOf(table.Snapshot().Expired(now)); got != "a c" {
		t.Errorf("expired: %s", got)
	}
	if got := idsOf(slices.Collect(table.Snapshot().ByAdding(Select{Now: now}))); got != "b d" {
		t.Errorf("there: %s", got)
	}
	mustApply(t, table, Change{Delete: []string{"a", "c"}})
	if s := table.Snapshot(); s.Expired(now) != nil || s.blocks[0].soonest != micros(start.Add(20*time.Second)) {
		t.Errorf("soonest is %d", s.blocks[0].soonest)
	}
	mustApply(t, table, Change{Put: []*Row{rowOf(4, "d", 1)}}) // never any more
	if got := table.Snapshot().Expired(start.Add(time.Hour)); got != nil {
		t.Errorf("expired: %s", idsOf(got))
	}
}

// TestChromem has chromem-go, an implementation of its own, find the same.
func TestChromem(t *testing.T) {
	for _, n := range []int{1, 70, 3000, 20_000} { // the last with all cores
		rng := rand.New(rand.NewPCG(8, uint64(n)))
		vectors := vectorsOf(clustered, rng, n, 48)
		var rows []*Row
		for i, v := range vectors {
			rows = append(rows, rowOf(i+1, fmt.Sprint(i), v...))
		}
		s, oracle := mustNew(t, Options{}, rows...).Snapshot(), chromemOf(t, vectors)
		for range 20 {
			query := normal(rng, 48)
			hits, err := s.Nearest(t.Context(), query, 10, Cosine, Select{})
			if err != nil {
				t.Fatal(err)
			}
			results, err := oracle.QueryEmbedding(t.Context(), unit(query), min(n, 10), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(hits) != len(results) {
				t.Fatalf("%d hits, chromem has %d", len(hits), len(results))
			}
			for i, r := range results {
				// chromem sums in float32: what is as near as its rounding may change places.
				if d := 1 - float64(r.Similarity); math.Abs(hits[i].Distance-d) > 1e-6 {
					t.Errorf("hit %d is %s at %g, chromem's %s at %g", i, hits[i].Row.ID, hits[i].Distance, r.ID, d)
				}
			}
		}
	}
}

// TestTextChanges looks for a text that a full block has only since a row in it was replaced.
func TestTextChanges(t *testing.T) {
	var rows []*Row
	for i := range blockSlots {
		r := rowOf(i+1, fmt.Sprint(i))
		r.Text = "plain words"
		rows = append(rows, r)
	}
	table := mustNew(t, Options{}, rows...)
	find := func(f api.Filter) string {
		t.Helper()
		filter, err := Compile(&f)
		if err != nil {
			t.Fatal(err)
		}
		return idsOf(slices.Collect(table.Snapshot().ByAdding(Select{Filter: filter})))
	}
	unusual := api.Filter{Op: "contains", Value: "unusual"}
	before := table.Snapshot()
	if got := find(unusual); got != "" {
		t.Errorf("found %s", got)
	}
	r := *rows[500]
	r.Text = "an unusual word"
	mustApply(t, table, Change{Put: []*Row{&r}})
	for _, f := range []api.Filter{unusual, {Op: "regex", Value: "unusual (word|noun)$"}, {Op: "notcontains", Value: "plain"}, {Op: "and", Filters: []api.Filter{unusual, {Op: "notregex", Value: "^plain"}}}} {
		if got := find(f); got != "500" {
			t.Errorf("%+v: found %q", f, got)
		}
	}
	if before.blocks[0].grams.may(gramsOf("unusual")) {
		t.Error("a snapshot has changed")
	}
}
