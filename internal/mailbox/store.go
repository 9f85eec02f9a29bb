// Package mailbox keeps the messages that wait for an agent's modules: ordered, bounded, journaled queues, one a module.
//
// How to read it, in the order of a message's way: store.go (what a caller opens), box.go (Put, and what happens at the
// bounds), reader.go (Next, Begin, Ack, and how a reader ends), dead.go (dead letters). ring.go is the queue itself.
// Behind them stands the disk: flush.go (the one goroutine that writes, and when), compact.go (what it
// rewrites), journal.go (the file: append, roll back, replace), record.go (its format), replay.go (reading it again, and cutting a damaged tail).
//
// Three ideas carry the package:
//
//   - Memory is the truth while the store is open; the journal follows it. Put and Ack change memory under one mutex per
//     box and at most mark the box as dirty. The flusher later writes what then is still unread, so a message that was
//     read and acknowledged in between never touches the disk.
//   - What a reader sees is bounded by a watermark, Box.visible. In a durable store it is the last message that is on disk.
//     In one that writes behind it is the last sequence number that is reserved on disk, so that no number is given twice
//     even where the host was killed. In memory alone there is no such bound.
//   - Records are absolute ("message 7 has died 2 times", "all up to 9 are read"), so writing one twice does no harm,
//     which makes failed writes, retries and rewrites of the file simple.
package mailbox

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Errors that end waiting calls.
var (
	// ErrClosed ends calls when the store is closed. It is an api.ErrClosed too.
	ErrClosed = fmt.Errorf("mailboxes are closed: %w", api.ErrClosed)
	// ErrRemoved ends calls on a box that was removed. It is an api.ErrUnknown too.
	ErrRemoved = fmt.Errorf("mailbox was removed: %w", api.ErrUnknown)
)

// Options of a store. The zero value is a store that writes behind, with the default bounds.
type Options struct {
	// Durable lets Put return, and readers see a message, once it is fsynced. Puts that wait together share one fsync.
	Durable bool
	// FlushInterval is how long a message may wait for being written where Durable is not set. 0: 50 ms.
	FlushInterval time.Duration
	// Limit is how many messages a box holds, those in a reader's hands included. Put waits beyond it. 0: 1000.
	Limit int
	// MaxBytes is how many bytes a box holds: texts, headers and the other strings of its messages. Put waits beyond it;
	// one message alone always fits. Dead letters have the same bound, apart. 0: 64 MiB.
	MaxBytes int64
	// MaxDeaths is the number of deaths at which a message goes to the dead letters. 0: 5.
	MaxDeaths int
	// Log takes write failures, damaged tails and dead letters. nil: discarded.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.FlushInterval <= 0 {
		o.FlushInterval = 50 * time.Millisecond
	}
	if o.Limit <= 0 {
		o.Limit = 1000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxDeaths <= 0 {
		o.MaxDeaths = 5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is a set of boxes with one journal. It is safe for concurrent use.
type Store struct {
	opt Options

	// Order of locking: Box.mu before Store.mu.
	mu      sync.Mutex
	boxes   map[string]*Box
	lastID  uint64   // number of the newest box; never given twice within a journal
	closed  bool     // Box makes no usable box any more
	dirty   []*Box   // boxes that have something to write
	removed []uint64 // numbers of boxes whose removal is to be written
	syncs   []*round // calls of Sync that wait
	urgent  bool     // someone waits: flush now, not at the next interval
	failure error    // see Err

	// The flusher; nil journal: memory only. The journal is the flusher's alone once that runs.
	journal *journal
	wake    chan struct{} // capacity 1: dirty has become non-empty, or urgent true
	quit    chan struct{}
	done    chan struct{}
	once    sync.Once
	closing error // result of Close
}

// Open opens the journal at path, or makes one, and reads the boxes back. An empty path means memory only: no journal,
// and Durable promises nothing. The caller must see to it that no other process has the journal open.
//
// A damaged tail is cut off, kept beside the journal as <path>.damaged-<offset>, and told in Recovery. A file that is not
// a journal, or one of a newer version, is an error and is not touched.
func Open(path string, opt Options) (*Store, Recovery, error) {
	return open(path, opt, openFile)
}

func open(path string, opt Options, openFile opener) (*Store, Recovery, error) {
	s := &Store{opt: opt.withDefaults(), boxes: map[string]*Box{}}
	if path == "" {
		s.opt.Durable = false
		return s, Recovery{}, nil
	}
	recovery, size, err := s.replay(path)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open mailbox journal %s: %w", path, err)
	}
	s.journal, err = openJournal(path, size, openFile)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open mailbox journal %s: %w", path, err)
	}
	if recovery.Cut > 0 {
		s.opt.Log.Warn("mailbox journal was damaged: its tail was cut off and kept beside it", "journal", path,
			"offset", recovery.Offset, "bytes", recovery.Cut, "kept", recovery.Kept, "cause", recovery.Damage)
	}
	s.wake = make(chan struct{}, 1)
	s.quit = make(chan struct{})
	s.done = make(chan struct{})
	go s.run()
	return s, recovery, nil
}

// Close ends all waiting calls with ErrClosed, writes what is unread, fsyncs and closes the journal. It returns an error
// where something could not be written. Acknowledgements that come later are not remembered: close readers first.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		boxes := s.sortedBoxes()
		s.mu.Unlock()
		for _, b := range boxes {
			b.end(ErrClosed)
		}
		if s.journal != nil {
			close(s.quit)
			<-s.done
		}
	})
	return s.closing
}

// Box returns the box called name, which is made if there is none.
func (s *Store) Box(name string) *Box {
	s.mu.Lock()
	b, ok := s.boxes[name]
	if ok {
		s.mu.Unlock()
		return b
	}
	b = s.newBox(name)
	if s.closed {
		b.ended = ErrClosed
		s.mu.Unlock()
		return b
	}
	s.boxes[name] = b
	s.mu.Unlock()

	b.mu.Lock()
	b.touch(dirty)
	b.mu.Unlock()
	return b
}

// newBox makes an empty box. The caller holds s.mu, or is the only one that knows s.
func (s *Store) newBox(name string) *Box {
	s.lastID++
	b := &Box{store: s, name: name, id: s.lastID, next: 1, reserved: 1, opened: 1}
	if s.journal == nil {
		b.visible = math.MaxUint64
	}
	return b
}

// Lookup returns the box called name, if there is one.
func (s *Store) Lookup(name string) (*Box, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.boxes[name]
	return b, ok
}

// Names returns the names of all boxes, sorted.
func (s *Store) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.boxes))
	for name := range s.boxes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sortedBoxes returns all boxes in the order in which they were made. The caller holds s.mu.
func (s *Store) sortedBoxes() []*Box {
	boxes := make([]*Box, 0, len(s.boxes))
	for _, b := range s.boxes {
		boxes = append(boxes, b)
	}
	slices.SortFunc(boxes, func(a, b *Box) int { return int(a.id) - int(b.id) })
	return boxes
}

// Remove removes the box called name with its messages and dead letters. Calls that wait on it end with ErrRemoved.
// A later Box(name) is a new, empty one that counts from 1. In a durable store Remove returns once that is on disk.
// A box that does not exist is api.ErrNotFound.
func (s *Store) Remove(name string) error {
	s.mu.Lock()
	b, ok := s.boxes[name]
	if !ok {
		s.mu.Unlock()
		return fmt.Errorf("remove mailbox %q: %w", name, api.ErrNotFound)
	}
	delete(s.boxes, name)
	s.mu.Unlock()

	b.end(ErrRemoved)

	if s.journal == nil {
		return nil
	}
	s.mu.Lock()
	s.removed = append(s.removed, b.id)
	s.signal()
	s.mu.Unlock()
	if s.opt.Durable {
		if err := s.Sync(); err != nil {
			return fmt.Errorf("remove mailbox %q: %w", name, err)
		}
	}
	return nil
}

// Sync writes and fsyncs all that has happened until now.
func (s *Store) Sync() error {
	if s.journal == nil {
		return nil
	}
	r := newRound()
	s.mu.Lock()
	s.syncs = append(s.syncs, r)
	s.urgent = true
	s.signal()
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-s.done:
		// The flusher may have served the round in its last flush.
		select {
		case <-r.done:
			return r.err
		default:
			return ErrClosed
		}
	}
}

// Err returns the first write failure that has not been healed by a later write, for example a full disk. While it is
// not nil, a store that writes behind keeps everything in memory and goes on; a durable one refuses to Put.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// signal wakes the flusher.
func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
