package access

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Throttle slows down those who guess. After a few failures from one address, the address is refused for a while, twice
// as long each time; after a few failures of one user, from wherever, each further attempt waits before it is looked at,
// but none is refused: whoever guesses must not be able to lock a user out. What has not failed for forget is forgotten.
//
// Addresses of this machine are never refused: all who come through a proxy or a tunnel have one.
type Throttle struct {
	now func() time.Time

	mu      sync.Mutex
	failed  map[string]*failures // by address or, with "user:" in front, by user
	waiting int
}

type failures struct {
	count int
	last  time.Time
	until time.Time // an address is refused till then
}

// How a Throttle reckons.
const (
	free        = 5 // failures that cost nothing
	firstPause  = time.Second
	longest     = time.Minute     // for an address
	longestWait = 2 * time.Second // for a user
	forget      = 15 * time.Minute
	maxFailures = 8192 // addresses and users remembered
	maxWaiting  = 64   // attempts that wait; beyond it they are refused
)

// NewThrottle returns a Throttle that goes by that clock.
func NewThrottle(now func() time.Time) *Throttle {
	return &Throttle{now: now, failed: map[string]*failures{}}
}

// Refused returns how long an address is still refused; 0: it is not.
func (t *Throttle) Refused(address string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.failed[Network(address)]
	if f == nil {
		return 0
	}
	return max(0, f.until.Sub(t.now()))
}

// Failed counts a failure; user may be "".
func (t *Throttle) Failed(address, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if network := Network(address); network != "" {
		f := t.count(network, now)
		f.until = now.Add(pause(f.count, longest))
	}
	if user != "" {
		t.count("user:"+user, now)
	}
}

// Forget forgets the failures of an address and a user, who got it right at last.
func (t *Throttle) Forget(address, user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.failed, Network(address))
	delete(t.failed, "user:"+user)
}

// Wait waits as long as the failures of a user ask for. It returns ErrThrottled where too many wait, or ctx's error.
func (t *Throttle) Wait(ctx context.Context, user string) error {
	t.mu.Lock()
	var wait time.Duration
	if f := t.failed["user:"+user]; f != nil && t.now().Sub(f.last) < forget {
		wait = pause(f.count, longestWait)
	}
	if wait == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.waiting >= maxWaiting {
		t.mu.Unlock()
		return ErrThrottled
	}
	t.waiting++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.waiting--
		t.mu.Unlock()
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// count is called with mu held.
func (t *Throttle) count(key string, now time.Time) *failures {
	f := t.failed[key]
	if f == nil {
		if len(t.failed) >= maxFailures {
			t.tidy(now)
		}
		f = &failures{}
		t.failed[key] = f
	}
	if now.Sub(f.last) >= forget {
		f.count = 0
	}
	f.count++
	f.last = now
	return f
}

// tidy makes room: what is forgotten goes and, should that not be enough, the quarter that failed longest ago.
func (t *Throttle) tidy(now time.Time) {
	keys := make([]string, 0, len(t.failed))
	for key, f := range t.failed {
		if now.Sub(f.last) >= forget {
			delete(t.failed, key)
		} else {
			keys = append(keys, key)
		}
	}
	if len(keys) < maxFailures {
		return
	}
	slices.SortFunc(keys, func(x, y string) int { return t.failed[x].last.Compare(t.failed[y].last) })
	for _, key := range keys[:len(keys)/4] {
		delete(t.failed, key)
	}
}

// pause grows with the failures, to at most the longest.
func pause(count int, longest time.Duration) time.Duration {
	if count < free {
		return 0
	}
	return min(longest, firstPause<<min(count-free, 16))
}

// Network is what counts as one address: an IPv4 address, or the 64 bits of IPv6 that one customer has; "" for this
// machine's own and for what is no address.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() {
		return ""
	}
	if ip.Is6() {
		prefix, err := ip.Prefix(64)
		if err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}
