package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Settings are what a memory keeps to by itself. The zero value keeps everything.
type Settings struct {
	TTL   time.Duration `json:"ttl,omitempty"`   // records whose Time is longer ago than this are gone; 0: none are
	Limit int           `json:"limit,omitempty"` // no more records than these are kept, the oldest (by Time) go; 0: all are
}

// DimensionError says that a vector is not at home in a memory. It wraps api.ErrInvalid.
type DimensionError struct {
	Want int // of the memory's vectors
	Got  int
}

func (e DimensionError) Error() string {
	return fmt.Sprintf("expecting embedding with dimension of %d, got %d", e.Want, e.Got)
}

// Unwrap implements the interface that errors.Is uses.
func (e DimensionError) Unwrap() error { return api.ErrInvalid }

var _ = context.Background
