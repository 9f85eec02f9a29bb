package backend

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/chroma"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// chromas are the Chroma servers: one for the owner and the admins, and one for each user, who sees the collections of its
// agents and no others.
type chromas struct {
	backend     *Backend
	collections *collections
	all         http.Handler

	mu sync.Mutex
	of map[access.Identity]http.Handler // bounded by maxChromas
}

// maxChromas is how many users' servers are kept; each knows no more than what its user has asked for.
const maxChromas = 256

func newChromas(b *Backend, c *collections) *chromas {
	s := &chromas{backend: b, collections: c, of: map[access.Identity]http.Handler{}}
	s.all = s.server(c)
	return s
}

func (s *chromas) server(memories chroma.Memories) http.Handler {
	return chroma.New(chroma.Options{
		Memories: memories, Databases: filepath.Join(s.collections.dir(), "databases.json"), Log: s.backend.log,
	})
}

// ServeHTTP implements http.Handler.
func (s *chromas) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := identity(r)
	if id.Admin() {
		s.all.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && !aboutCollections(r) {
		chroma.Refuse(w, http.StatusForbidden, errForbidden.Error()) // tenants and databases are everybody's
		return
	}
	s.serving(id).ServeHTTP(w, r)
}

// aboutCollections reports whether a request is below /api/v2/tenants/{tenant}/databases/{database}/collections. A tenant or
// a database may be named "collections" as well, so it is where the word stands that counts.
func aboutCollections(r *http.Request) bool {
	levels := strings.Split(r.URL.EscapedPath(), "/")
	return len(levels) > 7 && levels[7] == "collections"
}

func (s *chromas) serving(id access.Identity) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	server := s.of[id]
	if server == nil {
		for old := range s.of {
			if len(s.of) < maxChromas {
				break
			}
			delete(s.of, old)
		}
		server = s.server(&guardedCollections{s.collections, id})
		s.of[id] = server
	}
	return server
}

// guardedCollections are the memories of the agents that a user may use. It implements chroma.Memories.
type guardedCollections struct {
	all *collections
	id  access.Identity
}

func (c *guardedCollections) may(key chroma.Key) bool {
	return key.Agent != "" && c.id.Agent(key.Agent)
}

// Keys implements chroma.Memories.
func (c *guardedCollections) Keys() ([]chroma.Key, error) {
	keys, err := c.all.Keys()
	return slices.DeleteFunc(keys, func(key chroma.Key) bool { return !c.may(key) }), err
}

// Peek implements chroma.Memories.
func (c *guardedCollections) Peek(key chroma.Key) (chroma.Head, error) {
	if !c.may(key) {
		return chroma.Head{}, fmt.Errorf("collection: %w", api.ErrNotFound)
	}
	return c.all.Peek(key)
}

// Use implements chroma.Memories.
func (c *guardedCollections) Use(key chroma.Key, create bool, do func(*memory.Store) error) error {
	switch {
	case c.may(key):
		return c.all.Use(key, create, do)
	case create:
		return fmt.Errorf("collection: %w", errForbidden)
	}
	return fmt.Errorf("collection: %w", api.ErrNotFound)
}

// Remove implements chroma.Memories.
func (c *guardedCollections) Remove(key chroma.Key) error {
	if c.may(key) {
		return fmt.Errorf("remove the memory of %s: %w", key.Agent, errForbidden)
	}
	return fmt.Errorf("collection: %w", api.ErrNotFound)
}
