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
	called  bool          // back: nobody gets it any more
	unused  chan struct{} // closed when it is called back and the last use has ended
	ended   chan struct{} // closed when it is no longer lent
}

// lentFor is how long a memory that nobody asks for stays open: loading a large one takes seconds.
const lentFor = 20 * time.Second

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
			head := chroma.Head{Embedder: info.Embedder, Attribute: store.Attribute(chroma.AttributeKey)}
			if info.Records > 0 {
				head.Dimension = info.Dimension
			}
			return head, err
		}
	}
	path, err := c.path(key)
	if err != nil {
		return chroma.Head{}, err
	}
	head, err := memory.Peek(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", api.ErrNotFound, err)
	}
	return chroma.Head{Embedder: head.Embedder, Dimension: head.Dimension, Attribute: head.Attributes[chroma.AttributeKey]}, err
}

// opened returns the memory if this backend has it open.
func (c *collections) opened(key chroma.Key) *memory.Store {
	if key.Agent != "" {
		return c.backend.openMemory(key.Agent)
	}
	c.mu.Lock()
	l := c.lent[key]
	c.mu.Unlock()
	if l == nil {
		return nil
	}
	<-l.ready
	return l.store
}

// Use implements chroma.Memories.
func (c *collections) Use(key chroma.Key, create bool, do func(chroma.Store) error) error {
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
		l = &loan{ready: make(chan struct{}), unused: make(chan struct{}), ended: make(chan struct{})}
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
		l.waiting = time.AfterFunc(lentFor, func() {
			if err := c.callBack(key, true); err != nil {
				c.backend.log.Warn("close a collection's memory", slog.Any("error", err))
			}
		})
	}
}

// callBack ends the loan of a memory, if there is one, when its uses have ended; idle: only if there are none.
func (c *collections) callBack(key chroma.Key, idle bool) error {
	c.mu.Lock()
	l := c.lent[key]
	if l == nil || idle && l.uses > 0 {
		c.mu.Unlock()
		return nil
	}
	if l.called {
		c.mu.Unlock()
		<-l.ended
		return nil
	}
	l.called = true
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
	c.mu.Lock()
	delete(c.lent, key)
	c.mu.Unlock()
	close(l.ended)
	return err
}

// release ends the loan of an agent's memory unless a client uses it just now: who runs the agent, or a command, is to find
// it free. It may be called on nil, as offline.
func (c *collections) release(agent string) error {
	if c == nil {
		return nil
	}
	return c.callBack(chroma.Key{Agent: agent}, true)
}

// Remove implements chroma.Memories.
func (c *collections) Remove(key chroma.Key) error {
	if err := c.callBack(key, false); err != nil {
		return err
	}
	if key.Agent != "" {
		return c.backend.RemoveMemory(context.Background(), key.Agent)
	}
	return memory.Remove(c.dir(), key.Collection)
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
		errs = append(errs, c.callBack(key, false))
	}
	return errors.Join(errs...)
}
