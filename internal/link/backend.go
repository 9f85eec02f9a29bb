package link

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// Client is a host in another process, for tools and for those who run agents. It implements api.Backend.
type Client struct {
	address, token string
	wire           *wire

	mu       sync.Mutex
	notified func(method string, raw json.RawMessage) // on a connection that is for one call alone; else nil
}

// Dial connects to the host at address. The connection is for single questions: when it is lost, calls fail.
// Attach and Listen make connections of their own.
func Dial(ctx context.Context, address, token string) (*Client, error) {
	c := &Client{address: address, token: token}
	c.wire = &wire{address: address, token: token, handler: c, once: true, greet: nothingToSay}
	if err := c.wire.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func nothingToSay(context.Context, *jsonrpc.Peer, bool) error { return nil }

// Close ends the connection.
func (c *Client) Close() error {
	c.wire.close()
	return nil
}

// Request implements jsonrpc.Handler.
func (c *Client) Request(_ context.Context, method string, _ json.RawMessage) (any, error) {
	return nil, unknownMethod(method)
}

// Notify implements jsonrpc.Handler.
func (c *Client) Notify(method string, raw json.RawMessage) {
	c.mu.Lock()
	notified := c.notified
	c.mu.Unlock()
	if notified != nil {
		notified(method, raw)
	}
}

// apart makes a call on a connection of its own; told takes what the host says of it, as notifications of that method,
// before it answers.
func apart[T any](ctx context.Context, c *Client, method string, p, result any, notification string, told func(T)) error {
	own, err := Dial(ctx, c.address, c.token)
	if err != nil {
		return err
	}
	defer own.Close()
	own.mu.Lock()
	own.notified = func(method string, raw json.RawMessage) {
		if method != notification {
			return
		}
		if said, err := params[T](raw); err == nil {
			told(said)
		}
	}
	own.mu.Unlock()
	return own.wire.call(ctx, method, p, result)
}

// Listen implements api.Backend.
func (c *Client) Listen(ctx context.Context, topics string, heard func(api.Heard)) error {
	return apart(ctx, c, methodListen, pattern{topics}, nil, methodConsoleListen, heard)
}

// Attach implements api.Backend. The agent stays attached when the host is restarted: it is attached again, with the
// state of its modules, as soon as the host is back.
func (c *Client) Attach(ctx context.Context, agent api.Attachment, out api.Console) (api.Host, error) {
	h := &remoteHost{client: c, agent: agent, console: out, states: map[string]api.ModuleState{}}
	h.wire = &wire{address: c.address, token: c.token, handler: h, greet: h.greet, away: h.away}
	if err := h.wire.connect(ctx); err != nil {
		return nil, fmt.Errorf("attach agent %s: %w", agent.Agent, err)
	}
	return h, nil
}

// Status implements api.Backend.
func (c *Client) Status(ctx context.Context) (s api.Status, err error) {
	err = c.wire.call(ctx, methodStatus, nil, &s)
	return s, err
}

// Agents implements api.Backend.
func (c *Client) Agents(ctx context.Context) (agents []api.AgentState, err error) {
	err = c.wire.call(ctx, methodAgents, nil, &agents)
	return agents, err
}

// Post implements api.Backend.
func (c *Client) Post(ctx context.Context, from string, m api.Message) error {
	m.From = from
	return c.wire.call(ctx, methodPost, &sendParams{wireMessage: toWire(m)}, nil)
}

// Publish implements api.Backend. The host calls whoever publishes without a session "cli", whatever from is.
func (c *Client) Publish(ctx context.Context, _ string, p api.Publication) error {
	return c.wire.call(ctx, methodPublish, p, nil)
}

// Mailboxes implements api.Backend.
func (c *Client) Mailboxes(ctx context.Context, agent string) (boxes []api.Mailbox, err error) {
	err = c.wire.call(ctx, methodMailboxes, mailboxParams{Agent: agent}, &boxes)
	return boxes, err
}

// Waiting implements api.Backend.
func (c *Client) Waiting(ctx context.Context, agent, module string, dead bool) ([]api.Message, error) {
	var wire []wireMessage
	if err := c.wire.call(ctx, methodWaiting, mailboxParams{Agent: agent, Module: module, Dead: dead}, &wire); err != nil {
		return nil, err
	}
	messages := make([]api.Message, len(wire))
	for i := range wire {
		var err error
		if messages[i], err = wire[i].message(); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// Redeliver implements api.Backend.
func (c *Client) Redeliver(ctx context.Context, agent, module string, ids []string) (int, error) {
	var n count
	err := c.wire.call(ctx, methodRedeliver, mailboxParams{Agent: agent, Module: module, IDs: ids}, &n)
	return n.Count, err
}

// DropDead implements api.Backend.
func (c *Client) DropDead(ctx context.Context, agent, module string, ids []string) (int, error) {
	var n count
	err := c.wire.call(ctx, methodDropDead, mailboxParams{Agent: agent, Module: module, IDs: ids}, &n)
	return n.Count, err
}

// Memories implements api.Backend.
func (c *Client) Memories(ctx context.Context, all bool) (memories []api.MemoryInfo, err error) {
	err = c.wire.call(ctx, methodMemories, memoriesParams{all}, &memories)
	return memories, err
}

// CreateMemory implements api.Backend.
func (c *Client) CreateMemory(ctx context.Context, agent, embedder string) error {
	return c.wire.call(ctx, methodCreateMem, embedderParams{agent, embedder}, nil)
}

// ReembedMemory implements api.Backend.
func (c *Client) ReembedMemory(ctx context.Context, agent, embedder string, progress func(done, total int)) (info api.MemoryInfo, err error) {
	err = apart(ctx, c, methodReembed, embedderParams{agent, embedder}, &info, methodProgress, func(p progressParams) {
		if progress != nil {
			progress(p.Done, p.Total)
		}
	})
	return info, err
}

// OpenMemory implements api.Backend.
func (c *Client) OpenMemory(ctx context.Context, agent string) (api.OpenedMemory, error) {
	if err := c.wire.call(ctx, methodOpenMem, agentParams{agent}, nil); err != nil {
		return nil, err
	}
	return openedMemory{remoteMemory{c.wire, agent}}, nil
}

// openedMemory is a memory that the host holds open for this connection.
type openedMemory struct{ remoteMemory }

func (m openedMemory) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return m.wire.call(ctx, methodCloseMem, agentParams{m.agent}, nil)
}

// Forget implements api.Backend.
func (c *Client) Forget(ctx context.Context, agent string) error {
	return c.wire.call(ctx, methodForget, agentParams{agent}, nil)
}

// RemoveMemory implements api.Backend.
func (c *Client) RemoveMemory(ctx context.Context, agent string) error {
	return c.wire.call(ctx, methodRemoveMem, agentParams{agent}, nil)
}

// BackupMemory implements api.Backend.
func (c *Client) BackupMemory(ctx context.Context, agent, path string) (info api.MemoryInfo, err error) {
	err = c.wire.call(ctx, methodBackup, memoryFile{Agent: agent, Path: path}, &info)
	return info, err
}

// RestoreMemory implements api.Backend.
func (c *Client) RestoreMemory(ctx context.Context, agent, path string, replace bool) (info api.MemoryInfo, err error) {
	err = c.wire.call(ctx, methodRestore, memoryFile{Agent: agent, Path: path, Replace: replace}, &info)
	return info, err
}

// CompactMemory implements api.Backend.
func (c *Client) CompactMemory(ctx context.Context, agent string) (info api.MemoryInfo, err error) {
	err = c.wire.call(ctx, methodCompact, agentParams{agent}, &info)
	return info, err
}

// Shutdown implements api.Backend.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.wire.call(ctx, methodShutdown, nil, nil)
}

// remoteHost is an agent that is run here, at a host in another process.
type remoteHost struct {
	client  *Client
	agent   api.Attachment
	console api.Console
	wire    *wire

	mu       sync.Mutex
	endpoint api.Endpoint
	states   map[string]api.ModuleState // as reported, to be said again after a reconnection
}

// away tells the person whether the host is there.
func (h *remoteHost) away(err error) {
	entry := api.LogEntry{Time: time.Now(), Level: slog.LevelWarn.String(), Text: "the backend is back"}
	if err != nil {
		entry.Text = err.Error()
	}
	h.console.Log("", entry)
}

func (h *remoteHost) greet(ctx context.Context, peer *jsonrpc.Peer, again bool) error {
	var endpoint api.Endpoint
	if err := peer.Call(ctx, methodAttach, h.agent, &endpoint); err != nil {
		return err
	}
	h.mu.Lock()
	h.endpoint = throughHere(endpoint, h.client.address, h.client.token)
	states := make([]api.ModuleState, 0, len(h.states))
	for _, s := range h.states {
		states = append(states, s)
	}
	h.mu.Unlock()
	for _, s := range states {
		if err := peer.Call(ctx, methodReport, s, nil); err != nil {
			return err
		}
	}
	return nil
}

// throughHere is how modules reach a host in the way that whoever runs them does. By TCP, that is by the same address and
// with the same token: the host's socket may be another machine's, and its token is the owner's alone.
func throughHere(e api.Endpoint, address, token string) api.Endpoint {
	own, err := url.Parse(address)
	if err != nil || own.Scheme == "unix" {
		return e
	}
	e.API, e.HTTP, e.Token = address, address, token
	broker, err := url.Parse(e.Broker)
	if err != nil || broker.Host == "" {
		return e
	}
	if ip := net.ParseIP(broker.Hostname()); ip != nil && ip.IsLoopback() && broker.Hostname() != own.Hostname() {
		broker.Host = net.JoinHostPort(own.Hostname(), broker.Port()) // the host's own, seen from elsewhere
		if own.Scheme == "https" {
			broker.Scheme = "mqtts"
		}
	}
	if user, password, ok := strings.Cut(token, ":"); ok && broker.User.String() == url.User(user).String() {
		broker.User = url.UserPassword(user, password) // the host says whose, and leaves out the password
	}
	e.Broker = broker.String()
	return e
}

// Request implements jsonrpc.Handler.
func (h *remoteHost) Request(ctx context.Context, method string, raw json.RawMessage) (any, error) {
	if method != methodConsoleInput {
		return nil, unknownMethod(method)
	}
	p, err := params[consoleParams](raw)
	if err != nil {
		return nil, err
	}
	line, err := h.console.Input(ctx, p.Module, p.Text)
	if err != nil {
		return nil, coded{err}
	}
	return textParams{line}, nil
}

// Notify implements jsonrpc.Handler.
func (h *remoteHost) Notify(method string, raw json.RawMessage) {
	p, err := params[consoleParams](raw)
	if err != nil {
		return
	}
	switch {
	case method == methodConsoleLog && p.Entry != nil:
		h.console.Log(p.Module, *p.Entry)
	case method == methodConsolePrint:
		h.console.Print(p.Module, p.Text)
	}
}

func (h *remoteHost) Endpoint() api.Endpoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.endpoint
}

func (h *remoteHost) Open(ctx context.Context, id api.Identity) (api.Session, error) {
	return Open(ctx, h.client.address, h.client.token, id)
}

func (h *remoteHost) Report(ctx context.Context, state api.ModuleState) error {
	h.mu.Lock()
	h.states[state.Module] = state
	h.mu.Unlock()
	return h.wire.call(ctx, methodReport, state, nil)
}

func (h *remoteHost) Ended(ctx context.Context, id api.Identity, outcome api.Outcome) error {
	return h.wire.call(ctx, methodEnded, endedParams{id, outcome}, nil)
}

func (h *remoteHost) Remove(ctx context.Context, module string) error {
	h.mu.Lock()
	delete(h.states, module)
	h.mu.Unlock()
	return h.wire.call(ctx, methodRemove, moduleParams{module}, nil)
}

func (h *remoteHost) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := h.wire.call(ctx, methodDetach, nil, nil)
	h.wire.close()
	return err
}
