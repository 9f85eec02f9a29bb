package chroma

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// catalogue knows the collections by id and by name. What it knows is a copy: the memories' own attributes count, and
// are looked at again whenever a name is asked for, or an id that is not known.
type catalogue struct {
	memories Memories

	changing sync.Mutex // held by whoever creates, changes or deletes a collection

	mu     sync.RWMutex // guards the maps
	byKey  map[Key]*collection
	byID   map[string]*collection
	byName map[place]*collection
}

func newCatalogue(memories Memories) *catalogue {
	return &catalogue{memories: memories, byKey: map[Key]*collection{}, byID: map[string]*collection{}, byName: map[place]*collection{}}
}

// put makes c what is known of its memory; nil forgets the memory.
func (k *catalogue) put(key Key, c *collection) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.byKey[key]; old != nil {
		delete(k.byKey, key)
		if k.byID[old.ID] == old {
			delete(k.byID, old.ID)
		}
		if k.byName[old.place()] == old {
			delete(k.byName, old.place())
		}
	}
	if c != nil {
		k.byKey[key], k.byID[c.ID], k.byName[c.place()] = c, c, c
	}
}

// refresh looks which memories there are.
func (k *catalogue) refresh() error {
	keys, err := k.memories.Keys()
	if err != nil {
		return err
	}
	k.mu.RLock()
	gone := make(map[Key]bool, len(k.byKey))
	for key := range k.byKey {
		gone[key] = true
	}
	k.mu.RUnlock()
	for _, key := range keys {
		if gone[key] {
			delete(gone, key)
			continue
		}
		head, err := k.memories.Peek(key)
		if err != nil {
			continue // it has just been removed, another process has it, or it is damaged: those who know its name are told
		}
		c, err := collectionOf(key, head.Embedder, head.Attribute)
		if err != nil {
			continue
		}
		k.put(key, c)
	}
	for key := range gone {
		k.put(key, nil)
	}
	return nil
}

// withID finds a collection by its id, or nil.
func (k *catalogue) withID(id string) (*collection, error) {
	k.mu.RLock()
	c := k.byID[id]
	k.mu.RUnlock()
	if c != nil {
		return c, nil
	}
	if err := k.refresh(); err != nil {
		return nil, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.byID[id], nil
}

// named finds a collection by its name, or nil.
func (k *catalogue) named(ctx context.Context, p place) (*collection, error) {
	if err := k.refresh(); err != nil {
		return nil, err
	}
	k.mu.RLock()
	c := k.byName[p]
	k.mu.RUnlock()
	if c == nil {
		return nil, nil
	}
	return k.current(ctx, c)
}

// current looks at the attribute of a collection that may be deleted: it is there (again) if it has records.
func (k *catalogue) current(ctx context.Context, c *collection) (*collection, error) {
	if !c.Deleted {
		return c, nil
	}
	n := 0
	err := k.memories.Use(c.key, false, func(s *memory.Store) (err error) {
		n, err = s.Count(ctx, nil)
		return err
	})
	if n > 0 {
		return c, nil
	}
	if errors.Is(err, api.ErrNotFound) {
		err = nil
	}
	return nil, err
}

// list returns the collections of a database by name.
func (k *catalogue) list(ctx context.Context, tenant, database string) ([]*collection, error) {
	if err := k.refresh(); err != nil {
		return nil, err
	}
	k.mu.RLock()
	var all []*collection
	for p, c := range k.byName {
		if p.tenant == tenant && p.database == database {
			all = append(all, c)
		}
	}
	k.mu.RUnlock()
	there := all[:0]
	for _, c := range all {
		c, err := k.current(ctx, c)
		if err != nil {
			return nil, err
		}
		if c != nil {
			there = append(there, c)
		}
	}
	slices.SortFunc(there, func(a, b *collection) int { return strings.Compare(a.Name, b.Name) })
	return there, nil
}

// use calls do with the memory of the collection of that id. What is known of the collection may be old: then it is read
// again.
func (k *catalogue) use(id string, do func(c *collection, s *memory.Store) error) error {
	missing := notFound("Collection [%s] does not exist.", id)
	for {
		c, err := k.withID(id)
		if err != nil {
			return err
		}
		if c == nil {
			return missing
		}
		stale := false
		err = k.memories.Use(c.key, false, func(s *memory.Store) error {
			if attr := s.Attribute(AttributeKey); string(attr) != c.attr {
				stale = true
				fresh, err := collectionOf(c.key, "", attr)
				if err != nil {
					return err
				}
				k.put(c.key, fresh)
				return nil
			}
			return do(c, s)
		})
		switch {
		case errors.Is(err, api.ErrNotFound):
			k.put(c.key, nil)
			return missing
		case err != nil || !stale:
			return err
		}
	}
}

// creation is a request for a new collection.
type creation struct {
	collection
	orGet bool
}

// create makes a collection, or returns the one that has the name.
func (k *catalogue) create(ctx context.Context, want creation) (*collection, error) {
	if err := checkName("name", want.Name); err != nil {
		return nil, err
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	c := want.collection
	c.ID = newID()
	c.key = Key{Collection: c.ID}
	if agent, ok := strings.CutPrefix(c.Name, AgentPrefix); ok && c.Tenant == defaultTenant && c.Database == defaultDatabase {
		c.key = Key{Agent: agent}
	}
	if err := k.refresh(); err != nil {
		return nil, err
	}
	k.mu.RLock()
	there := k.byName[c.place()]
	k.mu.RUnlock()
	if there != nil {
		free, err := k.unclaimed(ctx, there)
		if err != nil {
			return nil, err
		}
		if !free && want.orGet {
			return there, nil
		}
		if !free {
			return nil, exists("Collection [%s] already exists", c.Name)
		}
		c.ID = there.ID
	}
	err := k.memories.Use(c.key, true, func(s *memory.Store) error {
		n, err := s.Count(ctx, nil)
		if err != nil {
			return err
		}
		if n == 0 {
			if err := s.Declare(ctx, c.Configuration.embedder()); err != nil {
				return err
			}
		}
		return k.save(ctx, s, &c)
	})
	if err != nil {
		return nil, fmt.Errorf("create collection %s: %w", c.Name, err)
	}
	return &c, nil
}

// unclaimed reports whether an agent's memory is free to be created: a client has deleted it, or none has ever created
// it and it has no records.
func (k *catalogue) unclaimed(ctx context.Context, c *collection) (free bool, err error) {
	if c.Deleted || c.attr != "" {
		return c.Deleted, nil
	}
	err = k.memories.Use(c.key, false, func(s *memory.Store) error {
		n, err := s.Count(ctx, nil)
		free = n == 0
		return err
	})
	return free, err
}

// save writes what a collection is into its memory.
func (k *catalogue) save(ctx context.Context, s *memory.Store, c *collection) error {
	data, err := c.encode()
	if err != nil {
		return err
	}
	if err := s.SetAttribute(ctx, AttributeKey, data); err != nil {
		return err
	}
	c.attr = string(data)
	k.put(c.key, c)
	return nil
}

// change is a request to change a collection; nil fields stay.
type change struct {
	name          *string
	metadata      map[string]any // where hasMetadata
	hasMetadata   bool
	configuration func(*configuration) error
}

func (k *catalogue) change(ctx context.Context, id string, want change) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	return k.use(id, func(c *collection, s *memory.Store) error {
		changed := *c
		if want.name != nil {
			if err := checkName("new_name", *want.name); err != nil {
				return err
			}
		}
		if want.name != nil && *want.name != c.Name {
			if c.key.Agent != "" || strings.HasPrefix(*want.name, AgentPrefix) {
				return invalid("Collection [%s] cannot be renamed to [%s]: a memory is its agent's by its name", c.Name, *want.name)
			}
			changed.Name = *want.name
			k.mu.RLock()
			taken := k.byName[changed.place()]
			k.mu.RUnlock()
			if taken != nil {
				return exists("Collection [%s] already exists", changed.Name)
			}
		}
		if want.hasMetadata {
			changed.Metadata = want.metadata
		}
		if want.configuration != nil {
			if err := want.configuration(&changed.Configuration); err != nil {
				return err
			}
		}
		return k.save(ctx, s, &changed)
	})
}

// delete removes a collection. The memory of an agent that runs is emptied in place, so that its modules go on with it;
// the id is another from then on.
func (k *catalogue) delete(ctx context.Context, p place) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	c, err := k.named(ctx, p)
	if err != nil {
		return err
	}
	if c == nil {
		return notFound("Collection [%s] does not exist", p.name)
	}
	return k.remove(ctx, c)
}

func (k *catalogue) remove(ctx context.Context, c *collection) error {
	err := k.memories.Remove(c.key)
	if err == nil || errors.Is(err, api.ErrNotFound) {
		k.put(c.key, nil)
		return nil
	}
	if c.key.Agent == "" || !errors.Is(err, api.ErrInUse) {
		return fmt.Errorf("delete collection %s: %w", c.Name, err)
	}
	empty, err := collectionOf(c.key, "", nil)
	if err != nil {
		return err
	}
	empty.ID, empty.Deleted = newID(), true
	err = k.memories.Use(c.key, false, func(s *memory.Store) error {
		if _, err := s.Clear(ctx); err != nil {
			return err
		}
		return k.save(ctx, s, empty)
	})
	if err != nil {
		return fmt.Errorf("delete collection %s: %w", c.Name, err)
	}
	return nil
}

// head tells what a collection's memory says without being loaded; what another process has open says nothing.
func (k *catalogue) head(c *collection) (Head, error) {
	head, err := k.memories.Peek(c.key)
	if errors.Is(err, api.ErrInUse) || errors.Is(err, api.ErrNotFound) {
		return Head{}, nil
	}
	return head, err
}
