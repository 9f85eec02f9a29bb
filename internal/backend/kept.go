package backend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// keeper holds what modules keep from one generation to the next: a small JSON file a module.
type keeper struct {
	dir string

	mu     sync.Mutex
	values map[string]map[string][]byte // by module and key, as far as read
}

func openKeeper(dir string) *keeper {
	return &keeper{dir: dir, values: map[string]map[string][]byte{}}
}

func (k *keeper) path(module string) string {
	return filepath.Join(k.dir, fileName(module)+".json")
}

// read returns a module's values; it is called with mu held.
func (k *keeper) read(module string) (map[string][]byte, error) {
	if values, ok := k.values[module]; ok {
		return values, nil
	}
	values := map[string][]byte{}
	data, err := os.ReadFile(k.path(module))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read kept values: %w", err)
	default:
		if err := json.Unmarshal(data, &values); err != nil {
			return nil, fmt.Errorf("read kept values: %s is damaged: %w: remove it to begin anew", k.path(module), err)
		}
	}
	k.values[module] = values
	return values, nil
}

func (k *keeper) get(module, key string) ([]byte, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	values, err := k.read(module)
	if err != nil {
		return nil, false, err
	}
	value, ok := values[key]
	return bytes.Clone(value), ok, nil
}

// set stores a value, nil to remove it, and returns when the file has it.
func (k *keeper) set(module, key string, value []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	values, err := k.read(module)
	if err != nil {
		return err
	}
	old, had := values[key]
	switch {
	case value == nil:
		delete(values, key)
	case !had && len(values) >= api.MaxKeepKeys:
		return fmt.Errorf("keep %q: %w: a module keeps at most %d values", key, api.ErrTooLarge, api.MaxKeepKeys)
	default:
		values[key] = bytes.Clone(value)
	}
	data, err := json.Marshal(values)
	if err == nil {
		err = folders.WriteFile(k.path(module), data)
	}
	if err != nil {
		delete(values, key)
		if had {
			values[key] = old
		}
		return fmt.Errorf("keep %q: %w", key, err)
	}
	return nil
}

func (k *keeper) remove(module string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.values, module)
	if err := os.Remove(k.path(module)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove kept values: %w", err)
	}
	return nil
}
