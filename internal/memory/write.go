package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// draft is a record on its way in.
type draft struct {
	*table.Row
	embedder string // that made the vector here, as the memory names it; "": it was given, or there is none
}

// Add implements api.Memory: all of the records are stored, or none, and what Add returned is on disk. Of records with
// the same ID the first stays.
//
// Texts must be valid UTF-8. A record whose text is blank and that brings no vector is stored without one: Get finds
// it, Query does not. Vectors must have the dimension of the memory's embedder. What is refused wraps api.ErrInvalid or,
// for records past the bounds (16 MiB of text, 1 MiB of metadata in 1,000 keys, 1 KiB of ID), api.ErrTooLarge.
//
// The first vector that is given to an empty memory decides its dimension: if its embedder's is another, the memory has
// none from then on (GivenEmbedder), and texts without a vector are refused.
func (s *Store) Add(ctx context.Context, records []api.Record) ([]string, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, nil
	}
	now := micro(s.now())
	drafts := make([]draft, len(records))
	ids := make([]string, len(records))
	for i, in := range records {
		if in.ID == "" {
			in.ID = api.NewID()
		}
		d, err := newDraft(in)
		if err == nil {
			if d.Time.IsZero() {
				d.Time = timeIn(d.Metadata, s.timeKey)
			}
			if d.Time.IsZero() {
				d.Time = now
			}
			err = checkRow(d.Row)
		}
		if err != nil {
			return nil, fmt.Errorf("add record %d: %w", i, err)
		}
		drafts[i], ids[i] = d, d.ID
	}
	err := s.writeDrafts(ctx, drafts, func(b *batch) error {
		fresh := slices.DeleteFunc(slices.Clone(drafts), func(d draft) bool { return b.get(d.ID) != nil })
		return s.addDrafts(b, fresh)
	})
	if err != nil {
		return nil, fmt.Errorf("add records: %w", err)
	}
	return ids, nil
}

// addDrafts plans the adding of records whose IDs are new; of those with the same ID the first stays.
func (s *Store) addDrafts(b *batch, fresh []draft) error {
	sp, err := s.settle(b, fresh)
	if err != nil {
		return err
	}
	for _, d := range fresh {
		if b.get(d.ID) == nil {
			b.add(d.Row)
		}
	}
	if len(fresh) > 0 {
		b.setSpace(sp)
	}
	return nil
}

// Update implements api.Memory. Metadata replace all that the record had; none (nil or empty) leave it as it is.
func (s *Store) Update(ctx context.Context, records []api.Record) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	drafts := make([]draft, len(records))
	for i, in := range records {
		d, err := newDraft(in)
		if err == nil {
			if d.Time.IsZero() {
				d.Time = timeIn(d.Metadata, s.timeKey)
			}
			err = checkRow(d.Row)
		}
		if err != nil {
			return fmt.Errorf("update record %d: %w", i, err)
		}
		drafts[i] = d
	}
	err := s.writeDrafts(ctx, drafts, func(b *batch) error {
		for _, d := range drafts {
			if b.get(d.ID) == nil {
				return fmt.Errorf("record %q: %w", d.ID, api.ErrNotFound)
			}
		}
		sp, err := s.settle(b, drafts)
		if err != nil {
			return err
		}
		for _, d := range drafts {
			old := b.get(d.ID)
			b.replace(old, d.over(old, s.timeKey))
		}
		b.setSpace(sp)
		return nil
	})
	if err != nil {
		return fmt.Errorf("update records: %w", err)
	}
	return nil
}

// over returns old with what the draft has in its place.
func (d draft) over(old *table.Row, timeKey string) *table.Row {
	r := *old
	if d.Text != "" {
		r.Text, r.NoText = d.Text, false
	}
	if d.Text != "" || d.Vector != nil {
		r.Vector = d.Vector
	}
	if d.Metadata != nil {
		r.Metadata, r.NoMetadata = d.Metadata, false
	}
	if !d.Time.IsZero() {
		r.Time = d.Time
		r.Metadata = withTime(r.Metadata, timeKey, r.Time)
	}
	if !d.Expires.IsZero() {
		r.Expires = d.Expires
	}
	return &r
}

// Delete implements api.Memory. With IDs and a filter, the records go that have one of the IDs and match; with neither
// it is refused (Clear removes all). IDs that do not exist do not count.
func (s *Store) Delete(ctx context.Context, ids []string, filter *api.Filter) (int, error) {
	if len(ids) == 0 && filter == nil {
		return 0, fmt.Errorf("delete records: neither IDs nor a filter given (clear removes all): %w", api.ErrInvalid)
	}
	n, err := s.remove(ctx, ItemSelection{IDs: some(ids), Filter: filter})
	if err != nil {
		return 0, fmt.Errorf("delete records: %w", err)
	}
	return n, nil
}

// remove deletes what is selected and counts it.
func (s *Store) remove(ctx context.Context, sel ItemSelection) (n int, err error) {
	filter, err := table.Compile(sel.Filter)
	if err != nil {
		return 0, err
	}
	if filter == nil && sel.IDs != nil && sel.Limit == 0 && sel.Offset == 0 {
		err = s.write(ctx, func(b *batch) error {
			before := b.count
			for _, id := range sel.IDs {
				b.remove(id)
			}
			n = before - b.count
			return nil
		})
		return n, err
	}
	err = s.write(ctx, func(b *batch) error {
		before := b.count
		which := b.base.live(table.Select{IDs: sel.IDs, Filter: filter}, b.now)
		for r := range paged(b.base.snap.ByAdding(which), sel.Offset, sel.Limit) {
			b.remove(r.ID)
		}
		n = before - b.count
		return nil
	}, alone)
	return n, err
}

// Clear implements api.Memory. Settings and attributes stay.
func (s *Store) Clear(ctx context.Context) (int, error) {
	n := 0
	err := s.write(ctx, func(b *batch) error {
		if n = b.count; n > 0 {
			b.clear()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("clear memory: %w", err)
	}
	return n, nil
}

// newDraft copies what a caller gave: nothing of it is shared.
func newDraft(in api.Record) (draft, error) {
	meta, err := metadata(in.Metadata)
	if err != nil {
		return draft{}, err
	}
	in.Metadata = meta
	in.Time, in.Expires = micro(in.Time), micro(in.Expires)
	if len(in.Vector) == 0 {
		in.Vector = nil
	}
	in.Vector = slices.Clone(in.Vector)
	// A part of a longer string would keep all of that in memory.
	in.ID, in.Text = strings.Clone(in.ID), strings.Clone(in.Text)
	return draft{Row: &table.Row{Record: in, NoText: in.Text == "", NoMetadata: meta == nil}}, nil
}

// micro is t as it is stored: to the microsecond, in UTC. The zero time stays zero.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0).Truncate(time.Microsecond)
}

// writeDrafts makes the vectors that drafts miss and carries out the plan; again, where the memory has got another
// embedder meanwhile.
func (s *Store) writeDrafts(ctx context.Context, drafts []draft, plan func(*batch) error) error {
	for {
		if err := s.embedDrafts(ctx, drafts); err != nil {
			return err
		}
		if err := s.write(ctx, plan); !errors.Is(err, errMoved) {
			return err
		}
		for i := range drafts {
			if drafts[i].embedder != "" {
				drafts[i].embedder, drafts[i].Vector = "", nil
			}
		}
	}
}

// embedDrafts makes the vectors that are missing, in one call.
func (s *Store) embedDrafts(ctx context.Context, drafts []draft) error {
	var texts []string
	var at []int
	for i, d := range drafts {
		if d.Vector == nil && strings.TrimSpace(d.Text) != "" {
			texts, at = append(texts, d.Text), append(at, i)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	v := s.view.Load()
	name := s.spaceOf(v).Embedder
	e, err := s.speaker(v)
	if errors.Is(err, errNoText) && name == NoEmbedder {
		return nil
	}
	if err != nil {
		return err
	}
	vectors, err := s.embed(ctx, e, texts)
	if err != nil {
		return err
	}
	for i, vector := range vectors {
		if vector != nil {
			drafts[at[i]].Vector, drafts[at[i]].embedder = vector, name
		}
	}
	return nil
}
