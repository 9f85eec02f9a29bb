package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// connMethod is a call that needs no seat: of someone who opens one, who runs an agent, or of a tool.
type connMethod struct {
	shape
	answer func(ctx context.Context, c *serving, raw json.RawMessage) (any, error)
}

// connCall is a connMethod with parameters of the form P and a result of the form R.
func connCall[P, R any](f func(ctx context.Context, c *serving, p P) (R, error)) connMethod {
	return connMethod{shapeOf[P, R](), func(ctx context.Context, c *serving, raw json.RawMessage) (any, error) {
		p, err := params[P](raw)
		if err != nil {
			return nil, err
		}
		return f(ctx, c, p)
	}}
}

// attached returns the agent that this connection runs.
func (c *serving) attached() (api.Host, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.agent == nil {
		return nil, fmt.Errorf("%w: the connection has attached no agent", api.ErrClosed)
	}
	return c.agent, nil
}

var connMethods = map[string]connMethod{
	methodOpen: connCall(func(ctx context.Context, c *serving, p Claim) (openResult, error) { return c.open(ctx, p) }),

	// Of those who run agents.
	methodAttach: connCall(func(ctx context.Context, c *serving, p api.Attachment) (api.Endpoint, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.agent != nil {
			return api.Endpoint{}, &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: "this connection runs agent " + c.name + " already"}
		}
		agent, err := c.host.Attach(ctx, p, remoteConsole{c.peer})
		if err != nil {
			return api.Endpoint{}, err
		}
		c.agent, c.name = agent, p.Agent
		return agent.Endpoint(), nil
	}),
	methodDetach: connCall(func(_ context.Context, c *serving, _ none) (none, error) {
		c.mu.Lock()
		agent := c.agent
		c.agent = nil
		c.mu.Unlock()
		if agent == nil {
			return none{}, nil
		}
		return none{}, agent.Close()
	}),
	methodReport: connCall(func(ctx context.Context, c *serving, p api.ModuleState) (none, error) {
		agent, err := c.attached()
		if err != nil {
			return none{}, err
		}
		return none{}, agent.Report(ctx, p)
	}),
	methodEnded: connCall(func(ctx context.Context, c *serving, p endedParams) (none, error) {
		agent, err := c.attached()
		if err != nil {
			return none{}, err
		}
		return none{}, agent.Ended(ctx, p.Identity, p.Outcome)
	}),
	methodRemove: connCall(func(ctx context.Context, c *serving, p moduleParams) (none, error) {
		agent, err := c.attached()
		if err != nil {
			return none{}, err
		}
		return none{}, agent.Remove(ctx, p.Module)
	}),

	// Of tools.
	methodStatus: connCall(func(ctx context.Context, c *serving, _ none) (api.Status, error) {
		return c.host.Status(ctx)
	}),
	methodAgents: connCall(func(ctx context.Context, c *serving, _ none) ([]api.AgentState, error) {
		return some(c.host.Agents(ctx))
	}),
	methodPost: connCall(func(ctx context.Context, c *serving, p sendParams) (none, error) {
		m, err := p.message()
		if err != nil {
			return none{}, err
		}
		return none{}, c.host.Post(ctx, m.From, m)
	}),
	methodPublish: connCall(func(ctx context.Context, c *serving, p api.Publication) (none, error) {
		return none{}, c.host.Publish(ctx, "cli", p)
	}),
	methodForget: connCall(func(ctx context.Context, c *serving, p agentParams) (none, error) {
		return none{}, c.host.Forget(ctx, p.Agent)
	}),
	methodListen: connCall(func(ctx context.Context, c *serving, p pattern) (none, error) {
		err := c.host.Listen(ctx, p.Pattern, func(h api.Heard) {
			c.peer.Notify(ctx, methodConsoleListen, h) // a listener that has gone ends ctx, and Listen with it
		})
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return none{}, err
	}),
	methodMailboxes: connCall(func(ctx context.Context, c *serving, p mailboxParams) ([]api.Mailbox, error) {
		return some(c.host.Mailboxes(ctx, p.Agent))
	}),
	methodWaiting: connCall(func(ctx context.Context, c *serving, p mailboxParams) ([]wireMessage, error) {
		messages, err := c.host.Waiting(ctx, p.Agent, p.Module, p.Dead)
		if err != nil {
			return nil, err
		}
		wire := make([]wireMessage, len(messages))
		for i, m := range messages {
			wire[i] = toWire(m)
		}
		return wire, nil
	}),
	methodRedeliver: connCall(func(ctx context.Context, c *serving, p mailboxParams) (count, error) {
		n, err := c.host.Redeliver(ctx, p.Agent, p.Module, p.IDs)
		return count{n}, err
	}),
	methodDropDead: connCall(func(ctx context.Context, c *serving, p mailboxParams) (count, error) {
		n, err := c.host.DropDead(ctx, p.Agent, p.Module, p.IDs)
		return count{n}, err
	}),
	methodMemories: connCall(func(ctx context.Context, c *serving, p memoriesParams) ([]api.MemoryInfo, error) {
		return some(c.host.Memories(ctx, p.All))
	}),
	methodOpenMem: connCall(func(ctx context.Context, c *serving, p agentParams) (none, error) {
		return none{}, c.openMemory(ctx, p.Agent)
	}),
	methodCloseMem: connCall(func(_ context.Context, c *serving, p agentParams) (none, error) {
		return none{}, c.closeMemory(p.Agent)
	}),
	methodCreateMem: connCall(func(ctx context.Context, c *serving, p embedderParams) (none, error) {
		return none{}, c.host.CreateMemory(ctx, p.Agent, p.Embedder)
	}),
	methodReembed: connCall(func(ctx context.Context, c *serving, p embedderParams) (api.MemoryInfo, error) {
		return c.host.ReembedMemory(ctx, p.Agent, p.Embedder, func(done, total int) {
			c.peer.Notify(ctx, methodProgress, progressParams{done, total}) // whoever has gone ends ctx, and Reembed with it
		})
	}),
	methodRemoveMem: connCall(func(ctx context.Context, c *serving, p agentParams) (none, error) {
		return none{}, c.host.RemoveMemory(ctx, p.Agent)
	}),
	methodBackup: connCall(func(ctx context.Context, c *serving, p memoryFile) (api.MemoryInfo, error) {
		return c.host.BackupMemory(ctx, p.Agent, p.Path)
	}),
	methodRestore: connCall(func(ctx context.Context, c *serving, p memoryFile) (api.MemoryInfo, error) {
		return c.host.RestoreMemory(ctx, p.Agent, p.Path, p.Replace)
	}),
	methodCompact: connCall(func(ctx context.Context, c *serving, p agentParams) (api.MemoryInfo, error) {
		return c.host.CompactMemory(ctx, p.Agent)
	}),
	methodShutdown: connCall(func(ctx context.Context, c *serving, _ none) (none, error) {
		return none{}, c.host.Shutdown(ctx)
	}),
}

// openMemory holds an agent's memory open for this connection.
func (c *serving) openMemory(ctx context.Context, agent string) error {
	opened, err := c.host.OpenMemory(ctx, agent)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memories[agent] != nil || c.released {
		return opened.Close()
	}
	if c.memories == nil {
		c.memories = map[string]api.OpenedMemory{}
	}
	c.memories[agent] = opened
	return nil
}

func (c *serving) closeMemory(agent string) error {
	c.mu.Lock()
	opened := c.memories[agent]
	delete(c.memories, agent)
	c.mu.Unlock()
	if opened == nil {
		return nil
	}
	return opened.Close()
}

// remoteConsole is the console of an agent that is run in another process.
type remoteConsole struct{ peer *jsonrpc.Peer }

func (r remoteConsole) Log(module string, entry api.LogEntry) {
	// Where whoever runs the agent has gone, nobody is there to read the log.
	r.peer.Notify(context.Background(), methodConsoleLog, consoleParams{Module: module, Entry: &entry})
}

func (r remoteConsole) Print(module, text string) {
	r.peer.Notify(context.Background(), methodConsolePrint, consoleParams{Module: module, Text: text})
}

func (r remoteConsole) Input(ctx context.Context, module, prompt string) (string, error) {
	var answer textParams
	err := r.peer.Call(ctx, methodConsoleInput, consoleParams{Module: module, Text: prompt}, &answer)
	return answer.Text, local(err)
}
