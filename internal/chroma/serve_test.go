package chroma

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// serve starts a server over memories in a fresh folder and returns its address.
func serve(t *testing.T) string {
	s := httptest.NewServer(newServer(t))
	t.Cleanup(s.Close)
	return s.URL
}

func newServer(t testing.TB) *Server {
	memories := &folder{dir: t.TempDir(), open: map[Key]*memory.Store{}}
	t.Cleanup(func() {
		for key := range memories.open {
			if err := memories.close(key); err != nil {
				t.Error(err)
			}
		}
	})
	return New(Options{Memories: memories, Databases: filepath.Join(memories.dir, "databases.json")})
}

// folder keeps memories in files, and all of them open.
type folder struct {
	dir  string
	mu   sync.Mutex
	open map[Key]*memory.Store
}

func (f *folder) path(key Key) string {
	return filepath.Join(f.dir, key.Agent+key.Collection+".db")
}

func (f *folder) Keys() ([]Key, error) {
	entries, err := os.ReadDir(f.dir)
	var keys []Key
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".db"); ok && idForm.MatchString(name) {
			keys = append(keys, Key{Collection: name})
		} else if ok {
			keys = append(keys, Key{Agent: name})
		}
	}
	return keys, err
}

func (f *folder) Peek(key Key) (head Head, err error) {
	err = f.Use(key, false, func(s *memory.Store) error {
		info, err := s.Info()
		head = Head{Embedder: info.Embedder, Attribute: s.Attribute(AttributeKey)}
		if info.Records > 0 {
			head.Dimension = info.Dimension
		}
		return err
	})
	return head, err
}

func (f *folder) Use(key Key, create bool, do func(*memory.Store) error) error {
	store, err := f.use(key, create)
	if err != nil {
		return err
	}
	return do(store)
}

func (f *folder) use(key Key, create bool) (*memory.Store, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if store := f.open[key]; store != nil {
		return store, nil
	}
	if _, err := os.Stat(f.path(key)); errors.Is(err, fs.ErrNotExist) && !create {
		return nil, fmt.Errorf("memory %v: %w", key, api.ErrNotFound)
	}
	options := memory.Options{}
	if key.Agent != "" {
		options.TimeKey = "timestamp"
	}
	store, err := memory.Open(f.path(key), options)
	if err == nil {
		f.open[key] = store
	}
	return store, err
}

func (f *folder) Remove(key Key) error {
	if err := f.close(key); err != nil {
		return err
	}
	return os.Remove(f.path(key))
}

func (f *folder) close(key Key) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	store := f.open[key]
	delete(f.open, key)
	if store == nil {
		return nil
	}
	return store.Close()
}
