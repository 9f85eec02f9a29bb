package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/chroma"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// collections lends the memories to Chroma's clients: agents' memories, and those of other collections, which have a
// folder of their own. It implements chroma.Memories. A memory stays open for a while after a request, for the next one.
type collections struct {
	backend *Backend

	mu     sync.Mutex
	lent   map[chroma.Key]*loan
	closed bool
}

// loan is a memory that is open for clients. All but ready is guarded by collections.mu.
type loan struct {
	ready   chan struct{} // closed when store or err is there
	store   *memory.Store
	err     error
	giveUp  func() error // ends the use of an agent, or closes the memory
	uses    int
	waiting *time.Timer   // for the next use; nil while there is one
	since   time.Time     // it has been waiting
	called  bool          // back: nobody gets it any more
	unused  chan struct{} // closed when it is called back and the last use has ended
	ended   chan struct{} // closed when it is no longer lent

	removing bool // called back to be removed
}

func newLoan() *loan {
	return &loan{ready: make(chan struct{}), unused: make(chan struct{}), ended: make(chan struct{})}
}

// lentFor is how long a memory that nobody asks for stays open: loading a large one takes seconds.
const lentFor = 20 * time.Second

// maxWaiting bounds the memories that are open and that nobody asks for: past it, the one that waits longest is closed.
// Each has a file open, and its records in RAM.
const maxWaiting = 64

func newCollections(b *Backend) *collections {
	return &collections{backend: b, lent: map[chroma.Key]*loan{}}
}

func (c *collections) dir() string { return filepath.Join(c.backend.opt.Folders.Data, "collections") }

func (c *collections) path(key chroma.Key) (string, error) {
	if key.Agent != "" {
		return memory.Path(c.backend.memoryDir(), key.Agent)
	}
	return memory.Path(c.dir(), key.Collection)
}

// Keys implements chroma.Memories.
func (c *collections) Keys() ([]chroma.Key, error) {
	var keys []chroma.Key
	for dir, key := range map[string]func(name string) chroma.Key{
		c.backend.memoryDir(): func(name string) chroma.Key { return chroma.Key{Agent: name} },
		c.dir():               func(name string) chroma.Key { return chroma.Key{Collection: name} },
	} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list collections: %w", err)
		}
		for _, entry := range entries {
			file, ok := strings.CutSuffix(entry.Name(), ".db")
			name, err := url.PathUnescape(file)
			if ok && err == nil && entry.Type().IsRegular() {
				keys = append(keys, key(name))
			}
		}
	}
	return keys, nil
}

// Peek implements chroma.Memories.
func (c *collections) Peek(key chroma.Key) (chroma.Head, error) {
	if store := c.opened(key); store != nil {
		info, err := store.Info()
		if !errors.Is(err, api.ErrClosed) {
			return head(info.Records == 0, info.Embedder, info.Dimension, store.Attribute(chroma.AttributeKey)), err
		}
	}
	path, err := c.path(key)
	if err != nil {
		return chroma.Head{}, err
	}
	closed, err := memory.Peek(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", api.ErrNotFound, err)
	}
	return head(closed.Empty, closed.Embedder, closed.Dimension, closed.Attributes[chroma.AttributeKey]), err
}

// head is what clients are told of a memory: an empty one takes any vectors.
func head(empty bool, embedder string, dimension int, attribute []byte) chroma.Head {
	if empty {
		return chroma.Head{Attribute: attribute}
	}
	return chroma.Head{Embedder: embedder, Dimension: dimension, Attribute: attribute}
}

// opened returns the memory if this backend has it open.
func (c *collections) opened(key chroma.Key) *memory.Store {
	if key.Agent != "" {
		return c.backend.openMemory(key.Agent)
	}
	c.mu.Lock()
	l := c.lent[key]
	there := l != nil && !l.called
	c.mu.Unlock()
	if !there {
		return nil
	}
	<-l.ready
	return l.store
}

// Use implements chroma.Memories.
func (c *collections) Use(key chroma.Key, create bool, do func(*memory.Store) error) error {
	for {
		l, again, err := c.borrow(key, create)
		if err != nil {
			return err
		}
		if again {
			continue
		}
		err = do(l.store)
		c.giveBack(key, l)
		return err
	}
}

// lend is Use for who gives the memory back by themselves, and does not want it made.
func (c *collections) lend(key chroma.Key) (store *memory.Store, giveBack func(), err error) {
	for {
		l, again, err := c.borrow(key, false)
		if err != nil {
			return nil, nil, err
		}
		if !again {
			return l.store, func() { c.giveBack(key, l) }, nil
		}
	}
}

// borrow opens the memory, or waits for who does. again is true where it was called back meanwhile.
func (c *collections) borrow(key chroma.Key, create bool) (l *loan, again bool, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, false, fmt.Errorf("backend: %w", api.ErrClosed)
	}
	l = c.lent[key]
	first := l == nil
	if first {
		l = newLoan()
		c.lent[key] = l
	}
	if l.called {
		c.mu.Unlock()
		<-l.ended
		return nil, true, nil
	}
	if l.waiting != nil {
		l.waiting.Stop()
		l.waiting = nil
	}
	l.uses++
	c.mu.Unlock()
	if first {
		l.store, l.giveUp, l.err = c.open(key, create)
		close(l.ready)
	}
	<-l.ready
	if l.err == nil {
		return l, false, nil
	}
	c.giveBack(key, l)
	if !first && create && errors.Is(l.err, api.ErrNotFound) {
		return nil, true, nil // who was first did not want it made
	}
	return nil, false, l.err
}

func (c *collections) open(key chroma.Key, create bool) (*memory.Store, func() error, error) {
	if key.Agent != "" {
		a, store, err := c.backend.useMemory(key.Agent, create)
		if err != nil {
			return nil, nil, err
		}
		return store, a.done, nil
	}
	path, err := c.path(key)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !create {
		return nil, nil, fmt.Errorf("collection %s: %w", key.Collection, api.ErrNotFound)
	}
	embedder, err := c.backend.embedders.Find("")
	if err != nil {
		return nil, nil, err
	}
	store, err := memory.Open(path, memory.Options{
		Embedder: embedder, Embedders: c.backend.embedders.Find, Log: c.backend.log,
	})
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// giveBack ends a use. What could not be opened is forgotten with its last one.
func (c *collections) giveBack(key chroma.Key, l *loan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.uses--
	switch {
	case l.uses > 0:
	case l.called:
		close(l.unused)
	case l.err != nil:
		delete(c.lent, key)
		close(l.ended)
	default:
		l.since = time.Now()
		l.waiting = time.AfterFunc(lentFor, func() {
			if err := c.release(key); err != nil {
				c.backend.log.Warn("close a collection's memory", slog.Any("error", err))
			}
		})
		c.hurry()
	}
}

// hurry has the memory closed that waits longest, where too many do. It is called under mu.
func (c *collections) hurry() {
	var waiting int
	var longest *loan
	for _, l := range c.lent {
		if l.waiting == nil || l.called || l.since.IsZero() {
			continue
		}
		waiting++
		if longest == nil || l.since.Before(longest.since) {
			longest = l
		}
	}
	if waiting > maxWaiting {
		longest.since = time.Time{} // it is not counted again
		longest.waiting.Reset(0)
	}
}

// release ends the loan of a memory unless a client uses it just now.
func (c *collections) release(key chroma.Key) error {
	c.mu.Lock()
	l := c.lent[key]
	if l == nil || l.uses > 0 || l.called && l.removing {
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	return c.callBack(key, nil)
}

// callBack ends the loan of a memory when its uses have ended; then remove is called, if there is one, before anybody can
// borrow the memory again.
func (c *collections) callBack(key chroma.Key, remove func() error) error {
	c.mu.Lock()
	l := c.lent[key]
	for l != nil && l.called {
		c.mu.Unlock()
		<-l.ended
		c.mu.Lock()
		l = c.lent[key]
	}
	if l == nil && remove == nil {
		c.mu.Unlock()
		return nil
	}
	if l == nil {
		l = newLoan() // that keeps others away
		c.lent[key] = l
	}
	l.called, l.removing = true, remove != nil
	if l.waiting != nil {
		l.waiting.Stop()
	}
	if l.uses == 0 {
		close(l.unused)
	}
	c.mu.Unlock()
	<-l.unused
	var err error
	if l.giveUp != nil {
		err = l.giveUp()
	}
	if remove != nil {
		err = errors.Join(err, remove())
	}
	c.mu.Lock()
	delete(c.lent, key)
	c.mu.Unlock()
	close(l.ended)
	return err
}

// Remove implements chroma.Memories.
func (c *collections) Remove(key chroma.Key) error {
	return c.callBack(key, func() error {
		if key.Agent != "" {
			return c.backend.RemoveMemory(context.Background(), key.Agent)
		}
		return memory.Remove(c.dir(), key.Collection)
	})
}

// close ends all loans. The server that requests come from has been closed: their uses end.
func (c *collections) close() error {
	c.mu.Lock()
	c.closed = true
	keys := make([]chroma.Key, 0, len(c.lent))
	for key := range c.lent {
		keys = append(keys, key)
	}
	c.mu.Unlock()
	var errs []error
	for _, key := range keys {
		errs = append(errs, c.callBack(key, nil))
	}
	return errors.Join(errs...)
}
