package backend

import (
	"cmp"
	"context"
	"fmt"
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

// lookAtEmbedder tells whoever runs the agent, in one line, that the embedder that was asked for cannot work: no key, or
// nobody there. Each Add will tell it, too; here it is told before any module has one to lose.
func (h *host) lookAtEmbedder(ctx context.Context) {
	name, _ := h.agent.wanted()
	if name == "" {
		return
	}
	e, err := h.agent.backend.embedders.Find(name)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()
		err = embed.Ready(ctx, e)
		name = cmp.Or(e.Name(), name)
	}
	if err != nil && ctx.Err() == nil {
		h.console.Log("", api.LogEntry{Time: time.Now(), Level: slog.LevelWarn.String(),
			Text: fmt.Sprintf("memory: the embedder %s makes no vectors: %v", name, err)})
	}
}
