package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// wanted returns the name of the embedder that somebody has asked for, and whether they insist on it: coma.yaml of the
// agent that runs, or the environment of this backend. What the agent ran with last is only a proposal, for a memory that
// is empty. "" leaves it to the memory.
func (a *agent) wanted() (name string, insist bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.host != nil && a.host.as.Memory.Embedder != "" {
		return a.host.as.Memory.Embedder, true
	}
	if a.backend.opt.Embedder != "" {
		return a.backend.opt.Embedder, true
	}
	return a.opened.Memory.Embedder, false
}

// memory opens the agent's memory when it is first used.
func (a *agent) memory() (*memory.Store, error) {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.closed {
		return nil, fmt.Errorf("memory of agent %s: %w", a.name, api.ErrClosed)
	}
	if at := a.memoryAt(); at != "" {
		return nil, errElsewhere(a.name, at)
	}
	if a.store != nil {
		return a.store, nil
	}
	path, err := memory.Path(a.backend.memoryDir(), a.name)
	if err != nil {
		return nil, err
	}
	name, insist := a.wanted()
	e, err := a.backend.embedders.Find(name)
	if err != nil {
		return nil, fmt.Errorf("memory of agent %s: %w", a.name, err)
	}
	store, err := memory.Open(path, memory.Options{
		Embedder: e, Insist: insist, Embedders: a.backend.embedders.Find, TimeKey: timeKey, Log: a.backend.log,
	})
	if err != nil {
		return nil, err
	}
	a.store = store
	return store, a.configure()
}

// adopt brings a memory that was open already, for a tool or a Chroma client, to what who now runs the agent wants.
func (a *agent) adopt() error {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.store == nil {
		return nil
	}
	name, insist := a.wanted()
	e, err := a.backend.embedders.Find(name)
	if err != nil {
		return fmt.Errorf("memory of agent %s: %w", a.name, err)
	}
	a.store.Speak(e, insist)
	return a.configure()
}

// timeKey is the metadata key that the Python framework keeps a record's time under.
const timeKey = "timestamp"

// configure brings the open memory to the settings of who runs the agent. The caller holds opening.
func (a *agent) configure() error {
	a.mu.Lock()
	h := a.host
	a.mu.Unlock()
	if h == nil || a.store == nil {
		return nil
	}
	settings := memory.Settings{TTL: h.as.Memory.TTL, Limit: h.as.Memory.Limit}
	if a.store.Settings() == settings {
		return nil
	}
	if err := a.store.Configure(a.backend.life, settings); err != nil {
		return fmt.Errorf("memory of agent %s: set its limits: %w", a.name, err)
	}
	return nil
}

// answerWithin bounds how long a service of vectors is waited for at the start.
const answerWithin = 15 * time.Second

// lookAtEmbedder tells whoever runs the agent, in one line, that its memory can take no texts: the embedder has no key,
// or is not there, or is another than the one that the memory's vectors are of. Each Add tells it, too; here it is told
// before any module has one to lose. The memory itself is not opened for that, nor is a model decoded.
func (h *host) lookAtEmbedder(ctx context.Context) {
	a := h.agent
	if r := a.remoteMemory(); r != nil {
		r.look(ctx)
		return
	}
	name, insist := a.wanted()
	has, err := a.backend.peek(a.name)
	switch {
	case err != nil: // opening it tells
		return
	case has == "":
	case !insist:
		name = has
	case embed.Same(name, has):
	default:
		h.warn("memory: its vectors are of %s, and %s is asked for, which cannot be compared: coma memory reembed %s", has, name, a.name)
		return
	}
	if spec, err := embed.Parse(name); err != nil || !spec.Remote() {
		return // one inside this program; what a memory names and nobody knows is told by opening it
	}
	e, err := a.backend.embedders.Find(name)
	if err != nil {
		return
	}
	patience, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := embed.Ready(patience, e); err != nil && ctx.Err() == nil {
		h.warn("memory: the embedder %s makes no vectors: %v", e.Name(), err)
	}
}

func (h *host) warn(format string, args ...any) {
	h.console.Log("", api.LogEntry{Time: time.Now(), Level: slog.LevelWarn.String(), Text: fmt.Sprintf(format, args...)})
}

// peek returns whose vectors the records of an agent's memory have; "" where there are none, or nobody knows because
// another process has it.
func (b *Backend) peek(name string) (string, error) {
	if store := b.openMemory(name); store != nil {
		if info, err := store.Info(); err == nil && info.Records > 0 {
			return info.Embedder, nil
		}
		return "", nil
	}
	path, err := memory.Path(b.memoryDir(), name)
	if err != nil {
		return "", err
	}
	head, err := memory.Peek(path)
	switch {
	case err == nil && head.Empty:
		return "", nil // it takes any
	case err == nil:
		return head.Embedder, nil
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, api.ErrInUse):
		return "", nil
	}
	return "", err
}
