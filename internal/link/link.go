// Package link carries the host's API (package api) over a connection: JSON-RPC 2.0 in the text frames of a WebSocket,
// on a unix socket for modules on the same machine or on TCP.
//
// Client is the far end: it dials, reconnects when the host is away, repeats what was not answered, and offers
// api.Backend; Open gives an api.Session on a connection of its own. Server is the host's end: it turns calls into
// calls of the host's api.Backend. session.go and serve_session.go are the two ends of a module's seat, the hot path;
// methods.go lists the methods and their parameters, and is the protocol's description.
package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// maxFrame bounds one frame in bytes: a largest message in base64 with room to spare, or a large answer.
const maxFrame = 256 << 20

// wsConn is a WebSocket as a jsonrpc.Conn.
type wsConn struct{ ws *websocket.Conn }

func (c wsConn) Read(ctx context.Context) ([]byte, error) {
	kind, frame, err := c.ws.Read(ctx)
	if err == nil && kind != websocket.MessageText {
		err = errors.New("binary frame: JSON-RPC is text")
	}
	return frame, err
}

func (c wsConn) Write(ctx context.Context, frame []byte) error {
	return c.ws.Write(ctx, websocket.MessageText, frame)
}

func (c wsConn) Close() error { return c.ws.CloseNow() }

// dial connects to address, "unix:///path" or "http://host:port".
func dial(ctx context.Context, address, token string) (jsonrpc.Conn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("host address %q: %w", address, err)
	}
	var client *http.Client
	target := "ws://coma/rpc"
	switch u.Scheme {
	case "unix":
		client = &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", u.Path)
			},
		}}
	case "http":
		target = "ws://" + u.Host + "/rpc"
	case "https":
		target = "wss://" + u.Host + "/rpc"
	default:
		return nil, fmt.Errorf("host address %q: want unix:///path or http://host:port", address)
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	ws, answer, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err != nil {
		if answer != nil && answer.StatusCode == http.StatusUnauthorized {
			return nil, fmt.Errorf("connect to %s: %w: the token is not the host's", address, api.ErrUnauthorized)
		}
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	ws.SetReadLimit(maxFrame)
	return wsConn{ws}, nil
}

// backoff waits between attempts to reach a host: 10 ms at first, twice as long each time up to 1 s.
type backoff struct{ next time.Duration }

func (b *backoff) wait(ctx context.Context) error {
	b.next = min(max(2*b.next, 10*time.Millisecond), time.Second)
	select {
	case <-time.After(b.next):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// local turns an error of the far side back into what it was there.
func local(err error) error {
	var remote *jsonrpc.Error
	if errors.As(err, &remote) {
		return api.Error(remote.Code, remote.Message)
	}
	return err
}

// coded gives an error the code that it crosses with.
type coded struct{ error }

func (e coded) JSONRPCCode() int { return api.Code(e.error) }
func (e coded) Unwrap() error    { return e.error }

// params decodes a call's parameters; T says their form.
func params[T any](raw json.RawMessage) (T, error) {
	var value T
	if len(raw) == 0 {
		return value, nil
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		text := strings.TrimPrefix(err.Error(), "json: ")
		return value, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "invalid params: " + text}
	}
	return value, nil
}
