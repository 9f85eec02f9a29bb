package access

import (
	"context"
	"sync"
	"time"
)

// Rate lets events through at so many a second on average, after one second's worth at once. Those beyond wait, so that
// whoever sends too much is slowed down rather than cut off. The zero Rate lets everything through.
type Rate struct {
	every time.Duration // between two events; 0: no limit

	mu   sync.Mutex
	next time.Time // when the next is due
}

// NewRate returns a Rate of perSecond events.
func NewRate(perSecond int) *Rate {
	if perSecond <= 0 {
		return &Rate{}
	}
	return &Rate{every: time.Second / time.Duration(perSecond)}
}

// Wait returns when the next event may happen, or ctx's error.
func (r *Rate) Wait(ctx context.Context) error {
	if r == nil || r.every == 0 {
		return nil
	}
	r.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-time.Second); r.next.Before(earliest) {
		r.next = earliest
	}
	wait := r.next.Sub(now)
	r.next = r.next.Add(r.every)
	r.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
