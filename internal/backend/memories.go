package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/chroma"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/memory"
	"github.com/concurrent-modular-agent/coma/internal/nearest"
)

func (b *Backend) memoryDir() string { return filepath.Join(b.opt.Folders.Data, "memory") }

// Memories implements api.Backend.
func (b *Backend) Memories(_ context.Context, all bool) ([]api.MemoryInfo, error) {
	stored, err := memory.List(b.memoryDir())
	if err != nil {
		return nil, err
	}
	infos := make([]api.MemoryInfo, len(stored))
	for i, info := range stored {
		if own := b.openMemory(info.Name); own != nil {
			if live, err := own.Info(); err == nil {
				info = live
			}
		}
		infos[i] = memoryInfo(info)
	}
	if !all {
		return infos, nil
	}
	others, err := b.otherCollections()
	return append(infos, others...), err
}

// otherCollections tells of the collections that Chroma clients have made beside agents' memories, by name.
func (b *Backend) otherCollections() ([]api.MemoryInfo, error) {
	lent := newCollections(b) // none: offline
	if b.listen != nil {
		lent = b.listen.collections
	}
	stored, err := memory.List(lent.dir())
	if err != nil {
		return nil, err
	}
	infos := make([]api.MemoryInfo, len(stored))
	for i, info := range stored {
		id := info.Name
		var attribute []byte
		if store := lent.opened(chroma.Key{Collection: id}); store != nil {
			attribute = store.Attribute(chroma.AttributeKey)
			if live, err := store.Info(); err == nil {
				info = live
			}
		} else if head, err := memory.Peek(info.Path); err == nil {
			attribute = head.Attributes[chroma.AttributeKey]
		} // else: info has the same problem
		infos[i] = memoryInfo(info)
		infos[i].Name, infos[i].Collection = id, id
		if name, err := chroma.Name(attribute); err == nil && name != "" {
			infos[i].Name = name
		}
	}
	slices.SortFunc(infos, func(x, y api.MemoryInfo) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Collection, y.Collection))
	})
	return infos, nil
}

// openMemory returns the memory of that name if this backend has it open.
func (b *Backend) openMemory(name string) *memory.Store {
	a := b.openedAgent(name)
	if a == nil {
		return nil
	}
	a.opening.Lock()
	defer a.opening.Unlock()
	return a.store
}

func memoryInfo(info memory.Info) api.MemoryInfo {
	out := api.MemoryInfo{
		Name: info.Name, Records: info.Records, Bytes: info.Bytes, Embedder: info.Embedder, Dimension: info.Dimension,
		Oldest: info.Oldest, Newest: info.Newest, Problem: info.Problem,
		Held: info.HeldBytes, TTL: info.Settings.TTL, Limit: info.Settings.Limit,
	}
	if info.InUse {
		out.Problem = "in use by another process"
	}
	return out
}

// useMemory opens an agent's memory; with create, one that does not exist is made. The caller ends the use of the agent.
func (b *Backend) useMemory(name string, create bool) (*agent, *memory.Store, error) {
	if a, r := b.remoteAgent(name); a != nil {
		return nil, nil, errors.Join(errElsewhere(name, r.address), a.done())
	}
	path, err := memory.Path(b.memoryDir(), name)
	if err != nil {
		return nil, nil, fmt.Errorf("memory %q: %w", name, err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !create {
		stored, err := memory.List(b.memoryDir())
		if err != nil {
			return nil, nil, err
		}
		names := make([]string, len(stored))
		for i, info := range stored {
			names[i] = info.Name
		}
		return nil, nil, fmt.Errorf("memory %q: %w%s", name, api.ErrNotFound, nearest.Hint(name, names))
	}
	a, err := b.use(name, &api.Attachment{})
	if err != nil {
		return nil, nil, err
	}
	store, err := a.memory()
	if err != nil {
		return nil, nil, errors.Join(err, a.done())
	}
	return a, store, nil
}

// withMemory calls f with an agent's memory.
func (b *Backend) withMemory(name string, create bool, f func(*memory.Store) error) error {
	a, store, err := b.useMemory(name, create)
	if err != nil {
		return err
	}
	return errors.Join(f(store), a.done())
}

// OpenMemory implements api.Backend.
func (b *Backend) OpenMemory(_ context.Context, name string) (api.OpenedMemory, error) {
	if a, r := b.remoteAgent(name); a != nil {
		return &heldMemory{Memory: r.asMemory(), close: sync.OnceValue(a.done)}, nil
	}
	if b.opt.Daemon { // it stays open for the next command; other backends would find it in use, and their agents run here
		store, giveBack, err := b.listen.collections.lend(chroma.Key{Agent: name})
		if err != nil {
			return nil, err
		}
		return &heldMemory{Memory: store, close: sync.OnceValue(func() error { giveBack(); return nil })}, nil
	}
	a, store, err := b.useMemory(name, false)
	if err != nil {
		return nil, err
	}
	return &heldMemory{Memory: store, close: sync.OnceValue(a.done)}, nil
}

// heldMemory is an open memory, and the use of its agent that keeps it open.
type heldMemory struct {
	api.Memory
	close func() error
}

func (m *heldMemory) Close() error { return m.close() }

// CreateMemory implements api.Backend.
func (b *Backend) CreateMemory(ctx context.Context, name, embedder string) error {
	return b.withMemory(name, true, func(s *memory.Store) error {
		switch embedder {
		case "":
			return nil
		case memory.GivenEmbedder:
			return s.Declare(ctx, embedder)
		}
		spec, err := embed.Parse(embedder)
		if err != nil {
			return err
		}
		return s.Declare(ctx, spec.String())
	})
}

// ReembedMemory implements api.Backend.
func (b *Backend) ReembedMemory(ctx context.Context, name, embedder string, progress func(done, total int)) (info api.MemoryInfo, err error) {
	if progress == nil {
		progress = func(int, int) {}
	}
	a, store, err := b.useMemory(name, false)
	if err != nil {
		return info, err
	}
	if embedder == "" {
		embedder, _ = a.wanted()
	}
	e, err := b.embedders.Find(embedder)
	if err == nil {
		err = store.Reembed(ctx, e, progress)
	}
	var now memory.Info
	if err == nil {
		now, err = store.Info()
	}
	if err == nil && now.Records == 0 { // or its first record would choose anew
		if err = store.Declare(ctx, e.Name()); err == nil {
			now, err = store.Info()
		}
	}
	info = memoryInfo(now)
	return info, errors.Join(err, a.done())
}

// RemoveMemory implements api.Backend. The memory of an agent that runs is refused: its modules would go on with nothing.
func (b *Backend) RemoveMemory(_ context.Context, name string) error {
	if err := b.listen.release(name); err != nil {
		return err
	}
	if err := b.withMemory(name, false, func(*memory.Store) error { return nil }); errors.Is(err, api.ErrNotFound) || errors.Is(err, api.ErrInUse) {
		return err // a damaged one is removed below
	}
	if store := b.openMemory(name); store != nil {
		return fmt.Errorf("remove memory %q: %w: the agent runs; stop it first, or clear the memory from a module", name, api.ErrInUse)
	}
	return memory.Remove(b.memoryDir(), name)
}

// CompactMemory implements api.Backend.
func (b *Backend) CompactMemory(ctx context.Context, name string) (info api.MemoryInfo, err error) {
	err = b.withMemory(name, false, func(s *memory.Store) error {
		if err := s.Compact(ctx); err != nil {
			return err
		}
		now, err := s.Info()
		info = memoryInfo(now)
		return err
	})
	return info, err
}

// BackupMemory implements api.Backend.
func (b *Backend) BackupMemory(ctx context.Context, name, path string) (info api.MemoryInfo, err error) {
	err = b.withMemory(name, false, func(s *memory.Store) error {
		header, err := s.BackupFile(ctx, path)
		info = backupInfo(header)
		return err
	})
	return info, err
}

// RestoreMemory implements api.Backend.
func (b *Backend) RestoreMemory(ctx context.Context, name, path string, replace bool) (info api.MemoryInfo, err error) {
	file, err := memory.Path(b.memoryDir(), name)
	if err != nil {
		return info, fmt.Errorf("memory %q: %w", name, err)
	}
	_, missing := os.Stat(file)
	err = b.withMemory(name, true, func(s *memory.Store) error {
		header, err := s.RestoreFile(ctx, path, memory.RestoreOptions{Replace: replace})
		info = backupInfo(header)
		return err
	})
	if err != nil && errors.Is(missing, fs.ErrNotExist) && b.openMemory(name) == nil {
		// The empty one that was made for it goes, if it could be made.
		if gone := memory.Remove(b.memoryDir(), name); !errors.Is(gone, api.ErrNotFound) {
			err = errors.Join(err, gone)
		}
	}
	return info, err
}

func backupInfo(h memory.Header) api.MemoryInfo {
	return api.MemoryInfo{Name: h.Name, Records: h.Records, Embedder: h.Embedder, Dimension: h.Dimension}
}
