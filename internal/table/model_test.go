package table

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// model is a table as its documentation says it, as plainly as can be: rows in the order of adding.
type model []*Row

const timeKey = "timestamp"

func (m model) apply(c Change) model {
	if c.Clear {
		m = nil
	}
	put := make(map[string]*Row)
	for _, r := range c.Put {
		put[r.ID] = r
	}
	out := model{}
	for _, r := range m {
		if p := put[r.ID]; !slices.Contains(c.Delete, r.ID) && (p == nil || p.Seq != r.Seq) {
			if p == nil {
				out = append(out, r)
			}
		}
	}
	out = append(out, c.Put...)
	slices.SortFunc(out, func(a, b *Row) int { return cmp.Compare(a.Seq, b.Seq) })
	return out
}

// selected are the rows of a selection in the order of adding.
func (m model) selected(sel Select, filter *api.Filter) []*Row {
	var out []*Row
	for _, r := range m {
		switch {
		case sel.IDs != nil && !slices.Contains(sel.IDs, r.ID):
		case !sel.Since.IsZero() && r.Time.Before(sel.Since):
		case !sel.Until.IsZero() && !r.Time.Before(sel.Until):
		case !sel.Now.IsZero() && !r.Expires.IsZero() && !r.Expires.After(sel.Now):
		case filter != nil && !isTrue(*filter, r):
		default:
			out = append(out, r)
		}
	}
	return out
}

func byTime(rows []*Row, oldest bool) []*Row {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b *Row) int { return a.Time.Compare(b.Time) })
	if !oldest {
		slices.Reverse(rows)
	}
	return rows
}

// isTrue is a second reading of what api.Filter says. All numbers of the test are such that float64 compares them rightly.
func isTrue(f api.Filter, r *Row) bool {
	v, has := r.Metadata[f.Key]
	if !has && f.Key == timeKey {
		v, has = float64(r.Time.UnixMicro())/1e6, true
	}
	equal := func(x any) bool {
		return has && (v == x || numeric(v) != nil && numeric(x) != nil && *numeric(v) == *numeric(x))
	}
	compared := func() (int, bool) {
		a, b := numeric(v), numeric(f.Value)
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
	case "regex":
		return !r.NoText && regexp.MustCompile(f.Value.(string)).MatchString(r.Text)
	case "notregex":
		return r.NoText || !regexp.MustCompile(f.Value.(string)).MatchString(r.Text)
	case "and":
		return !slices.ContainsFunc(f.Filters, func(g api.Filter) bool { return !isTrue(g, r) })
	case "or":
		return slices.ContainsFunc(f.Filters, func(g api.Filter) bool { return isTrue(g, r) })
	}
	panic(f.Op)
}

func numeric(v any) *float64 {
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

// far is the distance as mathematics has it, near enough.
func far(metric Metric, a, b []float32) float64 {
	var dot, aa, bb, dd float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb, dd = dot+x*y, aa+x*x, bb+y*y, dd+(x-y)*(x-y)
	}
	switch {
	case metric == IP:
		return 1 - dot
	case metric == L2:
		return dd
	case aa == 0 || bb == 0:
		return 1
	}
	return 1 - dot/math.Sqrt(aa*bb)
}

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// chance makes the random inputs, from few enough values that they meet.
type chance struct {
	*rand.Rand
	ids       int
	dimension int
	seq       *uint64
	keys      []string
}

func pick[T any](c chance, from ...T) T { return from[c.IntN(len(from))] }

func (c chance) id() string { return fmt.Sprint("id", c.IntN(c.ids)) }

func (c chance) time() time.Time { return start.Add(time.Duration(c.IntN(300)) * time.Second) }

func (c chance) value() any {
	return pick[any](c, int64(1), int64(2), 1.0, 2.0, 1.5, -1.5, math.Copysign(0, -1), int64(0), int64(1<<53+1), 1e300,
		"a", "b", "", "c", true, false, fmt.Sprint(c.IntN(50)), int64(c.IntN(50)))
}

func (c chance) text() string {
	words := []string{"soil", "light", "water", "leaf", "night", "日本", "🌱"}
	if c.IntN(40) == 0 {
		words = append(words, fmt.Sprint("rare", 100+c.IntN(300)))
	}
	return pick(c, words...) + " " + pick(c, words...) + " " + words[len(words)-1]
}

func (c chance) vector() []float32 {
	v := make([]float32, c.dimension)
	if c.IntN(10) == 0 {
		return v
	}
	for i := range v {
		v[i] = float32(pick(c, c.NormFloat64(), float64(c.IntN(2))))
	}
	return v
}

// row makes a row that is new, or one in the place of old.
func (c chance) row(id string, old *Row) *Row {
	r := &Row{Record: api.Record{ID: id, Time: c.time(), Text: c.text()}}
	if c.IntN(2) == 0 { // mostly in the order of time
		r.Time = start.Add(time.Duration(*c.seq/3) * time.Millisecond)
	}
	if c.IntN(8) == 0 {
		r.Text, r.NoText = "", c.IntN(2) == 0
	}
	if c.IntN(6) != 0 {
		r.Vector = c.vector()
	}
	if c.IntN(6) == 0 {
		r.Expires = c.time()
	}
	for range c.IntN(4) {
		if r.Metadata == nil {
			r.Metadata = api.Metadata{}
		}
		r.Metadata[pick(c, c.keys...)] = c.value()
	}
	if old == nil {
		*c.seq += 1 + uint64(c.IntN(3))
		r.Seq = *c.seq
		return r
	}
	r.Seq = old.Seq
	if c.IntN(2) == 0 {
		r.Time = old.Time
	}
	if c.IntN(2) == 0 {
		r.Vector = old.Vector
	}
	if c.IntN(2) == 0 {
		r.Metadata = old.Metadata
	}
	return r
}

func (c chance) filter(depth int) api.Filter {
	op := pick(c, "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "contains", "notcontains", "regex", "notregex", "and", "or")
	f := api.Filter{Op: op}
	key := func() string { return pick(c, append(c.keys, "never")...) }
	switch op {
	case "and", "or":
		if depth > 2 {
			return c.filter(depth)
		}
		for range 1 + c.IntN(3) {
			f.Filters = append(f.Filters, c.filter(depth+1))
		}
	case "contains", "notcontains":
		f.Value = pick(c, "soil", "l", "日", " ", "soil light", "no such words", fmt.Sprint("rare", 100+c.IntN(300)))
	case "regex", "notregex":
		f.Value = pick(c, "^soil", "(?i)LEAF|日", "t$", ".*", fmt.Sprintf("rare%d$", 100+c.IntN(300)))
	case "in", "nin":
		f.Key = key()
		list := make([]any, 1+c.IntN(pick(c, 8, 8, 300)))
		for i := range list {
			list[i] = c.value()
		}
		f.Value = list
	case "eq", "ne":
		f.Key, f.Value = key(), c.value()
	default:
		f.Key, f.Value = key(), pick[any](c, 1, 1.5, 2.0, "a", "30", -1e300, 40)
		if c.IntN(4) == 0 {
			f.Key, f.Value = timeKey, seconds(c.time())
		}
	}
	return f
}

func (c chance) selection(t *testing.T) (Select, *api.Filter) {
	t.Helper()
	var sel Select
	if c.IntN(3) == 0 {
		sel.Since = c.time()
	}
	if c.IntN(3) == 0 {
		sel.Until = c.time()
	}
	if c.IntN(3) == 0 {
		sel.Now = c.time()
	}
	if c.IntN(6) == 0 {
		sel.IDs = []string{}
		for range c.IntN(20) {
			sel.IDs = append(sel.IDs, c.id())
		}
	}
	if c.IntN(3) == 0 {
		return sel, nil
	}
	f := c.filter(0)
	var err error
	if sel.Filter, err = Compile(&f); err != nil {
		t.Fatal(err)
	}
	return sel, &f
}

func (c chance) change(m model) Change {
	if c.IntN(40) == 0 {
		return Change{Clear: true, Put: c.rows(m[:0], c.IntN(1500))}
	}
	var change Change
	if c.IntN(3) == 0 {
		for range c.IntN(pick(c, 4, 4, 4, 600, 8000)) {
			change.Delete = append(change.Delete, c.id())
		}
	}
	change.Put = c.rows(m, c.IntN(pick(c, 2, 10, 10, 700)))
	for i, r := range change.Put { // now and then one that was deleted comes again, as a new one
		if slices.Contains(change.Delete, r.ID) && slices.ContainsFunc(m, func(o *Row) bool { return o.Seq == r.Seq }) {
			change.Put[i] = c.row(r.ID, nil)
		}
	}
	return change
}

func (c chance) rows(m model, n int) []*Row {
	at := make(map[string]*Row)
	for _, r := range m {
		at[r.ID] = r
	}
	seen := make(map[string]bool)
	var rows []*Row
	for range n {
		if id := c.id(); !seen[id] {
			seen[id] = true
			rows = append(rows, c.row(id, at[id]))
		}
	}
	return rows
}

// TestModel does what chance says to a table and to the model; snapshots taken on the way are looked at again later.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			var seq uint64
			c := chance{Rand: rand.New(rand.NewPCG(seed, 2)), seq: &seq, ids: 60, dimension: 1 + int(seed)*3, keys: []string{"k", "l", timeKey}}
			if seed%2 == 0 {
				c.ids = 4000
			}
			if seed%5 == 4 { // more keys than columns
				for i := range 2 * maxColumns {
					c.keys = append(c.keys, fmt.Sprint("key", i))
				}
			}
			m := model(nil).apply(Change{Put: c.rows(nil, c.IntN(2*c.ids))})
			shuffled := slices.Clone(m)
			c.Shuffle(len(m), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			table, err := New(Options{TimeKey: timeKey}, shuffled)
			if err != nil {
				t.Fatal(err)
			}
			type moment struct {
				*Snapshot
				model
			}
			var past []moment
			for step := range 40 {
				change := c.change(m)
				if err := table.Apply(change); err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				m = m.apply(change)
				check(t, c, table.Snapshot(), m)
				if c.IntN(4) == 0 {
					past = append(past, moment{table.Snapshot(), m})
				}
				if len(past) > 0 {
					then := pick(c, past...)
					check(t, c, then.Snapshot, then.model)
				}
				if t.Failed() {
					t.Fatalf("step %d", step)
				}
			}
		})
	}
}

// check compares a snapshot with a model in a few ways.
func check(t *testing.T, c chance, s *Snapshot, m model) {
	t.Helper()
	if s.Len() != len(m) {
		t.Errorf("%d rows, want %d", s.Len(), len(m))
	}
	id := c.id()
	at := slices.IndexFunc(m, func(r *Row) bool { return r.ID == id })
	if got := s.Get(id); at < 0 && got != nil || at >= 0 && got != m[at] {
		t.Errorf("get %s: %v", id, got)
	}
	now := c.time()
	if got, want := s.Expired(now), m.selected(Select{}, nil); !slices.Equal(got, slices.DeleteFunc(want, func(r *Row) bool { return r.Expires.IsZero() || r.Expires.After(now) })) {
		t.Errorf("expired: %d", len(got))
	}
	n := c.IntN(10)
	if got, want := s.Oldest(n), byTime(m, true); !slices.Equal(got, want[:min(n, len(want))]) {
		t.Errorf("oldest %d: %v", n, got)
	}
	for range 3 {
		sel, filter := c.selection(t)
		want := m.selected(sel, filter)
		if got := slices.Collect(s.ByAdding(sel)); !slices.Equal(got, want) {
			t.Errorf("select %+v filter %+v: %d rows by adding, want %d", sel, filter, len(got), len(want))
		}
		if got := s.Count(sel); got != len(want) {
			t.Errorf("select %+v filter %+v: count %d, want %d", sel, filter, got, len(want))
		}
		oldest := c.IntN(2) == 0
		sorted := byTime(want, oldest)
		stop := c.IntN(len(want) + 1)
		var got []*Row
		for r := range s.ByTime(sel, oldest) {
			if len(got) == stop {
				break
			}
			got = append(got, r)
		}
		if !slices.Equal(got, sorted[:stop]) {
			t.Errorf("select %+v filter %+v: %d by time (oldest %v), want %d", sel, filter, len(got), oldest, stop)
		}
		checkNearest(t, c, s, sel, want)
	}
}

func checkNearest(t *testing.T, c chance, s *Snapshot, sel Select, among []*Row) {
	t.Helper()
	query, k, metric := c.vector(), pick(c, 1, 3, 10, 5000), pick(c, Cosine, L2, IP)
	got, err := s.Nearest(t.Context(), query, k, metric, sel)
	if err != nil {
		t.Errorf("nearest: %v", err)
		return
	}
	want := slices.DeleteFunc(slices.Clone(among), func(r *Row) bool { return r.Vector == nil })
	sameHits(t, metric, query, got, want, k)
}

// sameHits checks hits against the distances of all rows: each is as far as it should be, and what is left out is not
// nearer, both up to the last bits of float64.
func sameHits(t *testing.T, metric Metric, query []float32, got []Hit, among []*Row, k int) {
	t.Helper()
	distances := make(map[*Row]float64, len(among))
	sorted := make([]float64, len(among))
	for i, r := range among {
		distances[r] = far(metric, query, r.Vector)
		sorted[i] = distances[r]
	}
	slices.Sort(sorted)
	if len(got) != min(k, len(among)) {
		t.Errorf("%d hits, want %d", len(got), min(k, len(among)))
		return
	}
	seen := make(map[*Row]bool)
	for i, h := range got {
		d, known := distances[h.Row]
		if !known || seen[h.Row] {
			t.Errorf("%s: hit %d is %+v", metric, i, h)
			return
		}
		seen[h.Row] = true
		within := 1e-12 * (1 + math.Abs(d) + float64(len(query))*1e-3)
		if metric == L2 || metric == IP {
			within = 1e-12 * (1 + math.Abs(d) + far(L2, query, h.Row.Vector))
		}
		if math.Abs(h.Distance-d) > within || math.Abs(sorted[i]-d) > within {
			t.Errorf("%s: hit %d is %g far, should be %g, and the %d-th is %g", metric, i, h.Distance, d, i, sorted[i])
			return
		}
		if i > 0 && (got[i-1].Distance > h.Distance || got[i-1].Distance == h.Distance && got[i-1].Row.Seq > h.Row.Seq) {
			t.Errorf("%s: hits %d and %d are out of order", metric, i-1, i)
			return
		}
	}
}

// TestCompaction lets rows go until their slots are made up for, and compares with the model all the time.
func TestCompaction(t *testing.T) {
	for name, victim := range map[string]func(c chance, m model) int{
		"oldest first": func(chance, model) int { return 0 },
		"at random":    func(c chance, m model) int { return c.IntN(len(m)) },
		"in places":    func(c chance, m model) int { return c.IntN(2) * (len(m) - 1) / 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seq uint64
			c := chance{Rand: rand.New(rand.NewPCG(3, 3)), seq: &seq, ids: 9000, dimension: 5, keys: []string{"k", "l"}}
			m := model(nil).apply(Change{Put: c.rows(nil, 12000)})
			table := mustNew(t, Options{TimeKey: timeKey}, m...)
			compacted := 0
			for step := 0; len(m) > 700; step++ {
				var change Change
				for range min(300, len(m)-1) {
					at := victim(c, m)
					change.Delete = append(change.Delete, m[at].ID)
					m = slices.Delete(slices.Clone(m), at, at+1)
				}
				for range 20 {
					change.Put = append(change.Put, c.row(fmt.Sprint("new", seq), nil))
				}
				m = append(m, change.Put...)
				before := table.Snapshot()
				mustApply(t, table, change)
				if s := table.Snapshot(); s.slots() < before.slots() {
					compacted++
					if s.wasteful() || s.seed != before.seed {
						t.Errorf("step %d: %d slots for %d rows, or built anew", step, s.slots(), s.Len())
					}
				}
				check(t, c, table.Snapshot(), m)
				if t.Failed() {
					t.Fatalf("step %d", step)
				}
			}
			if compacted == 0 {
				t.Error("no slots were made up for")
			}
		})
	}
}
