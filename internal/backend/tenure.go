package backend

import (
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/access"
)

// tenures are the requests and the connections of users by HTTP, while they last. Each call asks what its user may do; what
// goes on between calls (a seat, an agent that is run, a stream of what is heard) ends when that changes, and whoever still
// may begins it anew.
type tenures struct {
	mu   sync.Mutex
	open map[*tenure]struct{}
}

type tenure struct {
	id    access.Identity
	could access.Permissions
	end   func()
}

// begin notes what is a user's until over is called. end is called, in anybody's goroutine, where the user is gone, or may do
// something else than now.
func (t *tenures) begin(id access.Identity, end func()) (over func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	could, ok := id.Permissions() // with mu held: a review of what changes from now on will find this one
	if !ok {
		end() // it has been so since the password was looked at
		return func() {}
	}
	begun := &tenure{id, could, end}
	if t.open == nil {
		t.open = map[*tenure]struct{}{}
	}
	t.open[begun] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, begun)
	}
}

// review ends what is not as it was. It is called when the users have changed.
func (t *tenures) review() {
	t.mu.Lock()
	open := slices.Collect(maps.Keys(t.open))
	t.mu.Unlock()
	for _, begun := range open {
		if can, ok := begun.id.Permissions(); !ok || !reflect.DeepEqual(can, begun.could) {
			begun.end()
		}
	}
}
