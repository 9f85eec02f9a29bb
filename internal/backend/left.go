package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// leftSeats are the seats of modules whose programs come and go (link.Continue), as they were when the backend closed. A
// module that holds a connection says itself, at the next backend, what it has in hand and subscribes to; for these the
// backend remembers.
type leftSeats struct {
	PID   int        `json:"pid"` // of the process that ran the agent, and still does if the seats are to be had again
	Seats []leftSeat `json:"seats"`
}

type leftSeat struct {
	api.Identity
	Hand   uint64   `json:"hand,omitempty"`
	Topics []string `json:"topics,omitempty"`
}

const leftFile = "seats.json"

// leave remembers the seats that wait for their modules' programs, and those of a backend before, if who ran the agent has
// not come back for them. It is called with agent.mu held, when the agent is closed.
func (a *agent) leave() error {
	left := leftSeats{PID: a.ranBy}
	if a.ranBy == 0 {
		left = a.left
	}
	for _, s := range a.seats {
		if !s.continues {
			continue
		}
		kept := leftSeat{Identity: s.id, Hand: s.reader.InHand()}
		for _, pattern := range slices.Sorted(maps.Keys(a.topics[s.id.Module])) {
			if a.topics[s.id.Module][pattern].owner == s {
				kept.Topics = append(kept.Topics, pattern)
			}
		}
		left.Seats = append(left.Seats, kept)
	}
	if len(left.Seats) == 0 {
		return nil
	}
	data, err := json.Marshal(left)
	if err == nil {
		err = folders.WriteFile(filepath.Join(a.dir, leftFile), data)
	}
	if err != nil {
		return fmt.Errorf("remember what scripts have in hand: %w: those messages come again", err)
	}
	return nil
}

// readLeft returns what an earlier backend has left behind in an agent's folder. It is there once: a backend that is killed
// later has other things in hand.
func readLeft(dir string, log *slog.Logger) (left leftSeats) {
	path := filepath.Join(dir, leftFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return left
	}
	if err = errors.Join(err, os.Remove(path)); err == nil {
		err = json.Unmarshal(data, &left)
	}
	if err != nil {
		log.Warn("what scripts had in hand is not known: those messages come again", slog.Any("error", err))
		return leftSeats{}
	}
	return left
}

// regain takes the seats again for who runs the agent, if that is who ran it, and no program has come before.
func (a *agent) regain(pid int) {
	a.mu.Lock()
	left := a.left
	a.left = leftSeats{}
	a.mu.Unlock()
	if left.PID != pid {
		return
	}
	for _, l := range left.Seats {
		if a.seat(l.Identity) != nil {
			continue
		}
		s, err := a.backend.seat(link.Claim{Identity: l.Identity, Mode: link.Continue, Resume: true, Hand: l.Hand}, make(chan struct{}))
		if err == nil {
			for _, pattern := range l.Topics {
				err = errors.Join(err, s.Subscribe(context.Background(), pattern)) // which waits for nothing
			}
			a.backend.Unseat(s)
		}
		if err != nil {
			a.warn(l.Module, fmt.Sprintf("after the backend's restart: %v", err))
		}
	}
}

// reunited waits, for a program whose module has left a seat behind, until who runs the agent is back.
func (b *Backend) reunited(ctx context.Context, id api.Identity) error {
	a, err := b.use(id.Agent, nil)
	if errors.Is(err, api.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	a.mu.Lock()
	attached := a.attached
	left := slices.ContainsFunc(a.left.Seats, func(l leftSeat) bool { return l.Identity == id })
	a.mu.Unlock()
	if left {
		late := time.NewTimer(reunion)
		defer late.Stop()
		select {
		case <-attached:
		case <-late.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return errors.Join(err, a.done())
}
