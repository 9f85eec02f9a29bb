package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

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
