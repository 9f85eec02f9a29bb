// Package memory is an agent's shared memory: records of text, vector, time and metadata, kept in one file.
//
// How to read it. memory.go opens and closes a Store; read.go and write.go are its operations, as api.Memory documents
// them, items.go those that clients of the Chroma API need. A write is planned against a batch (batch.go) by one
// goroutine, the committer (commit.go), which saves the whole batch in one transaction (disk.go, record.go) and only
// then lets readers see it (view.go). Readers never touch the disk and never wait: all records are in memory, in a
// table (package table). The committer also removes what has expired or is too much (expiry.go, settings.go).
//
// space.go says whose vectors a memory holds. What gives all records another form, or another place, builds a new file
// beside the old one and swaps (successor.go): reembed.go, compact.go, restore.go. backup.go and restore.go are the backup
// files, folder.go lists the memories of a folder. retriever*.go choose records by more than nearness.
package memory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// Options says how Open opens a memory. The zero value is good.
type Options struct {
	// Embedder makes the vectors of an empty memory; nil: Hashing(256). A memory with records goes on with its own, if
	// Embedders finds that by its name, unless Insist says that someone asked for Embedder: then texts are refused.
	Embedder  Embedder
	Insist    bool
	Embedders func(name string) (Embedder, error)

	// TimeKey is the metadata key under which filters and items see the time of a record that has no such key of its
	// own, as a float of seconds since 1970, and from which a record that is added without a time takes it. "": none.
	TimeKey string

	Log         *slog.Logger     // nil: nothing is logged
	Now         func() time.Time // the clock; nil: time.Now
	LockTimeout time.Duration    // how long to wait for another process to close the memory; 0: 1 s
}

// Store is one open memory. It implements api.Memory and is safe for concurrent use.
type Store struct {
	path      string
	name      string
	asked     atomic.Pointer[asked]
	embedders func(name string) (Embedder, error)
	timeKey   string
	log       *slog.Logger
	now       func() time.Time

	foundMu sync.Mutex
	found   map[string]Embedder // what embedders has found

	view atomic.Pointer[view] // what readers see

	// These belong to the committer.
	disk     *disk
	table    *table.Table
	lastSeq  uint64
	expiries expiries

	refsMu sync.RWMutex
	refs   map[uint64]uint64 // references by Seq; the committer changes it, and reads it without the lock

	rewriting chan struct{} // holds one while a successor is built

	writes  chan *write // unbuffered: what was handed over will be answered
	closing chan struct{}
	done    chan struct{} // closed when the committer has ended
	close   func() error
}

var _ api.Memory = (*Store)(nil)

// Open opens the memory in the file at path and creates file and folder where there are none (0600, 0700).
//
// One process at a time has a memory open: others get an error that wraps api.ErrInUse. A damaged file, or one of a
// newer version, is an error that names the path, and the file stays as it is.
func Open(path string, opt Options) (*Store, error) {
	if opt.Embedder == nil {
		opt.Embedder = Hashing(0)
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.LockTimeout == 0 {
		opt.LockTimeout = time.Second
	}
	if name, n := opt.Embedder.Name(), opt.Embedder.Dimension(); name == "" || n < 0 || n > maxDimension {
		return nil, fmt.Errorf("open memory %s: embedder %q of %d dimensions: needs a name and up to %d: %w",
			path, name, n, maxDimension, api.ErrInvalid)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open memory %s: create its folder: %w", path, err)
	}
	disk, err := openDisk(path, diskOptions{timeout: opt.LockTimeout})
	if err != nil {
		return nil, fmt.Errorf("open memory: %w", err)
	}
	s := &Store{
		path: path, name: nameOf(path), embedders: opt.Embedders,
		timeKey: opt.TimeKey, log: opt.Log, now: opt.Now, disk: disk, found: make(map[string]Embedder),
		rewriting: make(chan struct{}, 1), writes: make(chan *write), closing: make(chan struct{}), done: make(chan struct{}),
	}
	s.asked.Store(&asked{opt.Embedder, opt.Insist})
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open memory: %w", err), disk.close())
	}
	s.warn()
	s.close = sync.OnceValue(func() error {
		close(s.closing)
		<-s.done
		return s.disk.close()
	})
	go s.commitLoop()
	return s, nil
}

// load fills the store from its file.
func (s *Store) load() error {
	if err := s.disk.removeSuccessor(); err != nil {
		return err
	}
	c, err := s.disk.load()
	if err != nil {
		return err
	}
	if s.table, err = table.New(s.tableOptions(), c.rows); err != nil {
		return damaged(s.path, err)
	}
	s.take(c)
	s.publish(c.head)
	return nil
}

// take keeps what stands beside the table.
func (s *Store) take(c contents) {
	s.lastSeq, s.expiries = 0, nil
	for _, r := range c.rows {
		s.lastSeq = max(s.lastSeq, r.Seq)
		s.expiries.push(r)
	}
	s.refsMu.Lock()
	s.refs = c.refs
	s.refsMu.Unlock()
}

func (s *Store) tableOptions() table.Options { return table.Options{TimeKey: s.timeKey} }

// Close ends the memory after the writes that were accepted. Later calls of its operations return an error that wraps
// api.ErrClosed; closing again does nothing.
func (s *Store) Close() error { return s.close() }

// Info describes a memory.
type Info struct {
	Name      string    `json:"name"` // of the agent
	Path      string    `json:"path"`
	Records   int       `json:"records"`
	Bytes     int64     `json:"bytes"`                // of the file; the room of deleted records is used again, and given back by Compact
	HeldBytes int64     `json:"held_bytes,omitempty"` // in RAM, about; 0 where it is not open here
	Embedder  string    `json:"embedder,omitempty"`
	Dimension int       `json:"dimension,omitempty"`
	Settings  Settings  `json:"settings,omitzero"`
	Oldest    time.Time `json:"oldest,omitzero"`
	Newest    time.Time `json:"newest,omitzero"`
	InUse     bool      `json:"in_use,omitempty"`  // List: another process has it open, only name, path and bytes are known
	Problem   string    `json:"problem,omitempty"` // List: why it cannot be read
}

// Info describes the memory as it is now.
func (s *Store) Info() (Info, error) {
	if err := s.open(); err != nil {
		return Info{}, err
	}
	stat, err := os.Stat(s.path)
	if err != nil {
		return Info{}, fmt.Errorf("describe memory: %w", err)
	}
	v, now := s.view.Load(), s.now()
	sp := s.spaceOf(v)
	info := Info{Name: s.name, Path: s.path, Records: v.count(now), Bytes: stat.Size(), HeldBytes: v.snap.Bytes(),
		Embedder: sp.Embedder, Dimension: sp.Dimension, Settings: v.head.settings}
	if oldest, newest := v.ends(now); oldest != nil && newest != nil {
		info.Oldest, info.Newest = oldest.Time, newest.Time
	}
	return info, nil
}

// open returns an error once Close was called.
func (s *Store) open() error {
	select {
	case <-s.closing:
		return s.closed()
	default:
		return nil
	}
}

func (s *Store) closed() error { return fmt.Errorf("memory %s is closed: %w", s.name, api.ErrClosed) }

// start is what every reading operation begins with.
func (s *Store) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.open()
}
