// Package link carries the host's API (package api) over a connection: JSON-RPC 2.0 in the text frames of a WebSocket,
// on a unix socket for modules on the same machine or on TCP.
//
// Client is the far end: it dials, reconnects when the host is away, repeats what was not answered, and offers
// api.Backend; Open gives an api.Session on a connection of its own, and Join one to programs of a module that come and go.
// Server is the host's end: it turns calls into calls of the host's api.Backend. session.go and session_receive.go are the
// one end of a module's seat, the hot path, serve_seat.go is the other; methods.go lists the methods and their parameters,
// describe.go makes the document of them that clients in other languages read. post.go answers single calls without a
// WebSocket.
package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// subprotocol is the WebSocket subprotocol of those who take arrays that mix calls, answers and notifications: see
// jsonrpc.New. Clients that do not ask for it get one message a frame.
const subprotocol = "coma.batch"

// plainSubprotocol is for web pages, which cannot set headers: they offer it together with one that is their token,
// "coma.token.<token>", and are answered with this one.
const plainSubprotocol = "coma"

// maxKept is the size of a read buffer that is kept for the next frame; a larger one is let go.
const maxKept = 64 << 10

// wsConn is a WebSocket as a jsonrpc.Conn.
type wsConn struct {
	ws   *websocket.Conn
	most int64  // the size of the largest frame that is taken; 0: what the WebSocket takes
	buf  []byte // of the frame read last
}

func newConn(ws *websocket.Conn) *wsConn {
	ws.SetReadLimit(jsonrpc.MaxFrame + 64<<10) // a batch may be a little larger than one message
	return &wsConn{ws: ws}
}

func (c *wsConn) batching() bool { return c.ws.Subprotocol() == subprotocol }

func (c *wsConn) Read() ([]byte, error) {
	kind, r, err := c.ws.Reader(context.Background()) // Close ends it
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, errors.New("binary frame: JSON-RPC is text")
	}
	buf := c.buf[:0]
	if cap(buf) > maxKept {
		buf = nil
	}
	for {
		buf = slices.Grow(buf, 4<<10)
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			c.buf = buf
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if c.most > 0 && int64(len(buf)) > c.most {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return nil, err
			}
			return buf, &jsonrpc.SkippedError{Cause: coded{fmt.Errorf("a frame of more than %d bytes: %w: send less at once", c.most, api.ErrTooLarge)}}
		}
	}
}

func (c *wsConn) Write(frame []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageText, frame)
}

func (c *wsConn) Close() error { return c.ws.CloseNow() }

// dial connects to address, "unix:///path", "http://host:port" or "https://host:port".
func dial(ctx context.Context, address, token string) (*wsConn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("host address %q: %w", address, err)
	}
	if u.User != nil { // addresses are shown
		return nil, fmt.Errorf("host address: %w: it is no place for a password: user:password is a token (COMA_TOKEN)", api.ErrInvalid)
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
		return nil, fmt.Errorf("host address %q: want unix:///path, http://host:port or https://host:port", address)
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	ws, answer, err := websocket.Dial(ctx, target, &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: header, Subprotocols: []string{subprotocol},
	})
	if err != nil {
		if answer != nil && answer.StatusCode == http.StatusUnauthorized {
			return nil, fmt.Errorf("connect to %s: %w: the token is not the host's", address, api.ErrUnauthorized)
		}
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return newConn(ws), nil
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
	switch {
	case errors.As(err, &remote):
		return api.Error(remote.Code, remote.Message)
	case errors.Is(err, jsonrpc.ErrTooLarge):
		return fmt.Errorf("%w: %w: say it in several calls", api.ErrTooLarge, err)
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
		return value, invalidParams(err)
	}
	return value, nil
}

func invalidParams(err error) error {
	text := strings.TrimPrefix(err.Error(), "json: ")
	return &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "invalid params: " + text}
}
