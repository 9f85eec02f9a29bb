// Package memory is an agent's shared memory: records of text, vector, time and metadata, kept in one file.
//
// How to read it. memory.go opens and closes a Store; read.go and write.go are its operations, as api.Memory documents
// them. A write is planned against a batch (batch.go) by one goroutine, the committer (commit.go), which saves the
// whole batch in one transaction (disk.go, record.go) and only then lets readers see it (state.go). Readers never touch
// the disk: all records are in memory, in time order (timeline.go), their vectors in an Index (index.go).
// filter.go and value.go say what conditions and metadata mean, backup.go and restore.go are the backup files,
// folder.go lists the memories of a folder.
//
// Three seams are meant to be filled otherwise: Embedder (a real model), Index (a faster search) and Retriever (other
// ways to choose records).
package memory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Options says how Open opens a memory. The zero value is good.
type Options struct {
	Embedder    Embedder                            // makes vectors of texts; nil: Hashing(256)
	Insist      bool                                // someone asked for Embedder: never use another in its place, also where the memory has another
	Embedders   func(name string) (Embedder, error) // finds the embedder that a memory names; nil: there is only Embedder
	TimeKey     string                              // the metadata key under which filters and items see a record's time, in seconds; "": none
	Log         *slog.Logger                        // nil: nothing is logged
	Now         func() time.Time                    // the clock; nil: time.Now
	LockTimeout time.Duration                       // how long to wait for another process to close the memory; 0: 1 s
}

// Store is one open memory. It implements api.Memory and is safe for concurrent use.
type Store struct {
	path     string
	name     string
	embedder Embedder
	own      space // what embedder makes
	log      *slog.Logger
	now      func() time.Time
	disk     *disk

	mu    sync.RWMutex // guards state; the committer alone changes it, and may read it without the lock
	state *state

	writes  chan *write // unbuffered: what was handed over will be answered
	closing chan struct{}
	done    chan struct{} // closed when the committer has ended
	close   func() error
}

var _ api.Memory = (*Store)(nil)

// space is where vectors live: only vectors of one embedder, and of one dimension, can be compared.
type space struct {
	Embedder  string
	Dimension int
}

func (s space) String() string { return fmt.Sprintf("%q (%d dimensions)", s.Embedder, s.Dimension) }

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
	own := space{Embedder: opt.Embedder.Name(), Dimension: opt.Embedder.Dimension()}
	if own.Embedder == "" || own.Dimension < 1 || own.Dimension > maxDimension {
		return nil, fmt.Errorf("open memory %s: embedder %s: needs a name and 1 to %d dimensions: %w",
			path, own, maxDimension, api.ErrInvalid)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open memory %s: create its folder: %w", path, err)
	}
	disk, err := openDisk(path, diskOptions{timeout: opt.LockTimeout})
	if err != nil {
		return nil, fmt.Errorf("open memory: %w", err)
	}
	sp, records, err := disk.load()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open memory: %w", err), disk.close())
	}
	state, err := newState(sp, records)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open memory: %w", damaged(path, err)), disk.close())
	}
	if len(records) > 0 && sp != own {
		opt.Log.Warn("memory has another embedder: text can be neither added nor searched until it is cleared",
			"memory", path, "has", sp.String(), "given", own.String())
	}

	s := &Store{
		path: path, name: nameOf(path), embedder: opt.Embedder, own: own, log: opt.Log, now: opt.Now,
		disk: disk, state: state,
		writes: make(chan *write), closing: make(chan struct{}), done: make(chan struct{}),
	}
	s.close = sync.OnceValue(func() error {
		close(s.closing)
		<-s.done
		return s.disk.close()
	})
	go s.commitLoop()
	return s, nil
}

// Close ends the memory after the writes that were accepted. Later calls of its operations return an error that wraps
// api.ErrClosed; closing again does nothing.
func (s *Store) Close() error { return s.close() }

// Info describes a memory.
type Info struct {
	Name      string    `json:"name"` // of the agent
	Path      string    `json:"path"`
	Records   int       `json:"records"`
	Bytes     int64     `json:"bytes"` // of the file; the room of deleted records is used again, not given back
	Embedder  string    `json:"embedder,omitempty"`
	Dimension int       `json:"dimension,omitempty"`
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	sp := s.space()
	info := Info{Name: s.name, Path: s.path, Records: s.state.len(), Bytes: stat.Size(),
		Embedder: sp.Embedder, Dimension: sp.Dimension}
	if line := s.state.line; len(line) > 0 {
		info.Oldest, info.Newest = line[0].Time, line[len(line)-1].Time
	}
	return info, nil
}

// space returns the space of the memory's vectors: an empty memory takes that of its embedder. The caller holds mu.
func (s *Store) space() space {
	if s.state.len() == 0 {
		return s.own
	}
	return s.state.space
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
