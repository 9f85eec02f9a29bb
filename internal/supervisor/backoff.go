package supervisor

import (
	"math/rand/v2"
	"time"
)

// DefaultRestartDelay is the first delay before a module is started again.
const DefaultRestartDelay = time.Second

// The longest delay, and the time that a module must have run for the delay to begin at the first again, as multiples of
// the first.
const (
	longest = 60
	quiet   = 60
)

// backoff says how long to wait before a module is started again: twice as long each time, with jitter, so that modules
// that failed of the same cause do not all come back at the same moment.
type backoff struct {
	first time.Duration
	last  time.Duration
}

// next returns the delay after a generation that ran for lived.
func (b *backoff) next(lived time.Duration) time.Duration {
	if lived >= quiet*b.first {
		b.last = 0
	}
	b.last = min(max(2*b.last, b.first), longest*b.first)
	return b.last + rand.N(b.last/5+1) - b.last/10
}
