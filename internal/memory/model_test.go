package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// timeKey is the metadata key of the test's memories under which filters see the time.
const timeKey = "t"

// entry is a record of the model, with what only items have.
type entry struct {
	api.Record
	nullText   bool
	uri        *string
	references uint64
}

// model is a memory as its documentation says it, as plainly as can be: a slice in the order of adding.
type model struct {
	entries    []entry
	now        time.Time
	settings   Settings
	attributes map[string]string
	embedder   Embedder
}

func (m *model) find(id string) int {
	return slices.IndexFunc(m.entries, func(r entry) bool { return r.ID == id })
}

// purge removes what has expired: nobody sees it.
func (m *model) purge() {
	m.entries = slices.DeleteFunc(m.entries, func(r entry) bool {
		return !r.Expires.IsZero() && !m.now.Before(r.Expires) || m.settings.TTL > 0 && !m.now.Before(r.Time.Add(m.settings.TTL))
	})
}

// trim removes the oldest past the limit.
func (m *model) trim() {
	if m.settings.Limit == 0 || len(m.entries) <= m.settings.Limit {
		return
	}
	oldest := slices.Clone(m.entries)
	slices.SortStableFunc(oldest, func(a, b entry) int { return a.Time.Compare(b.Time) })
	for _, r := range oldest[:len(oldest)-m.settings.Limit] {
		m.entries = slices.Delete(m.entries, m.find(r.ID), m.find(r.ID)+1)
	}
}

func (m *model) get(sel api.Selection) []api.Record {
	sorted := slices.Clone(m.entries)
	slices.SortStableFunc(sorted, func(a, b entry) int { return a.Time.Compare(b.Time) })
	if !sel.Oldest {
		slices.Reverse(sorted)
	}
	var out []api.Record
	for _, r := range sorted {
		switch {
		case len(sel.IDs) > 0 && !slices.Contains(sel.IDs, r.ID):
		case !sel.Since.IsZero() && r.Time.Before(sel.Since):
		case !sel.Until.IsZero() && !r.Time.Before(sel.Until):
		case sel.Filter != nil && !holds(*sel.Filter, r.Record):
		default:
			out = append(out, r.Record)
		}
	}
	out = out[min(sel.Offset, len(out)):]
	if sel.Limit > 0 {
		out = out[:min(sel.Limit, len(out))]
	}
	return out
}

// items are the entries that sel chooses, as items.
func (m *model) items(sel ItemSelection) []Item {
	var out []Item
	for _, r := range m.entries {
		if (sel.IDs == nil || slices.Contains(sel.IDs, r.ID)) && (sel.Filter == nil || holds(*sel.Filter, r.Record)) {
			item := Item{ID: r.ID, URI: r.uri, Vector: r.Vector, Metadata: maps.Clone(map[string]any(r.Metadata))}
			if !r.nullText {
				item.Document = &r.Text
			}
			if _, has := item.Metadata[timeKey]; !has {
				if item.Metadata == nil {
					item.Metadata = map[string]any{}
				}
				item.Metadata[timeKey] = float64(r.Time.UnixMicro()) / 1e6
			}
			out = append(out, item)
		}
	}
	out = out[min(sel.Offset, len(out)):]
	if sel.Limit > 0 {
		out = out[:min(sel.Limit, len(out))]
	}
	return out
}

// write is what WriteItems does.
func (m *model) write(mode Mode, items []Item) {
	for _, item := range items {
		at := m.find(item.ID)
		if at < 0 && mode == UpdateItems || at >= 0 && mode == AddItems {
			continue
		}
		var r entry
		if at >= 0 {
			r = m.entries[at]
			r.Metadata = maps.Clone(r.Metadata)
		} else {
			r = entry{Record: api.Record{ID: item.ID, Time: m.now}, nullText: true}
		}
		if item.Document != nil {
			r.Text, r.nullText = *item.Document, false
		}
		if item.URI != nil {
			r.uri = item.URI
		}
		if item.Vector != nil {
			r.Vector = item.Vector
		}
		for key, v := range item.Metadata {
			if r.Metadata == nil {
				r.Metadata = api.Metadata{}
			}
			if r.Metadata[key] = v; v == nil {
				delete(r.Metadata, key)
			}
			if seconds := number(v); key == timeKey && seconds != nil {
				r.Time = time.UnixMicro(int64(math.Round(*seconds * 1e6))).UTC()
			}
		}
		if at >= 0 {
			m.entries[at] = r
		} else {
			m.entries = append(m.entries, r)
		}
	}
}

// holds is a second reading of what api.Filter says. All numbers of the test are small: float64 compares them rightly.
func holds(f api.Filter, r api.Record) bool {
	v, has := r.Metadata[f.Key]
	if f.Key == timeKey && !has {
		v, has = float64(r.Time.UnixMicro())/1e6, true
	}
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

// key and its value: under timeKey there are times.
func (c chance) pair() (string, any) {
	if c.IntN(8) == 0 {
		return timeKey, pick[any](c, float64(c.time().UnixMicro())/1e6, c.time().Unix(), "a")
	}
	return pick(c, "k", "l"), c.value()
}

func (c chance) vector() []float32 {
	if c.IntN(20) == 0 {
		return make([]float32, 4)
	}
	return []float32{c.Float32() - 0.5, c.Float32(), 3 * c.Float32(), 1}
}

func (c chance) text() string {
	words := []string{"soil", "light", "water", "leaf", "night", "日本", "🌱"}
	if c.IntN(8) == 0 {
		return pick(c, "", " ")
	}
	return pick(c, words...) + " " + pick(c, words...) + " " + pick(c, words...)
}

func (c chance) record(id string, now time.Time) api.Record {
	r := api.Record{ID: id, Time: c.time(), Text: c.text()}
	if c.IntN(4) == 0 {
		r.Vector = c.vector()
	}
	if c.IntN(6) == 0 {
		r.Expires = now.Add(time.Duration(c.IntN(30)-2) * time.Second)
	}
	for range c.IntN(3) {
		if r.Metadata == nil {
			r.Metadata = api.Metadata{}
		}
		key, v := c.pair()
		r.Metadata[key] = v
	}
	return r
}

func (c chance) item() Item {
	item := Item{ID: c.id()}
	if text := c.text(); c.IntN(4) > 0 {
		item.Document = &text
	}
	if c.IntN(6) == 0 {
		uri := pick(c, "file:///a", "")
		item.URI = &uri
	}
	if c.IntN(3) > 0 {
		item.Vector = c.vector()
	}
	for range c.IntN(3) {
		if item.Metadata == nil {
			item.Metadata = map[string]any{}
		}
		key, v := c.pair()
		if c.IntN(4) == 0 {
			v = nil
		}
		item.Metadata[key] = v
	}
	return item
}

func (c chance) itemSelection() ItemSelection {
	sel := ItemSelection{Vectors: true, Limit: c.IntN(8), Filter: c.maybeFilter()}
	if c.IntN(3) == 0 {
		sel.Offset = c.IntN(6)
	}
	if c.IntN(3) == 0 {
		sel.IDs = []string{c.id(), c.id(), c.id()}
	}
	return sel
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
		f.Key, f.Value = c.pair()
	default:
		f.Key, f.Value = pick(c, "k", "l"), pick[any](c, 1, 1.5, 2.0, "a")
		if c.IntN(4) == 0 {
			f.Key, f.Value = timeKey, c.time().Unix()
		}
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

// turned is an embedder whose vectors are another's turned round, under another name.
type turned struct{ Embedder }

func (turned) Name() string { return "turned" }
func (e turned) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors, err := e.Embedder.Embed(ctx, texts)
	for _, v := range vectors {
		slices.Reverse(v)
	}
	return vectors, err
}

// TestModel does what chance says to a Store and to the model, opening the Store again, restoring backups, converting and
// compacting between.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			(&walk{T: t, chance: chance{rand.New(rand.NewPCG(seed, 2))}, path: temp(t)}).run(500)
		})
	}
}

// walk is one run of TestModel.
type walk struct {
	*testing.T
	chance
	path  string
	store *Store
	model model
	clock atomic.Int64 // what the store takes for the present, in microseconds
}

func (w *walk) reopen() {
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			w.Fatal(err)
		}
	}
	w.store = open(w.T, w.path, Options{Embedder: Hashing(4), TimeKey: timeKey,
		Now: func() time.Time { return time.UnixMicro(w.clock.Load()).UTC() },
		Embedders: func(name string) (Embedder, error) {
			if name == "turned" {
				return turned{Hashing(4)}, nil
			}
			return nil, errors.New(name)
		}})
}

func (w *walk) run(steps int) {
	w.model = model{now: start.Add(10 * time.Second), attributes: map[string]string{}, embedder: Hashing(4)}
	for step := range steps {
		w.model.now = w.model.now.Add(time.Duration(w.IntN(600)) * time.Millisecond)
		w.clock.Store(w.model.now.UnixMicro())
		if w.store == nil || w.IntN(40) == 0 {
			w.reopen()
		}
		w.model.purge()
		var what string
		switch w.IntN(16) {
		case 0, 1, 2:
			what = w.add()
		case 3:
			what = w.update()
		case 4:
			what = w.delete()
		case 5, 6:
			what = w.writeItems()
		case 7:
			what = w.deleteItems()
		case 8:
			what = w.refer()
		case 9:
			what = w.whole()
		case 10:
			filter := w.maybeFilter()
			n, err := w.store.Count(w.Context(), filter)
			if want := len(w.model.get(api.Selection{Filter: filter})); n != want || err != nil {
				w.Fatalf("step %d: counted %d, want %d: %v", step, n, want, err)
			}
		case 11:
			q := api.Query{K: w.IntN(12), Filter: w.maybeFilter(), Vectors: true, Vector: w.vector()}
			if w.IntN(3) == 0 {
				q.Since = w.time()
			}
			w.checkQuery(q)
		case 12:
			sel := w.itemSelection()
			got, err := w.store.Items(w.Context(), sel)
			if want := w.model.items(sel); err != nil || !slices.EqualFunc(got, want, equalItems) {
				w.Fatalf("step %d: items %+v\n got %v\nwant %v: %v", step, sel, got, want, err)
			}
		default:
			sel := w.selection()
			if got, want := get(w.T, w.store, sel), w.model.get(sel); !slices.EqualFunc(got, want, equalRecords) {
				w.Fatalf("step %d: get %+v\n got %v\nwant %v", step, sel, got, want)
			}
		}
		if what != "" {
			w.model.trim()
			if len(w.model.entries) == 0 {
				w.model.embedder = Hashing(4)
			}
			w.model.purge()
			if got, want := get(w.T, w.store, api.Selection{Vectors: true}), w.model.get(api.Selection{}); !slices.EqualFunc(got, want, equalRecords) {
				w.Fatalf("step %d, after %s:\n got %v\nwant %v", step, what, got, want)
			}
		}
	}
}

func (w *walk) add() string {
	var records []api.Record
	for range 1 + w.IntN(pick(w.chance, 3, 30)) {
		r := w.record(w.id(), w.model.now)
		if w.IntN(8) == 0 {
			r.Time = time.Time{}
		}
		records = append(records, r)
	}
	add(w.T, w.store, records...)
	if len(w.model.entries) == 0 {
		w.model.embedder = Hashing(4)
	}
	for _, r := range records {
		if w.model.find(r.ID) >= 0 {
			continue
		}
		if r.Time.IsZero() {
			r.Time = w.model.now
			if seconds := number(r.Metadata[timeKey]); seconds != nil {
				r.Time = time.UnixMicro(int64(math.Round(*seconds * 1e6))).UTC()
			}
		}
		w.model.entries = append(w.model.entries, entry{Record: w.embedded(r), nullText: r.Text == ""})
	}
	return fmt.Sprint("add ", records)
}

func (w *walk) update() string {
	r := w.record(w.id(), w.model.now)
	if w.IntN(3) == 0 {
		r.Time = time.Time{}
	}
	err := w.store.Update(w.Context(), []api.Record{r})
	at := w.model.find(r.ID)
	if at < 0 && !errors.Is(err, api.ErrNotFound) || at >= 0 && err != nil {
		w.Fatalf("update: %v", err)
	}
	if at < 0 {
		return ""
	}
	now := &w.model.entries[at]
	if r.Text != "" {
		now.Text, now.nullText = r.Text, false
		now.Vector = w.embedded(r).Vector
	} else if r.Vector != nil {
		now.Vector = r.Vector
	}
	if r.Metadata != nil {
		now.Metadata = maps.Clone(r.Metadata)
		if seconds := number(r.Metadata[timeKey]); seconds != nil && r.Time.IsZero() {
			now.Time = time.UnixMicro(int64(math.Round(*seconds * 1e6))).UTC()
		}
	}
	if !r.Time.IsZero() {
		now.Time = r.Time
		if seconds := number(now.Metadata[timeKey]); seconds != nil && *seconds != float64(r.Time.UnixMicro())/1e6 {
			now.Metadata = maps.Clone(now.Metadata)
			now.Metadata[timeKey] = float64(r.Time.UnixMicro()) / 1e6
		}
	}
	if !r.Expires.IsZero() {
		now.Expires = r.Expires
	}
	return fmt.Sprint("update ", r)
}

func (w *walk) delete() string {
	ids, filter := []string{w.id(), w.id()}, w.maybeFilter()
	if filter != nil && w.IntN(2) == 0 {
		ids = nil
	}
	n, err := w.store.Delete(w.Context(), ids, filter)
	before := len(w.model.entries)
	w.model.entries = slices.DeleteFunc(w.model.entries, func(r entry) bool {
		return (ids == nil || slices.Contains(ids, r.ID)) && (filter == nil || holds(*filter, r.Record))
	})
	if err != nil || n != before-len(w.model.entries) {
		w.Fatalf("deleted %d, want %d: %v", n, before-len(w.model.entries), err)
	}
	return "delete"
}

func (w *walk) writeItems() string {
	mode := pick(w.chance, AddItems, UpdateItems, UpsertItems)
	var items []Item
	for range 1 + w.IntN(pick(w.chance, 3, 20)) {
		items = append(items, w.item())
	}
	if err := w.store.WriteItems(w.Context(), mode, items); err != nil {
		w.Fatal(err)
	}
	w.model.write(mode, items)
	return fmt.Sprint(mode, " ", items)
}

func (w *walk) deleteItems() string {
	sel := w.itemSelection()
	n, err := w.store.DeleteItems(w.Context(), sel)
	if sel.IDs == nil && sel.Filter == nil {
		if !errors.Is(err, api.ErrInvalid) {
			w.Fatalf("all were deleted: %d, %v", n, err)
		}
		return ""
	}
	gone := w.model.items(sel)
	if err != nil || n != len(gone) {
		w.Fatalf("delete items %+v: %d, want %d: %v", sel, n, len(gone), err)
	}
	w.model.entries = slices.DeleteFunc(w.model.entries, func(r entry) bool {
		return slices.ContainsFunc(gone, func(item Item) bool { return item.ID == r.ID })
	})
	return "delete items"
}

func (w *walk) refer() string {
	ids := []string{w.id(), w.id(), w.id()}
	if err := w.store.AddReferences(w.Context(), ids); err != nil {
		w.Fatal(err)
	}
	for _, id := range ids {
		if at := w.model.find(id); at >= 0 {
			w.model.entries[at].references++
		}
	}
	ids = nil
	var want []uint64
	for _, r := range w.model.entries {
		ids, want = append(ids, r.ID), append(want, r.references)
	}
	if got := w.store.References(ids); !slices.Equal(got, want) {
		w.Fatalf("references of %v are %v, want %v", ids, got, want)
	}
	return "refer"
}

// whole does something to all of the memory.
func (w *walk) whole() string {
	ctx := w.Context()
	must := func(err error) {
		if err != nil {
			w.Helper()
			w.Fatal(err)
		}
	}
	switch w.IntN(9) {
	case 0:
		n, err := w.store.Clear(ctx)
		if n != len(w.model.entries) || err != nil {
			w.Fatalf("clear: %d, %v", n, err)
		}
		w.model.entries = nil
		return "clear"
	case 1, 2:
		file := w.path + "." + string(pick(w.chance, JSON, JSONLines))
		_, err := w.store.BackupFile(ctx, file)
		must(err)
		_, err = w.store.Clear(ctx)
		must(err)
		add(w.T, w.store, api.Record{Text: "to be replaced", Time: w.model.now})
		must(w.store.Configure(ctx, Settings{Limit: 1}))
		_, err = w.store.RestoreFile(ctx, file, RestoreOptions{Replace: true})
		must(err)
		return "restore"
	case 3, 4:
		e := pick[Embedder](w.chance, Hashing(4), turned{Hashing(4)})
		told := 0
		must(w.store.Reembed(ctx, e, func(done, total int) { told = done }))
		if told != len(w.model.entries) {
			w.Fatalf("told of %d of %d", told, len(w.model.entries))
		}
		w.model.embedder = e
		for i, r := range w.model.entries {
			r.Vector = nil
			w.model.entries[i].Vector = w.embedded(r.Record).Vector
		}
		return "reembed " + e.Name()
	case 5:
		must(w.store.Compact(ctx))
		return "compact"
	case 6:
		settings := Settings{TTL: pick(w.chance, 0, 0, time.Duration(w.model.now.Sub(start))), Limit: pick(w.chance, 0, 0, 10, 25)}
		must(w.store.Configure(ctx, settings))
		w.model.settings = settings
		w.model.purge()
		return fmt.Sprint("configure ", settings)
	default:
		key, value := pick(w.chance, "a", "b"), pick(w.chance, "", "x", "y")
		must(w.store.SetAttribute(ctx, key, []byte(value)))
		w.model.attributes[key] = value
		for key, want := range w.model.attributes {
			if got := w.store.Attribute(key); string(got) != want {
				w.Fatalf("attribute %q is %q, want %q", key, got, want)
			}
		}
		if got := w.store.Settings(); got != w.model.settings {
			w.Fatalf("settings are %v, want %v", got, w.model.settings)
		}
		return "attribute"
	}
}

func (w *walk) embedded(r api.Record) api.Record {
	if r.Vector == nil && strings.TrimSpace(r.Text) != "" {
		vectors, err := w.model.embedder.Embed(w.Context(), []string{r.Text})
		if err != nil {
			w.Fatal(err)
		}
		r.Vector = vectors[0]
	}
	return r
}

func equalItems(a, b Item) bool {
	equal := func(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
	return a.ID == b.ID && equal(a.Document, b.Document) && equal(a.URI, b.URI) && slices.Equal(a.Vector, b.Vector) && maps.Equal(a.Metadata, b.Metadata)
}

// checkQuery compares distances with those computed in float64, and the records one by one.
func (w *walk) checkQuery(q api.Query) {
	t, m := w.T, &w.model
	t.Helper()
	got, err := w.store.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	for _, r := range m.get(api.Selection{Filter: q.Filter, Since: q.Since}) {
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
		if at < 0 || seen[match.ID] || !equalRecords(match.Record, m.entries[at].Record) {
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
	if aa == 0 || bb == 0 {
		return 1
	}
	return 1 - dot/math.Sqrt(aa*bb)
}
