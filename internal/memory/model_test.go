package memory

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// model is a memory as its documentation says it, as plainly as can be: a slice in the order of adding.
type model []api.Record

func (m model) find(id string) int {
	return slices.IndexFunc(m, func(r api.Record) bool { return r.ID == id })
}

func (m model) get(sel api.Selection) []api.Record {
	sorted := slices.Clone(m)
	slices.SortStableFunc(sorted, func(a, b api.Record) int { return a.Time.Compare(b.Time) })
	if !sel.Oldest {
		slices.Reverse(sorted)
	}
	var out []api.Record
	for _, r := range sorted {
		switch {
		case len(sel.IDs) > 0 && !slices.Contains(sel.IDs, r.ID):
		case !sel.Since.IsZero() && r.Time.Before(sel.Since):
		case !sel.Until.IsZero() && !r.Time.Before(sel.Until):
		case sel.Filter != nil && !holds(*sel.Filter, r):
		default:
			out = append(out, r)
		}
	}
	out = out[min(sel.Offset, len(out)):]
	if sel.Limit > 0 {
		out = out[:min(sel.Limit, len(out))]
	}
	return out
}

// holds is a second reading of what api.Filter says. All numbers of the test are small: float64 compares them rightly.
func holds(f api.Filter, r api.Record) bool {
	v, has := r.Metadata[f.Key]
	equal := func(x any) bool {
		return has && (v == x || number(v) != nil && number(x) != nil && *number(v) == *number(x))
	}
	compared := func() (int, bool) {
		a, b := number(v), number(f.Value)
		if a != nil && b != nil {
			return cmp.Compare(*a, *b), true
		}
		s, ok := v.(string)
		w, ok2 := f.Value.(string)
		return cmp.Compare(s, w), has && ok && ok2
	}
	c, ok := compared()
	switch f.Op {
	case "eq":
		return equal(f.Value)
	case "ne":
		return !equal(f.Value)
	case "gt":
		return ok && c > 0
	case "gte":
		return ok && c >= 0
	case "lt":
		return ok && c < 0
	case "lte":
		return ok && c <= 0
	case "in":
		return slices.ContainsFunc(f.Value.([]any), equal)
	case "nin":
		return !slices.ContainsFunc(f.Value.([]any), equal)
	case "contains":
		return strings.Contains(r.Text, f.Value.(string))
	case "notcontains":
		return !strings.Contains(r.Text, f.Value.(string))
	case "and":
		return !slices.ContainsFunc(f.Filters, func(g api.Filter) bool { return !holds(g, r) })
	case "or":
		return slices.ContainsFunc(f.Filters, func(g api.Filter) bool { return holds(g, r) })
	}
	panic(f.Op)
}

func number(v any) *float64 {
	r := reflect.ValueOf(v)
	var f float64
	switch {
	case !r.IsValid():
		return nil
	case r.CanInt():
		f = float64(r.Int())
	case r.CanFloat():
		f = r.Float()
	default:
		return nil
	}
	return &f
}

// chance makes the random inputs, from few enough values that they meet.
type chance struct{ *rand.Rand }

func pick[T any](c chance, from ...T) T { return from[c.IntN(len(from))] }

func (c chance) id() string { return fmt.Sprint("id", c.IntN(40)) }

func (c chance) time() time.Time { return start.Add(time.Duration(c.IntN(20)) * time.Second) }

func (c chance) value() any {
	return pick[any](c, int64(1), int64(2), 1.0, 2.0, 1.5, -1.5, "a", "b", "", true, false)
}

func (c chance) record(id string) api.Record {
	words := []string{"soil", "light", "water", "leaf", "night", "日本", "🌱"}
	r := api.Record{ID: id, Time: c.time(), Text: pick(c, words...) + " " + pick(c, words...) + " " + pick(c, words...)}
	if c.IntN(8) == 0 {
		r.Text = pick(c, "", " ")
	}
	if c.IntN(4) == 0 {
		r.Vector = []float32{c.Float32() - 0.5, c.Float32(), 3 * c.Float32(), 1}
	}
	for range c.IntN(3) {
		if r.Metadata == nil {
			r.Metadata = api.Metadata{}
		}
		r.Metadata[pick(c, "k", "l")] = c.value()
	}
	return r
}

func (c chance) filter(depth int) api.Filter {
	op := pick(c, "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "notcontains", "and", "or")
	f := api.Filter{Op: op}
	switch op {
	case "and", "or":
		if depth > 2 {
			return c.filter(depth)
		}
		for range 1 + c.IntN(3) {
			f.Filters = append(f.Filters, c.filter(depth+1))
		}
	case "contains", "notcontains":
		f.Value = pick(c, "soil", "l", "日", " ")
	case "in", "nin":
		f.Key, f.Value = pick(c, "k", "l"), []any{c.value(), c.value()}
	case "eq", "ne":
		f.Key, f.Value = pick(c, "k", "l"), c.value()
	default:
		f.Key, f.Value = pick(c, "k", "l"), pick[any](c, 1, 1.5, 2.0, "a")
	}
	return f
}

func (c chance) maybeFilter() *api.Filter {
	if c.IntN(2) == 0 {
		return nil
	}
	f := c.filter(0)
	return &f
}

func (c chance) selection() api.Selection {
	sel := api.Selection{Vectors: true, Oldest: c.IntN(2) == 0, Limit: c.IntN(10), Filter: c.maybeFilter()}
	if c.IntN(3) == 0 {
		sel.Offset = c.IntN(10)
	}
	if c.IntN(3) == 0 {
		sel.Since = c.time()
	}
	if c.IntN(3) == 0 {
		sel.Until = c.time()
	}
	if c.IntN(4) == 0 {
		sel.IDs = []string{c.id(), c.id(), c.id()}
	}
	return sel
}

// TestModel does what chance says to a Store and to the model, opening the Store again and restoring backups between.
func TestModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			c := chance{rand.New(rand.NewPCG(seed, 2))}
			opt := Options{Embedder: Hashing(4)}
			path := temp(t)
			s := open(t, path, opt)
			var m model
			for step := range 400 {
				switch c.IntN(12) {
				case 0, 1, 2:
					var records []api.Record
					for range 1 + c.IntN(pick(c, 3, 30)) {
						records = append(records, c.record(c.id()))
					}
					add(t, s, records...)
					for _, r := range records {
						if m.find(r.ID) < 0 {
							m = append(m, embedded(t, r))
						}
					}
				case 3:
					r := c.record(c.id())
					err := s.Update(t.Context(), []api.Record{r})
					at := m.find(r.ID)
					if at < 0 && !errors.Is(err, api.ErrNotFound) || at >= 0 && err != nil {
						t.Fatalf("step %d: update: %v", step, err)
					}
					if at >= 0 {
						m[at] = updated(t, m[at], r)
					}
				case 4:
					ids, filter := []string{c.id(), c.id()}, c.maybeFilter()
					if filter != nil && c.IntN(2) == 0 {
						ids = nil
					}
					n, err := s.Delete(t.Context(), ids, filter)
					before := len(m)
					m = slices.DeleteFunc(m, func(r api.Record) bool {
						return (ids == nil || slices.Contains(ids, r.ID)) && (filter == nil || holds(*filter, r))
					})
					if err != nil || n != before-len(m) {
						t.Fatalf("step %d: deleted %d, want %d: %v", step, n, before-len(m), err)
					}
				case 5:
					filter := c.maybeFilter()
					n, err := s.Count(t.Context(), filter)
					if want := len(m.get(api.Selection{Filter: filter})); n != want || err != nil {
						t.Fatalf("step %d: counted %d, want %d: %v", step, n, want, err)
					}
				case 6:
					checkQuery(t, s, m, api.Query{K: c.IntN(12), Filter: c.maybeFilter(), Vectors: true,
						Vector: []float32{c.Float32() - 0.5, c.Float32() - 0.5, c.Float32(), c.Float32()}})
				case 7:
					switch c.IntN(12) {
					case 0:
						if n, err := s.Clear(t.Context()); n != len(m) || err != nil {
							t.Fatalf("step %d: clear: %d, %v", step, n, err)
						}
						m = nil
					case 1, 2, 3:
						s.Close()
						s = open(t, path, opt)
					case 4:
						file := path + "." + string(pick(c, JSON, JSONLines))
						if _, err := s.BackupFile(t.Context(), file); err != nil {
							t.Fatal(err)
						}
						if _, err := s.Clear(t.Context()); err != nil {
							t.Fatal(err)
						}
						add(t, s, api.Record{Text: "to be replaced"})
						if _, err := s.RestoreFile(t.Context(), file, RestoreOptions{Replace: true}); err != nil {
							t.Fatal(err)
						}
					}
				default:
					sel := c.selection()
					if got, want := get(t, s, sel), m.get(sel); !slices.EqualFunc(got, want, equalRecords) {
						t.Fatalf("step %d: get %+v\n got %v\nwant %v", step, sel, got, want)
					}
				}
			}
		})
	}
}

func embedded(t *testing.T, r api.Record) api.Record {
	t.Helper()
	if r.Vector == nil && strings.TrimSpace(r.Text) != "" {
		vectors, err := Hashing(4).Embed(t.Context(), []string{r.Text})
		if err != nil {
			t.Fatal(err)
		}
		if !isZero(vectors[0]) {
			r.Vector = vectors[0]
		}
	}
	return r
}

func updated(t *testing.T, old, r api.Record) api.Record {
	t.Helper()
	if r.Text != "" {
		old.Text = r.Text
		old.Vector = embedded(t, r).Vector
	} else if r.Vector != nil {
		old.Vector = r.Vector
	}
	old.Time = r.Time
	if r.Metadata != nil {
		old.Metadata = maps.Clone(r.Metadata)
	}
	return old
}

// checkQuery compares distances with those computed in float64, and the records one by one.
func checkQuery(t *testing.T, s *Store, m model, q api.Query) {
	t.Helper()
	got, err := s.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	for _, r := range m.get(api.Selection{Filter: q.Filter}) {
		if r.Vector != nil {
			want = append(want, cosineDistance(q.Vector, r.Vector))
		}
	}
	slices.Sort(want)
	k := cmp.Or(q.K, 10)
	want = want[:min(k, len(want))]
	if len(got) != len(want) {
		t.Fatalf("query %+v: %d matches, want %d", q, len(got), len(want))
	}
	seen := map[string]bool{}
	for i, match := range got {
		at := m.find(match.ID)
		if at < 0 || seen[match.ID] || !equalRecords(match.Record, m[at]) {
			t.Fatalf("query %+v: match %d is %+v", q, i, match)
		}
		seen[match.ID] = true
		own := cosineDistance(q.Vector, match.Vector)
		if math.Abs(match.Distance-want[i]) > 1e-5 || math.Abs(match.Distance-own) > 1e-5 {
			t.Fatalf("query %+v: match %d is %g far, its vector says %g, the model %g", q, i, match.Distance, own, want[i])
		}
	}
}

func cosineDistance(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+x*y, aa+x*x, bb+y*y
	}
	return 1 - dot/math.Sqrt(aa*bb)
}
