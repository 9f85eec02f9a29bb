package backend

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// as returns the backend as the owner of a connection may use it. It is the one way from a connection to the backend:
// whatever is asked by JSON-RPC or REST is asked of what this returns.
func (b *Backend) as(id access.Identity) link.Local {
	if id == access.Owner() {
		return b
	}
	return &guarded{b: b, id: id, rate: b.rates.of(id.User(), b.limits.Rate)}
}

// rates are how fast each user may send by the API, over all of the user's requests and connections.
type rates struct {
	mu     sync.Mutex
	byUser map[string]*access.Rate // of all users who have come: as many as there have been in the users' file
}

func (r *rates) of(user string, perSecond int) *access.Rate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byUser == nil {
		r.byUser = map[string]*access.Rate{}
	}
	if r.byUser[user] == nil {
		r.byUser[user] = access.NewRate(perSecond)
	}
	return r.byUser[user]
}

// guarded is a backend as a user may use it. It implements link.Local. What is permitted is looked up at each call: it may
// have changed since the connection was made.
type guarded struct {
	b    *Backend
	id   access.Identity
	rate *access.Rate // of what the user sends
}

var errForbidden = fmt.Errorf("%w: the user's permissions do not allow it (coma backend passwd changes them)", api.ErrUnauthorized)

func (g *guarded) agent(name string) error {
	if !g.id.Agent(name) {
		return fmt.Errorf("agent %s: %w", name, errForbidden)
	}
	return nil
}

func (g *guarded) admin(what string) error {
	if !g.id.Admin() {
		return fmt.Errorf("%s: %w", what, errForbidden)
	}
	return nil
}

// Attach implements api.Backend.
func (g *guarded) Attach(ctx context.Context, as api.Attachment, out api.Console) (api.Host, error) {
	if err := g.admin("run agent " + as.Agent); err != nil {
		return nil, err
	}
	h, err := g.b.Attach(ctx, as, out)
	if err != nil {
		return nil, err
	}
	return &guardedHost{h, g}, nil
}

// Status implements api.Backend. Users learn that the backend is there, and which it is.
func (g *guarded) Status(ctx context.Context) (api.Status, error) {
	s, err := g.b.Status(ctx)
	if err != nil || g.id.Admin() {
		return s, err
	}
	if !g.id.Valid() {
		return api.Status{}, errForbidden
	}
	return api.Status{Version: s.Version, Daemon: s.Daemon, Started: s.Started, API: s.API, Broker: s.Broker, External: s.External}, nil
}

// Agents implements api.Backend.
func (g *guarded) Agents(ctx context.Context) ([]api.AgentState, error) {
	agents, err := g.b.Agents(ctx)
	return slices.DeleteFunc(agents, func(a api.AgentState) bool { return !g.id.Agent(a.Agent) }), err
}

// Post implements api.Backend.
func (g *guarded) Post(ctx context.Context, from string, m api.Message) error {
	agent, _, _ := strings.Cut(m.To, "/")
	if err := g.agent(agent); err != nil {
		return err
	}
	if err := g.rate.Wait(ctx); err != nil {
		return err
	}
	return g.b.Post(ctx, g.from(from), m)
}

// from is who sends: a user, not who it says it is.
func (g *guarded) from(said string) string {
	if g.id.Admin() {
		return said
	}
	return "user:" + g.id.User()
}

// Publish implements api.Backend.
func (g *guarded) Publish(ctx context.Context, from string, p api.Publication) error {
	if !g.id.Publish(p.Topic) {
		return fmt.Errorf("publish to %s: %w", p.Topic, errForbidden)
	}
	if err := g.rate.Wait(ctx); err != nil {
		return err
	}
	return g.b.Publish(ctx, g.from(from), p)
}

// Listen implements api.Backend. Any pattern can be listened to; what the user may not hear is left out.
func (g *guarded) Listen(ctx context.Context, pattern string, heard func(api.Heard)) error {
	if !g.id.Valid() {
		return errForbidden
	}
	return g.b.Listen(ctx, pattern, func(h api.Heard) {
		if h.Topic == "" || g.id.Hear(h.Topic) {
			heard(h)
		}
	})
}

// Mailboxes implements api.Backend.
func (g *guarded) Mailboxes(ctx context.Context, agent string) ([]api.Mailbox, error) {
	if err := g.agent(agent); err != nil {
		return nil, err
	}
	return g.b.Mailboxes(ctx, agent)
}

// Waiting implements api.Backend.
func (g *guarded) Waiting(ctx context.Context, agent, module string, dead bool) ([]api.Message, error) {
	if err := g.agent(agent); err != nil {
		return nil, err
	}
	return g.b.Waiting(ctx, agent, module, dead)
}

// Redeliver implements api.Backend.
func (g *guarded) Redeliver(ctx context.Context, agent, module string, ids []string) (int, error) {
	if err := g.agent(agent); err != nil {
		return 0, err
	}
	return g.b.Redeliver(ctx, agent, module, ids)
}

// DropDead implements api.Backend.
func (g *guarded) DropDead(ctx context.Context, agent, module string, ids []string) (int, error) {
	if err := g.agent(agent); err != nil {
		return 0, err
	}
	return g.b.DropDead(ctx, agent, module, ids)
}

// Memories implements api.Backend. Collections that are no agent's are the admins'.
func (g *guarded) Memories(ctx context.Context, all bool) ([]api.MemoryInfo, error) {
	infos, err := g.b.Memories(ctx, all && g.id.Admin())
	return slices.DeleteFunc(infos, func(m api.MemoryInfo) bool { return !g.id.Agent(m.Name) }), err
}

// OpenMemory implements api.Backend.
func (g *guarded) OpenMemory(ctx context.Context, agent string) (api.OpenedMemory, error) {
	if err := g.agent(agent); err != nil {
		return nil, err
	}
	opened, err := g.b.OpenMemory(ctx, agent)
	if err != nil {
		return nil, err
	}
	return &guardedMemory{opened, g, agent}, nil
}

// CreateMemory implements api.Backend.
func (g *guarded) CreateMemory(ctx context.Context, agent, embedder string) error {
	if err := g.agent(agent); err != nil {
		return err
	}
	return g.b.CreateMemory(ctx, agent, embedder)
}

// RemoveMemory implements api.Backend.
func (g *guarded) RemoveMemory(ctx context.Context, agent string) error {
	if err := g.admin("remove the memory of " + agent); err != nil {
		return err
	}
	return g.b.RemoveMemory(ctx, agent)
}

// Forget implements api.Backend.
func (g *guarded) Forget(ctx context.Context, agent string) error {
	if err := g.admin("forget agent " + agent); err != nil {
		return err
	}
	return g.b.Forget(ctx, agent)
}

// ReembedMemory implements api.Backend.
func (g *guarded) ReembedMemory(ctx context.Context, agent, embedder string, progress func(done, total int)) (api.MemoryInfo, error) {
	if err := g.admin("embed the memory of " + agent + " anew"); err != nil {
		return api.MemoryInfo{}, err
	}
	return g.b.ReembedMemory(ctx, agent, embedder, progress)
}

// BackupMemory implements api.Backend. It writes where the backend may write.
func (g *guarded) BackupMemory(ctx context.Context, agent, path string) (api.MemoryInfo, error) {
	if err := g.admin("back up the memory of " + agent); err != nil {
		return api.MemoryInfo{}, err
	}
	return g.b.BackupMemory(ctx, agent, path)
}

// RestoreMemory implements api.Backend. It reads what the backend may read.
func (g *guarded) RestoreMemory(ctx context.Context, agent, path string, replace bool) (api.MemoryInfo, error) {
	if err := g.admin("restore the memory of " + agent); err != nil {
		return api.MemoryInfo{}, err
	}
	return g.b.RestoreMemory(ctx, agent, path, replace)
}

// CompactMemory implements api.Backend.
func (g *guarded) CompactMemory(ctx context.Context, agent string) (api.MemoryInfo, error) {
	if err := g.admin("compact the memory of " + agent); err != nil {
		return api.MemoryInfo{}, err
	}
	return g.b.CompactMemory(ctx, agent)
}

// Shutdown implements api.Backend.
func (g *guarded) Shutdown(ctx context.Context) error {
	if err := g.admin("stop the backend"); err != nil {
		return err
	}
	return g.b.Shutdown(ctx)
}

// Seat implements link.Local. Whoever may speak to an agent may speak as one of its modules.
func (g *guarded) Seat(ctx context.Context, claim link.Claim) (link.Seat, error) {
	if err := g.agent(claim.Agent); err != nil {
		return nil, err
	}
	seat, err := g.b.Seat(ctx, claim)
	if err != nil {
		return nil, err
	}
	return &guardedSeat{seat, g}, nil
}

// Unseat implements link.Local.
func (g *guarded) Unseat(seat link.Seat) { g.b.Unseat(seat.(*guardedSeat).Seat) }
