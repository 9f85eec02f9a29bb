package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// draft is a record on its way in.
type draft struct {
	*record
	embedded bool // the store's embedder made the vector
}

// Add implements api.Memory: all of the records are stored, or none, and what Add returned is on disk. Of records with
// the same ID the first stays.
//
// Texts must be valid UTF-8. A record whose text is blank and that brings no vector is stored without one: Get finds
// it, Query does not. Vectors must have the dimension of the memory's embedder. What is refused wraps api.ErrInvalid or,
// for records past the bounds (16 MiB of text, 1 MiB of metadata in 1,000 keys, 1 KiB of ID), api.ErrTooLarge.
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
		if in.Time.IsZero() {
			in.Time = now
		}
		d, err := newDraft(in)
		if err != nil {
			return nil, fmt.Errorf("add record %d: %w", i, err)
		}
		drafts[i], ids[i] = d, d.ID
	}
	if err := s.embedDrafts(ctx, drafts); err != nil {
		return nil, fmt.Errorf("add records: %w", err)
	}
	err := s.write(ctx, func(b *batch) error {
		fresh := slices.DeleteFunc(slices.Clone(drafts), func(d draft) bool { return b.get(d.ID) != nil })
		if err := s.admit(b, fresh); err != nil {
			return err
		}
		for _, d := range fresh {
			if b.get(d.ID) == nil { // not even an earlier one of these
				b.add(d.record)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("add records: %w", err)
	}
	return ids, nil
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
		if err != nil {
			return fmt.Errorf("update record %d: %w", i, err)
		}
		drafts[i] = d
	}
	if err := s.embedDrafts(ctx, drafts); err != nil {
		return fmt.Errorf("update records: %w", err)
	}
	err := s.write(ctx, func(b *batch) error {
		for _, d := range drafts {
			if b.get(d.ID) == nil {
				return fmt.Errorf("record %q: %w", d.ID, api.ErrNotFound)
			}
		}
		if err := s.admit(b, drafts); err != nil {
			return err
		}
		for _, d := range drafts {
			old := b.get(d.ID)
			b.replace(old, d.over(old))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("update records: %w", err)
	}
	return nil
}

// over returns old with what the draft has in its place.
func (d draft) over(old *record) *record {
	r := *old
	if d.Text != "" {
		r.Text = d.Text
	}
	if d.Text != "" || d.Vector != nil {
		r.Vector = d.Vector
	}
	if !d.Time.IsZero() {
		r.Time = d.Time
	}
	if d.Metadata != nil {
		r.Metadata = d.Metadata
	}
	return &r
}

// Delete implements api.Memory. With IDs and a filter, the records go that have one of the IDs and match; with neither
// it is refused (Clear removes all). IDs that do not exist do not count.
func (s *Store) Delete(ctx context.Context, ids []string, filter *api.Filter) (int, error) {
	if len(ids) == 0 && filter == nil {
		return 0, fmt.Errorf("delete records: neither IDs nor a filter given (clear removes all): %w", api.ErrInvalid)
	}
	matches, err := compile(filter)
	if err != nil {
		return 0, fmt.Errorf("delete records: %w", err)
	}
	n := 0
	err = s.write(ctx, func(b *batch) error {
		var gone []string
		if len(ids) > 0 {
			for _, id := range ids {
				if r := b.get(id); r != nil && matches(r) {
					gone = append(gone, id)
				}
			}
		} else {
			for r := range b.all() {
				if matches(r) {
					gone = append(gone, r.ID)
				}
			}
		}
		before := b.count
		for _, id := range gone {
			b.remove(id)
		}
		n = before - b.count
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("delete records: %w", err)
	}
	return n, nil
}

// Clear implements api.Memory.
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

// newDraft checks and copies what a caller gave: nothing of it is shared.
func newDraft(in api.Record) (draft, error) {
	meta, err := metadata(in.Metadata)
	if err != nil {
		return draft{}, err
	}
	in.Metadata = meta
	in.Time = micro(in.Time)
	if len(in.Vector) == 0 {
		in.Vector = nil
	}
	in.Vector = slices.Clone(in.Vector)
	// A part of a longer string would keep all of that in memory.
	in.ID, in.Text = strings.Clone(in.ID), strings.Clone(in.Text)
	r := &record{Record: in}
	return draft{record: r}, checkRecord(r)
}

// micro is t as it is stored: to the microsecond, in UTC. The zero time stays zero.
func micro(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0).Truncate(time.Microsecond)
}

// embedDrafts makes the vectors that are missing, in one call.
func (s *Store) embedDrafts(ctx context.Context, drafts []draft) error {
	var texts []string
	var at []int
	for i, d := range drafts {
		if d.Vector == nil && d.Text != "" {
			texts, at = append(texts, d.Text), append(at, i)
		}
	}
	vectors, err := s.embed(ctx, texts)
	if err != nil {
		return err
	}
	for i, v := range vectors {
		drafts[at[i]].Vector = v
		drafts[at[i]].embedded = v != nil
	}
	return nil
}

// admit checks that the vectors of drafts are at home in the memory, which takes the store's embedder while it is empty.
func (s *Store) admit(b *batch, drafts []draft) error {
	if b.count == 0 {
		b.space = s.own
	}
	for _, d := range drafts {
		if d.embedded {
			if err := s.speaks(b.space); err != nil {
				return err
			}
		}
		if d.Vector != nil && len(d.Vector) != b.space.Dimension {
			return fmt.Errorf("record %q: %w", d.ID, checkVector(d.Vector, b.space))
		}
	}
	return nil
}
