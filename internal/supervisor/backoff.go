package supervisor

import (
	"math/rand/v2"
	"time"
)

// Restart delays: the first, the longest, and how long a module must have run for the delay to begin at the first again.
const (
	firstDelay = time.Second
	longest    = time.Minute
	quiet      = time.Minute
)

// backoff says how long to wait before a module is started again: twice as long each time, with jitter, so that modules
// that failed of the same cause do not all come back at the same moment.
type backoff struct{ last time.Duration }

// next returns the delay after a generation that ran for lived.
func (b *backoff) next(lived time.Duration) time.Duration {
	if lived >= quiet {
		b.last = 0
	}
	b.last = min(max(2*b.last, firstDelay), longest)
	return b.last + rand.N(b.last/5) - b.last/10
}
