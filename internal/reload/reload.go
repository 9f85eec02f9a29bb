// Package reload watches a project and says which of its modules changed.
//
// A file event only says that it is worth looking; what changed is found by reading the project again and comparing
// fingerprints. So it does not matter how an editor writes (in place, by rename, with swap files), in which order events arrive, or whether
// some are lost: one look after a burst of events finds the truth, and no edit without a change in content reloads anything.
//
// Read Watch first, which turns events into looks and looks into changes; watches.go keeps the set of watched folders.
package reload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/fsnotify/fsnotify"
)

const (
	defaultDebounce = 50 * time.Millisecond
	// maxWait bounds the waiting for quiet: something that writes without end must not keep edits from being seen.
	maxWait = time.Second
	// pollEvery is how often a project is looked at where events cannot tell: while its folder is gone, or without watches.
	pollEvery = time.Second
)

// Options of Watch. The zero value means the defaults.
type Options struct {
	// Debounce is how long no event may come before the project is looked at: 50 ms by default. After 1 s
	// (or Debounce, if longer) of events without end it is looked at all the same.
	Debounce time.Duration
	Log      *slog.Logger // what hinders watching, and what is done instead; default: slog.Default()

	open func() (*fsnotify.Watcher, error)     // tests: a system without instances
	add  func(*fsnotify.Watcher, string) error // tests: a system without watches
}

// Change is what one burst of edits did to a project.
type Change struct {
	// Project is the project as it is now. Where Added, Changed and Removed are all empty, something that is not a module's
	// changed (the agent's name, its limits, Problems), or the project can be read again after an Err.
	Project *project.Project
	Added   []*project.Module // sorted by name, as the others
	Changed []*project.Module
	Removed []string

	// Err says why the project as a whole cannot be read (a broken coma.yaml, a missing folder). Nothing else is set
	// then: what runs keeps running. Each error is told once, until it is another or a Change without Err comes.
	Err error

	At time.Time // when the burst's first event was seen
}

// Watch calls onChange for every burst of edits that changes the project's content, comparing with initial first, until ctx ends; it
// then returns nil. It returns an error only where the system's watcher fails. onChange is called on Watch's
// own goroutine, one Change at a time: edits during a call are told after it.
func Watch(ctx context.Context, initial *project.Project, opt Options, onChange func(Change)) error {
	w := &watcher{current: initial, log: opt.Log, add: opt.add, onChange: onChange}
	if w.log == nil {
		w.log = slog.Default()
	}
	if w.add == nil {
		w.add = (*fsnotify.Watcher).Add
	}
	open := opt.open
	if open == nil {
		open = fsnotify.NewWatcher
	}
	debounce := opt.Debounce
	if debounce <= 0 {
		debounce = defaultDebounce
	}

	system, err := open()
	switch {
	case err == nil:
		w.open(system)
		defer w.close()
	case outOfWatches(err):
		w.fallBack(err)
	default:
		return fmt.Errorf("watch project %s: %w", initial.Dir, err)
	}
	return w.run(ctx, debounce)
}

// watcher is the state of one Watch. It belongs to Watch's goroutine alone.
type watcher struct {
	current  *project.Project // as it was told last
	told     string           // the error that was told last; "" if the project was readable
	log      *slog.Logger
	onChange func(Change)
	add      func(*fsnotify.Watcher, string) error

	system  *fsnotify.Watcher // nil: polling
	events  chan fsnotify.Event
	errors  chan error
	watched map[string]watched // by path
	stale   bool               // folders came or went since the watches were set
}

func (w *watcher) run(ctx context.Context, debounce time.Duration) error {
	var first time.Time // the first event of the burst under way; zero: none is
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	wake := func() {
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		quiet.Reset(max(0, min(debounce, max(maxWait, debounce)-now.Sub(first))))
	}
	wake() // what was edited since initial was loaded is a first burst
	for {
		var poll <-chan time.Time
		if w.blind() {
			poll = time.After(pollEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-w.events:
			if !ok {
				return fmt.Errorf("watch project %s: the system's watcher ended", w.current.Dir)
			}
			if w.matters(event) {
				wake()
			}
		case err, ok := <-w.errors:
			if !ok {
				return fmt.Errorf("watch project %s: the system's watcher ended", w.current.Dir)
			}
			// Events are lost after an overflow, and perhaps after other errors: only a look at everything helps.
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				w.log.Warn("watch project", "dir", w.current.Dir, "err", err)
			}
			w.stale = true
			wake()
		case <-quiet.C:
			at := first
			first = time.Time{}
			w.look(at)
		case at := <-poll:
			w.look(at)
		}
	}
}

// blind says that no event will tell when the project changes.
func (w *watcher) blind() bool {
	_, root := w.watched[w.current.Dir]
	return w.system == nil || !root
}

// matters says whether an event may have changed the project, and watches folders that it made.
func (w *watcher) matters(event fsnotify.Event) bool {
	if event.Name == "" { // an event about a folder that is no longer watched
		return false
	}
	_, folder := w.watched[event.Name]
	if w.current.Ignored(event.Name, folder) {
		return false
	}
	if event.Has(fsnotify.Create) {
		// At once, not after the burst: what is written into it until then must wake us.
		return w.watchCreated(event.Name)
	}
	if event.Has(fsnotify.Remove | fsnotify.Rename) {
		w.stale = w.stale || folder
	}
	return true
}

// look reads the project and tells what changed.
func (w *watcher) look(at time.Time) {
	if w.system != nil && (w.stale || w.blind()) {
		w.watchAll()
	}
	now, err := project.Load(w.current.Dir)
	if err != nil {
		if w.told != err.Error() {
			w.told = err.Error()
			w.onChange(Change{Err: err, At: at})
		}
		return
	}
	before := w.current
	w.current = now
	change := compare(before, now)
	change.At = at
	if w.told != "" || !change.empty() || !sameSettings(before, now) {
		w.told = ""
		w.onChange(change)
	}
	if !now.SameIgnore(before) && w.system != nil {
		// What was ignored until now was not watched either, and may have been edited since it was read.
		w.watchAll()
		w.look(at)
	}
}

// compare says what happened to modules between two looks.
func compare(before, now *project.Project) Change {
	change := Change{Project: now}
	for _, m := range now.Modules {
		switch old := before.Module(m.Name); {
		case old == nil:
			change.Added = append(change.Added, m)
		case old.Fingerprint != m.Fingerprint:
			change.Changed = append(change.Changed, m)
		}
	}
	for _, m := range before.Modules {
		if now.Module(m.Name) == nil {
			change.Removed = append(change.Removed, m.Name)
		}
	}
	return change
}

func (c Change) empty() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) == 0 }

// sameSettings compares what is the agent's, not a module's.
func sameSettings(a, b *project.Project) bool {
	return a.Agent == b.Agent && a.Durable == b.Durable && a.MailboxLimit == b.MailboxLimit && a.ModulePath == b.ModulePath && a.GoVersion == b.GoVersion &&
		slices.Equal(a.Disabled, b.Disabled) && slices.Equal(a.Problems, b.Problems)
}

// outOfWatches: the limits of Linux on watches (ENOSPC) and on watchers (EMFILE).
func outOfWatches(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE)
}

// fallBack goes on without the system's events.
func (w *watcher) fallBack(err error) {
	limit := "fs.inotify.max_user_watches"
	if errors.Is(err, syscall.EMFILE) {
		limit = "fs.inotify.max_user_instances, or the limit on open files,"
	}
	w.log.Warn(fmt.Sprintf("the system has no watch left for %s: edits are looked for every second instead; raise %s for more (sysctl)",
		filepath.Base(w.current.Dir), limit), "dir", w.current.Dir, "err", err)
	w.close()
}
