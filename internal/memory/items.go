package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// Item is a record as clients of the Chroma API see it: what is null there is nil here.
//
// What items in answers hold is shared with the memory: it must not be changed. What is written becomes the memory's:
// it must not be changed any more.
type Item struct {
	ID       string
	Document *string
	URI      *string
	Vector   []float32
	Metadata map[string]any // of the four kinds; in updates a nil value removes its key
}

// Mode says what writing an item does with IDs that exist, and with those that do not.
type Mode string

// The modes.
const (
	AddItems    Mode = "add"    // existing IDs stay as they are
	UpdateItems Mode = "update" // unknown IDs are passed over; metadata are merged; what is nil stays
	UpsertItems Mode = "upsert" // update where the ID exists, else add
)

// ItemSelection says which items are meant: all that have one of the IDs (nil: any) and match Filter (nil: all), in the
// order of adding, without the first Offset, and no more than Limit (0: all).
type ItemSelection struct {
	IDs     []string
	Filter  *api.Filter
	Limit   int
	Offset  int
	Vectors bool // answer with vectors
}

// ItemMatch is an item and its distance to what was asked for.
type ItemMatch struct {
	Item
	Distance float64
}

// WriteItems writes items as mode says: all of them durably, or none. Nothing is embedded: an item without a vector has
// none. A new record takes its time from its metadata, where Options.TimeKey has a number there, else it is now; an
// update that changes that number changes the time. Of new items with the same ID AddItems keeps the first; otherwise the
// later ones come over the earlier.
//
// Errors are those of Add; a vector of another dimension is a DimensionError.
func (s *Store) WriteItems(ctx context.Context, mode Mode, items []Item) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	now := micro(s.now())
	drafts := make([]draft, len(items))
	for i, item := range items {
		row, err := s.itemRow(item)
		if err == nil {
			err = checkRow(row)
		}
		if err != nil {
			return fmt.Errorf("%s item %d: %w", mode, i, err)
		}
		drafts[i] = draft{Row: row}
	}
	err := s.write(ctx, func(b *batch) error {
		var chosen []draft
		for _, d := range drafts {
			// Also of items that are passed over: so does Chroma.
			if want := b.head.Dimension; b.count > 0 && want != 0 && d.Vector != nil && len(d.Vector) != want {
				return fmt.Errorf("item %q: %w", d.ID, DimensionError{Want: want, Got: len(d.Vector)})
			}
			if there := b.get(d.ID) != nil; mode == UpsertItems || there == (mode == UpdateItems) {
				chosen = append(chosen, d)
			}
		}
		sp, err := s.settle(b, chosen)
		if err != nil {
			return err
		}
		// An update is checked as a whole before anything is changed: merged metadata may be too large.
		merged := make([]*table.Row, len(chosen))
		before := make(map[string]*table.Row) // what earlier items of these make of a record
		for i, d := range chosen {
			old := before[d.ID]
			if old == nil {
				old = b.get(d.ID)
			}
			switch {
			case old == nil:
				merged[i] = fresh(d.Row, now)
			case mode == AddItems:
				continue
			default:
				if merged[i], err = s.merge(old, d.Row); err != nil {
					return fmt.Errorf("%s item %q: %w", mode, d.ID, err)
				}
			}
			before[d.ID] = merged[i]
		}
		for _, r := range merged {
			if r == nil {
				continue
			}
			if old := b.get(r.ID); old != nil {
				b.replace(old, r)
			} else {
				b.add(r)
			}
		}
		if len(chosen) > 0 {
			b.setSpace(sp)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s items: %w", mode, err)
	}
	return nil
}

// itemRow is an item as a row. In its metadata nil values are kept, for merge; checkRow takes no notice of them.
func (s *Store) itemRow(item Item) (*table.Row, error) {
	r := &table.Row{NoText: item.Document == nil, NoMetadata: len(item.Metadata) == 0, URI: item.URI}
	r.ID = strings.Clone(item.ID)
	if item.Document != nil {
		r.Text = *item.Document
	}
	if len(item.Vector) > 0 {
		r.Vector = item.Vector
	}
	if len(item.Metadata) > maxMetadataKeys {
		return nil, fmt.Errorf("metadata has %d keys, more than %d: %w", len(item.Metadata), maxMetadataKeys, api.ErrTooLarge)
	}
	if len(item.Metadata) > 0 {
		r.Metadata = make(map[string]any, len(item.Metadata))
	}
	for key, v := range item.Metadata {
		if v != nil {
			var err error
			if v, err = table.Value(v); err != nil {
				return nil, fmt.Errorf("metadata %q: %w", key, err)
			}
		}
		r.Metadata[key] = v
	}
	r.Time = timeIn(r.Metadata, s.timeKey)
	return r, nil
}

// fresh is a new row of an item: it has a time, and metadata without nils.
func fresh(in *table.Row, now time.Time) *table.Row {
	r := *in
	if r.Time.IsZero() {
		r.Time = now
	}
	r.Metadata = maps.Clone(in.Metadata)
	maps.DeleteFunc(r.Metadata, func(_ string, v any) bool { return v == nil })
	if r.NoMetadata = len(r.Metadata) == 0; r.NoMetadata {
		r.Metadata = nil
	}
	return &r
}

// merge returns old with what an item has in its place.
func (s *Store) merge(old, in *table.Row) (*table.Row, error) {
	r := *old
	if !in.NoText {
		r.Text, r.NoText = in.Text, false
	}
	if in.URI != nil {
		r.URI = in.URI
	}
	if in.Vector != nil {
		r.Vector = in.Vector
	}
	if !in.Time.IsZero() {
		r.Time = in.Time
	}
	if len(in.Metadata) == 0 {
		return &r, nil
	}
	meta := make(map[string]any, len(old.Metadata)+len(in.Metadata))
	maps.Copy(meta, old.Metadata)
	for key, v := range in.Metadata {
		if v == nil {
			delete(meta, key)
		} else {
			meta[key] = v
		}
	}
	r.Metadata, r.NoMetadata = meta, false
	if len(meta) == 0 {
		r.Metadata = nil
	}
	if len(meta) > maxMetadataKeys {
		return nil, fmt.Errorf("metadata has %d keys, more than %d: %w", len(meta), maxMetadataKeys, api.ErrTooLarge)
	}
	return &r, checkMetadata(meta)
}

// Items returns the selected items. IDs that do not exist are left out.
func (s *Store) Items(ctx context.Context, sel ItemSelection) ([]Item, error) {
	v, which, err := s.selectItems(ctx, sel)
	if err != nil {
		return nil, fmt.Errorf("get items: %w", err)
	}
	items := []Item{}
	for r := range paged(v.snap.ByAdding(which), sel.Offset, sel.Limit) {
		items = append(items, s.item(r, sel.Vectors))
		if len(items)%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return items, nil
}

// NearestItems returns, for each of the vectors, the k nearest of the selected items, nearest first, equally near ones in
// the order of adding. Those without a vector are not among them. Limit and Offset are not read. All answers are of one
// moment.
func (s *Store) NearestItems(ctx context.Context, vectors [][]float32, k int, metric table.Metric, sel ItemSelection) ([][]ItemMatch, error) {
	v, which, err := s.selectItems(ctx, sel)
	if err == nil && k < 1 {
		err = fmt.Errorf("k is %d: %w", k, api.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("query items: %w", err)
	}
	all := make([][]ItemMatch, len(vectors))
	for i, vector := range vectors {
		if err := s.fits(v, vector); err != nil {
			return nil, fmt.Errorf("query items: %w", err)
		}
		all[i] = []ItemMatch{}
		if v.head.Dimension == 0 || v.snap.Len() == 0 {
			continue
		}
		hits, err := v.snap.Nearest(ctx, vector, k, metric, which)
		if err != nil {
			return nil, fmt.Errorf("query items: %w", err)
		}
		all[i] = make([]ItemMatch, len(hits))
		for j, h := range hits {
			all[i][j] = ItemMatch{Item: s.item(h.Row, sel.Vectors), Distance: h.Distance}
		}
	}
	return all, nil
}

// DeleteItems removes the selected items and returns how many there were. A selection of nothing is refused.
func (s *Store) DeleteItems(ctx context.Context, sel ItemSelection) (int, error) {
	if sel.IDs == nil && sel.Filter == nil {
		return 0, fmt.Errorf("delete items: neither IDs nor a filter given (clear removes all): %w", api.ErrInvalid)
	}
	if sel.Limit < 0 || sel.Offset < 0 {
		return 0, fmt.Errorf("delete items: limit %d and offset %d must not be negative: %w", sel.Limit, sel.Offset, api.ErrInvalid)
	}
	n, err := s.remove(ctx, sel)
	if err != nil {
		return 0, fmt.Errorf("delete items: %w", err)
	}
	return n, nil
}

func (s *Store) selectItems(ctx context.Context, sel ItemSelection) (*view, table.Select, error) {
	if err := s.start(ctx); err != nil {
		return nil, table.Select{}, err
	}
	if sel.Limit < 0 || sel.Offset < 0 {
		return nil, table.Select{}, fmt.Errorf("limit %d and offset %d must not be negative: %w", sel.Limit, sel.Offset, api.ErrInvalid)
	}
	filter, err := table.Compile(sel.Filter)
	if err != nil {
		return nil, table.Select{}, err
	}
	v := s.view.Load()
	return v, v.live(table.Select{IDs: sel.IDs, Filter: filter}, s.now()), nil
}

// item is a row as an item.
func (s *Store) item(r *table.Row, vectors bool) Item {
	item := Item{ID: r.ID, URI: r.URI, Metadata: r.Metadata}
	if !r.NoText {
		item.Document = &r.Text
	}
	if vectors {
		item.Vector = r.Vector
	}
	if item.Metadata == nil && !r.NoMetadata {
		item.Metadata = map[string]any{}
	}
	if _, own := r.Metadata[s.timeKey]; s.timeKey != "" && !own {
		item.Metadata = make(map[string]any, len(r.Metadata)+1)
		maps.Copy(item.Metadata, r.Metadata)
		item.Metadata[s.timeKey] = secondsOf(r.Time)
	}
	return item
}

// paged passes over the first offset rows and ends after limit; 0: does not end.
func paged(rows iter.Seq[*table.Row], offset, limit int) iter.Seq[*table.Row] {
	return func(yield func(*table.Row) bool) {
		n := 0
		for r := range rows {
			if n++; n <= offset {
				continue
			}
			if !yield(r) || limit > 0 && n == offset+limit {
				return
			}
		}
	}
}
