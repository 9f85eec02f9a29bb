package access

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Small is what every message may have, in bytes, without being counted by an Intake: of these a connection has one at a
// time, and connections are bounded.
const Small = 64 << 10

// patience is how long a message waits for room before its sender is cut off.
const patience = 30 * time.Second

// ErrCrowded is what becomes of a message for which there is no room.
var ErrCrowded = errors.New("too many bytes are on their way in: wait for what was sent before (--limit in-flight)")

var errEnded = errors.New("the connection has ended")

// Intake bounds the bytes of messages that are being received, or have been and are not dealt with yet: all together, and
// a share of it for each user, so that nobody fills the memory with messages that are held back. Those who have not said
// who they are have one share together. The owner has no bound on this machine, and elsewhere all.
//
// For what does not fit, its sender waits, and is cut off in the end. Each user's wait in the order in which they came, and
// none for another user's, unless all is taken.
type Intake struct {
	all, each int64

	mu      sync.Mutex
	taken   int64
	by      map[string]int64 // of taken, by user; no zeros
	waiting []*waiter
}

type waiter struct {
	user    string
	bytes   int64
	granted chan struct{} // closed when they are taken
}

// NewIntake returns an Intake of limits.InFlight.
func NewIntake(limits Limits) *Intake {
	all := limits.WithDefaults().InFlight
	return &Intake{all: all, each: max(all/inFlightShare, 1), by: map[string]int64{}}
}

// inFlightShare is the part of an Intake that one user may take alone.
const inFlightShare = 4

// Hold is what one connection or request has taken of an Intake. It is used by one goroutine at a time. The zero Hold is one
// without bounds, that takes nothing.
type Hold struct {
	intake *Intake
	user   string
	bytes  int64
}

// Hold returns a Hold of nothing yet, for a connection that is id's; here tells that it comes from this machine.
func (in *Intake) Hold(id Identity, here bool) Hold {
	switch {
	case id.owner && here:
		return Hold{}
	case id.owner:
		return Hold{intake: in, user: OwnerName}
	}
	return Hold{intake: in, user: id.name}
}

// most is what a user may take.
func (in *Intake) most(user string) int64 {
	if user == OwnerName {
		return in.all
	}
	return in.each
}

// Free reports whether the Hold has no bounds.
func (h *Hold) Free() bool { return h.intake == nil }

// Most is the size, in bytes, of the largest message that can be taken; of a Hold without bounds it is the largest number.
func (h *Hold) Most() int64 {
	if h.intake == nil {
		return math.MaxInt64
	}
	return h.intake.most(h.user)
}

// Reach has the Hold cover a message of so many bytes in all, waiting for room until done is closed. The error is an
// api.ErrTooLarge for what never fits, or ErrCrowded.
func (h *Hold) Reach(done <-chan struct{}, bytes int64) error {
	if h.intake == nil || bytes <= Small || bytes <= h.bytes {
		return nil
	}
	if most := h.Most(); bytes > most {
		return fmt.Errorf("%d bytes: %w: of one user %d may be on their way at a time (--limit in-flight)", bytes, api.ErrTooLarge, most)
	}
	if err := h.intake.take(done, h.user, bytes-h.bytes, h.bytes > 0); err != nil {
		return err
	}
	h.bytes = bytes
	return nil
}

// Part makes a Hold of so many bytes, however few, for a part of the message that is to be kept longer than the message:
// what that has taken goes over to the part, the rest is taken if there is room for it now.
func (h *Hold) Part(bytes int64) (part Hold, ok bool) {
	part = *h
	if h.intake == nil {
		return part, true
	}
	in := h.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	over := min(h.bytes, bytes)
	if !in.fits(h.user, bytes-over) {
		return Hold{}, false
	}
	in.add(h.user, bytes-over)
	h.bytes -= over
	part.bytes = bytes
	return part, true
}

// Release gives back all that has been taken.
func (h *Hold) Release() {
	if h.bytes == 0 {
		return
	}
	in := h.intake
	in.mu.Lock()
	defer in.mu.Unlock()
	in.add(h.user, -h.bytes)
	h.bytes = 0
	in.grant()
}

// Taken returns how many bytes a user has taken, and how many of the user's messages wait.
func (in *Intake) Taken(user string) (bytes int64, waiting int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, w := range in.waiting {
		if w.user == user {
			waiting++
		}
	}
	return in.by[user], waiting
}

// take waits for room. What comes to a message that has taken some already goes before what has not begun: that can only
// begin when it has ended.
func (in *Intake) take(done <-chan struct{}, user string, bytes int64, begun bool) error {
	in.mu.Lock()
	w := &waiter{user: user, bytes: bytes, granted: make(chan struct{})}
	if begun {
		in.waiting = slices.Insert(in.waiting, 0, w)
	} else {
		in.waiting = append(in.waiting, w)
	}
	in.grant()
	in.mu.Unlock()
	var err error
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.granted:
		return nil
	case <-done:
		err = errEnded
	case <-timer.C:
		err = ErrCrowded
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if i := slices.Index(in.waiting, w); i >= 0 {
		in.waiting = slices.Delete(in.waiting, i, i+1)
	} else {
		in.add(user, -bytes) // it was granted at the same moment
	}
	in.grant() // to those whom it kept waiting
	return err
}

// grant gives room to those who wait, as far as there is some. It is called with mu held.
func (in *Intake) grant() {
	var behind map[string]bool // users of whom an earlier one waits on
	in.waiting = slices.DeleteFunc(in.waiting, func(w *waiter) bool {
		if behind[w.user] || !in.fits(w.user, w.bytes) {
			if behind == nil {
				behind = map[string]bool{}
			}
			behind[w.user] = true
			return false
		}
		in.add(w.user, w.bytes)
		close(w.granted)
		return true
	})
}

// fits is called with mu held.
func (in *Intake) fits(user string, bytes int64) bool {
	return in.taken+bytes <= in.all && in.by[user]+bytes <= in.most(user)
}

// add is called with mu held.
func (in *Intake) add(user string, bytes int64) {
	in.taken += bytes
	if in.by[user] += bytes; in.by[user] == 0 {
		delete(in.by, user)
	}
}
