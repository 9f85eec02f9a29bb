package memory

import (
	"context"
	"fmt"
)

// Compact writes the memory's file anew without the room that deleted and updated records have left, which is used again
// but never given back otherwise. Reads and writes go on meanwhile; a crash leaves the old file or the new one.
func (s *Store) Compact(ctx context.Context) error {
	err := s.rebuild(ctx, &follower{}, func(h header) header { return h })
	if err != nil {
		return fmt.Errorf("compact memory %s: %w", s.name, err)
	}
	return nil
}
