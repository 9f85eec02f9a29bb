package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
	"github.com/concurrent-modular-agent/coma/internal/memory"
	"github.com/concurrent-modular-agent/coma/internal/nearest"
)

func (b *Backend) pid() int { return os.Getpid() }

func (b *Backend) memoryDir() string { return filepath.Join(b.opt.Folders.Data, "memory") }

// Status implements api.Backend.
func (b *Backend) Status(context.Context) (api.Status, error) {
	endpoint := b.endpoint()
	s := api.Status{
		PID: b.pid(), Version: b.opt.Version, Daemon: b.opt.Daemon, Started: b.started,
		Socket: b.socket, Broker: endpoint.Broker, API: b.listen.address(), Clients: b.broker.clients(),
	}
	for _, a := range b.running() {
		s.Agents++
		if err := a.boxes.Err(); err != nil {
			s.Problems = append(s.Problems, fmt.Sprintf("agent %s: mailboxes: %v", a.name, err))
		}
	}
	return s, nil
}

// running returns the agents that somebody runs, by name.
func (b *Backend) running() []*agent {
	b.mu.Lock()
	defer b.mu.Unlock()
	var running []*agent
	for _, a := range b.agents {
		a.mu.Lock()
		if a.host != nil {
			running = append(running, a)
		}
		a.mu.Unlock()
	}
	slices.SortFunc(running, func(x, y *agent) int { return strings.Compare(x.name, y.name) })
	return running
}

// Agents implements api.Backend.
func (b *Backend) Agents(context.Context) ([]api.AgentState, error) {
	agents := []api.AgentState{}
	for _, a := range b.running() {
		a.mu.Lock()
		if a.host == nil {
			a.mu.Unlock()
			continue // it has just ended
		}
		state := api.AgentState{Agent: a.name, Project: a.host.as.Project, PID: a.host.as.PID, Modules: []api.ModuleState{}}
		for _, m := range a.states {
			state.Modules = append(state.Modules, m)
		}
		a.mu.Unlock()
		for i := range state.Modules {
			m := &state.Modules[i]
			if box, ok := a.boxes.Lookup(m.Module); ok {
				m.Pending, m.Dead, m.Dropped = box.Pending()+box.InHand(), len(box.Dead()), box.Dropped()
			}
		}
		slices.SortFunc(state.Modules, func(x, y api.ModuleState) int { return strings.Compare(x.Module, y.Module) })
		agents = append(agents, state)
	}
	return agents, nil
}

// Post implements api.Backend.
func (b *Backend) Post(ctx context.Context, from string, m api.Message) error {
	m.From = from
	return b.deliver(ctx, nil, m, false)
}

// Listen implements api.Backend.
func (b *Backend) Listen(ctx context.Context, pattern string, heard func(api.Heard)) error {
	return b.broker.listen(ctx, pattern, heard)
}

// Mailboxes implements api.Backend.
func (b *Backend) Mailboxes(_ context.Context, name string) ([]api.Mailbox, error) {
	a, err := b.use(name, nil)
	if err != nil {
		return nil, err
	}
	boxes := []api.Mailbox{}
	for _, module := range a.boxes.Names() {
		if box, ok := a.boxes.Lookup(module); ok {
			boxes = append(boxes, api.Mailbox{Module: module, Waiting: box.Pending() + box.InHand(), Dead: len(box.Dead()), Dropped: box.Dropped()})
		}
	}
	return boxes, a.done()
}

// withBox calls f with the mailbox of a module that runs or has run.
func (b *Backend) withBox(name, module string, f func(*mailbox.Box) error) error {
	a, err := b.use(name, nil)
	if err != nil {
		return err
	}
	box, err := a.box(module)
	if err == nil {
		err = f(box)
	}
	return errors.Join(err, a.done())
}

// Waiting implements api.Backend.
func (b *Backend) Waiting(_ context.Context, name, module string, dead bool) (messages []api.Message, err error) {
	err = b.withBox(name, module, func(box *mailbox.Box) error {
		if dead {
			messages = box.Dead()
		} else {
			messages = box.Waiting()
		}
		return nil
	})
	return messages, err
}

// Redeliver implements api.Backend.
func (b *Backend) Redeliver(_ context.Context, name, module string, ids []string) (n int, err error) {
	err = b.withBox(name, module, func(box *mailbox.Box) (err error) {
		n, err = box.Redeliver(ids...)
		return err
	})
	return n, err
}

// DropDead implements api.Backend.
func (b *Backend) DropDead(_ context.Context, name, module string, ids []string) (n int, err error) {
	err = b.withBox(name, module, func(box *mailbox.Box) (err error) {
		n, err = box.DropDead(ids...)
		return err
	})
	return n, err
}

// Memories implements api.Backend.
func (b *Backend) Memories(context.Context) ([]api.MemoryInfo, error) {
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
	return infos, nil
}

// openMemory returns the memory of that name if this backend has it open.
func (b *Backend) openMemory(name string) *memory.Store {
	b.mu.Lock()
	a := b.agents[name]
	b.mu.Unlock()
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
	}
	if info.InUse {
		out.Problem = "in use by another process"
	}
	return out
}

// withMemory calls f with an agent's memory; with create, one that does not exist is made.
func (b *Backend) withMemory(name string, create bool, f func(*memory.Store) error) error {
	path, err := memory.Path(b.memoryDir(), name)
	if err != nil {
		return fmt.Errorf("memory %q: %w", name, err)
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !create {
		stored, err := memory.List(b.memoryDir())
		if err != nil {
			return err
		}
		names := make([]string, len(stored))
		for i, info := range stored {
			names[i] = info.Name
		}
		return fmt.Errorf("memory %q: %w%s", name, api.ErrNotFound, nearest.Hint(name, names))
	}
	a, err := b.use(name, &api.Attachment{})
	if err != nil {
		return err
	}
	store, err := a.memory()
	if err == nil {
		err = f(store)
	}
	return errors.Join(err, a.done())
}

// OpenMemory implements api.Backend.
func (b *Backend) OpenMemory(_ context.Context, name string) (api.Memory, error) {
	if err := b.withMemory(name, false, func(*memory.Store) error { return nil }); err != nil {
		return nil, err
	}
	// For tools it is open during each call only, so that it is free for whoever runs the agent.
	return lazyMemory{func(do func(*memory.Store) error) error { return b.withMemory(name, false, do) }}, nil
}

// RemoveMemory implements api.Backend. The memory of an agent that runs is refused: its modules would go on with nothing.
func (b *Backend) RemoveMemory(_ context.Context, name string) error {
	if err := b.withMemory(name, false, func(*memory.Store) error { return nil }); errors.Is(err, api.ErrNotFound) || errors.Is(err, api.ErrInUse) {
		return err // a damaged one is removed below
	}
	if store := b.openMemory(name); store != nil {
		return fmt.Errorf("remove memory %q: %w: the agent runs; stop it first, or clear the memory from a module", name, api.ErrInUse)
	}
	return memory.Remove(b.memoryDir(), name)
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
		err = errors.Join(err, memory.Remove(b.memoryDir(), name)) // the empty one that was made for it
	}
	return info, err
}

func backupInfo(h memory.Header) api.MemoryInfo {
	return api.MemoryInfo{Name: h.Name, Records: h.Records, Embedder: h.Embedder, Dimension: h.Dimension}
}
