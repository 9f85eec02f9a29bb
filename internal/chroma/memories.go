package chroma

import "github.com/concurrent-modular-agent/coma/internal/memory"

// Memories is where the records of collections are. Package backend implements it.
type Memories interface {
	// Keys returns the keys of all memories there are.
	Keys() ([]Key, error)
	// Peek tells of a memory without loading it. It wraps api.ErrNotFound where there is none.
	Peek(key Key) (Head, error)
	// Use calls do with the memory; with create, one that is not there is made. It wraps api.ErrNotFound where there is
	// none, and api.ErrInUse where another process has it.
	Use(key Key, create bool, do func(*memory.Store) error) error
	// Remove removes the memory for good. It wraps api.ErrInUse where anybody uses it.
	Remove(key Key) error
}

// Key names a memory: that of an agent, or of a collection that is no agent's, by its id.
type Key struct{ Agent, Collection string }

// Head is what a memory tells without being loaded.
type Head struct {
	Embedder  string // "" where it has no vectors yet
	Dimension int    // of its vectors; 0: it has none
	Attribute []byte // its attribute AttributeKey
}
