package memory

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Settings are what a memory keeps to by itself. The zero value keeps everything.
type Settings struct {
	TTL   time.Duration `json:"ttl,omitempty"`   // records whose Time is this long ago, or longer, are gone; 0: none are
	Limit int           `json:"limit,omitempty"` // no more records than these are kept, the oldest (by Time) go; 0: all are
}

// since returns the time from which on records are kept, at now; zero where they all are.
func (s Settings) since(now time.Time) time.Time {
	if s.TTL <= 0 {
		return time.Time{}
	}
	return now.Add(-s.TTL).Truncate(time.Microsecond).Add(time.Microsecond)
}

// Settings returns what the memory keeps to.
func (s *Store) Settings() Settings { return s.view.Load().head.settings }

// Configure gives the memory other settings, for good. What they leave no room for goes at once. TTL and Limit join with
// Record.Expires: what comes first decides.
func (s *Store) Configure(ctx context.Context, settings Settings) error {
	if settings.TTL < 0 || settings.Limit < 0 {
		return fmt.Errorf("configure memory %s: ttl %v and limit %d must not be negative: %w", s.name, settings.TTL, settings.Limit, api.ErrInvalid)
	}
	err := s.write(ctx, func(b *batch) error {
		if b.head.settings == settings {
			return nil
		}
		b.sethead(func(h *header) { h.settings = settings })
		b.sweep()
		return nil
	}, alone)
	if err != nil {
		return fmt.Errorf("configure memory %s: %w", s.name, err)
	}
	return nil
}

// maxAttributeBytes bounds one attribute.
const maxAttributeBytes = 64 << 10

// Attribute returns the small value that SetAttribute has put under key, nil where there is none. It must not be changed.
func (s *Store) Attribute(key string) []byte { return s.view.Load().head.attributes[key] }

// SetAttribute puts a small value (up to 64 KiB) beside the records, as durably as they are; nil removes it. Clear leaves
// it in place. What it means is the caller's affair.
func (s *Store) SetAttribute(ctx context.Context, key string, value []byte) error {
	if key == "" || len(key)+len(value) > maxAttributeBytes {
		return fmt.Errorf("set attribute %q of memory %s: no key, or %d bytes, more than %d: %w", key, s.name, len(value), maxAttributeBytes, api.ErrTooLarge)
	}
	value = append([]byte(nil), value...)
	err := s.write(ctx, func(b *batch) error {
		b.sethead(func(h *header) {
			h.attributes = maps.Clone(h.attributes)
			if h.attributes == nil {
				h.attributes = make(map[string][]byte)
			}
			if h.attributes[key] = value; len(value) == 0 {
				delete(h.attributes, key)
			}
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("set attribute %q of memory %s: %w", key, s.name, err)
	}
	return nil
}

// References returns how often AddReferences has counted each of these records; 0 for those that are not there.
func (s *Store) References(ids []string) []uint64 {
	snap := s.view.Load().snap
	counts := make([]uint64, len(ids))
	s.refsMu.RLock()
	defer s.refsMu.RUnlock()
	if len(s.refs) == 0 {
		return counts
	}
	for i, id := range ids {
		if r := snap.Get(id); r != nil {
			counts[i] = s.refs[r.Seq]
		}
	}
	return counts
}

// AddReferences counts one reference more for each of these records, durably; IDs that do not exist are passed over. A
// count goes with its record.
func (s *Store) AddReferences(ctx context.Context, ids []string) error {
	err := s.write(ctx, func(b *batch) error {
		for _, id := range ids {
			if r := b.get(id); r != nil {
				b.refer(r)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count references: %w", err)
	}
	return nil
}
