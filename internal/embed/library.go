package embed

import (
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/memory"
	"github.com/concurrent-modular-agent/coma/internal/minilm"
)

// Library makes embedders, one for each name, so that all memories of a process share their caches and their models. It
// is safe for concurrent use.
type Library struct {
	getenv func(string) string

	mu   sync.Mutex
	made map[string]memory.Embedder // by Spec.String
}

// NewLibrary returns a library that reads keys and addresses by getenv (os.Getenv), when an embedder first needs them.
func NewLibrary(getenv func(string) string) *Library {
	return &Library{getenv: getenv, made: map[string]memory.Embedder{}}
}

// Find returns the embedder of that name; "" is the default. It opens nothing and asks nobody: a key that is missing, or
// a service that is away, is an error of Ready and of each Embed. A name that means nothing is an error that wraps
// api.ErrInvalid.
//
// The embedder's Name is Spec.String. Vectors are shared among those who ask for the same text: they are read only.
func (l *Library) Find(name string) (memory.Embedder, error) {
	spec, err := Parse(name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.made[spec.String()]; e != nil {
		return e, nil
	}
	e := l.make(spec)
	l.made[spec.String()] = e
	return e, nil
}

func (l *Library) make(spec Spec) memory.Embedder {
	switch spec.Kind {
	case Hash:
		return memory.Hashing(0) // as quick as a cache
	case None:
		return none{}
	case MiniLM:
		return newCached(minilm.New(), cacheBytes)
	}
	return newCached(newRemote(spec, l.getenv), cacheBytes)
}
