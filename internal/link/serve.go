package link

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// Local is the host that a Server stands before.
type Local interface {
	api.Backend
	// Seat opens a session for a module of another process.
	Seat(ctx context.Context, claim Claim) (Seat, error)
	// Unseat is called when a module's connection is lost before the module has closed its session: the module may come
	// back, with Claim.Resume or Continue.
	Unseat(seat Seat)
}

// Seat is a session whose messages are taken in steps, so that they can be pushed ahead.
type Seat interface {
	api.Session
	Feed() Feed
	// Hand is the message that was in hand when the seat was taken, by its seq; 0: none.
	Hand() uint64
	// Resend is Send of a message that may have been sent before, under the same ID.
	Resend(ctx context.Context, m api.Message) error
	// TrySend is Send that waits for nothing: ok is false, and nothing has been sent, where Send would wait or fail.
	TrySend(m api.Message) (ok bool)
}

// Feed gives a mailbox's messages in steps; see mailbox.Reader.
type Feed interface {
	Asked() // the module receives: the step before the first message
	// OnReadable has call called, at once and then in anybody's goroutine, when TryNext may return a message or an error.
	OnReadable(call func())
	// Settle waits until TryNext can return all that has been accepted so far, which the disk may hold up for a moment.
	Settle(ctx context.Context) error
	TryNext() (api.Message, bool, error)
	Begin(seq uint64)
	Ack(seq uint64)
}

// Server is the host's end of all connections.
type Server struct {
	host     Local
	version  string
	document func() ([]byte, error) // OpenRPC; made when somebody asks first
	largest  int                    // bytes of records in one answer

	life  context.Context
	stop  context.CancelFunc
	mu    sync.Mutex
	conns sync.WaitGroup
}

// NewServer returns a server for host; version is what modules are told at opening.
func NewServer(host Local, version string) *Server {
	life, stop := context.WithCancel(context.Background())
	document := sync.OnceValues(func() ([]byte, error) { return discover(version) })
	return &Server{host: host, version: version, document: document, largest: jsonrpc.MaxFrame - around, life: life, stop: stop}
}

// around is more than what stands around the records of an answer in its frame, in bytes.
const around = 1 << 10

// ServeHTTP takes a connection: a WebSocket handshake. Who may connect, and from which web pages, is the caller's to
// decide.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.ServeAs(s.host, w, r) }

// ServeAs is ServeHTTP before another host: the same one as far as the connection's owner may use it.
func (s *Server) ServeAs(host Local, w http.ResponseWriter, r *http.Request) {
	s.ServeWithin(context.Background(), nil, host, w, r)
}

// Bounds are those of what one connection may have the host keep in memory at a time.
type Bounds interface {
	// Most is the size of the largest frame in bytes. A larger one is answered with an api.ErrTooLarge.
	Most() int64
	// Admit makes room for the parameters of a call until it has been answered, which release says. It is called in the
	// goroutine that reads from the connection, before it reads on. The error answers the call.
	Admit(bytes int) (release func(), err error)
}

// ServeWithin is ServeAs for a connection that has bounds (nil: it has none) and ends when ctx does.
func (s *Server) ServeWithin(ctx context.Context, bounds Bounds, host Local, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.life.Err() != nil {
		s.mu.Unlock()
		http.Error(w, "the host is shutting down", http.StatusServiceUnavailable)
		return
	}
	s.conns.Add(1)
	s.mu.Unlock()
	defer s.conns.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{subprotocol, plainSubprotocol},
		// Which web pages may connect is part of who may.
		InsecureSkipVerify: true,
	})
	if err != nil {
		return // Accept has answered with what is wrong
	}
	conn := newConn(ws)
	c := &serving{server: s, host: host, bounds: bounds}
	if bounds != nil {
		conn.most = bounds.Most()
	}
	c.peer = jsonrpc.New(conn, c, conn.batching())
	life, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(s.life, end)()
	c.peer.Run(life) // why a connection ended is the far side's affair; what it left is cleared away here
	c.release()
}

// Close ends all connections and waits for what they do.
func (s *Server) Close() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.conns.Wait()
}

// serving is one connection.
type serving struct {
	server *Server
	host   Local
	bounds Bounds // nil: none
	peer   *jsonrpc.Peer

	mu       sync.Mutex
	seat     *seated  // after open
	agent    api.Host // after agent.attach
	name     string   // the attached agent's
	memories map[string]api.OpenedMemory
	released bool
}

// release gives back what a lost connection held.
func (c *serving) release() {
	c.mu.Lock()
	seat, agent, memories := c.seat, c.agent, c.memories
	c.seat, c.agent, c.memories = nil, nil, nil
	c.released = true
	c.mu.Unlock()
	for _, opened := range memories {
		opened.Close() // what it wrote is on disk already
	}
	if seat != nil {
		seat.halt()
		c.host.Unseat(seat.Seat)
	}
	if agent != nil {
		agent.Close()
	}
}

// Notify implements jsonrpc.Handler.
func (c *serving) Notify(method string, raw json.RawMessage) {
	c.mu.Lock()
	seat := c.seat
	c.mu.Unlock()
	if seat == nil {
		return // nothing is notified before open, but by a module whose session has just been closed
	}
	switch method {
	case methodNext:
		var p nextParams
		if p.parse(raw) == nil {
			seat.next(p.Ack)
		}
	case methodLater:
		if p, err := params[nextParams](raw); err == nil {
			seat.later(p.Ack)
		}
	case methodLog:
		if p, err := params[api.LogEntry](raw); err == nil {
			seat.Log(context.Background(), p)
		}
	case methodPrint:
		if p, err := params[textParams](raw); err == nil {
			seat.Print(context.Background(), p.Text)
		}
	}
}

// Quick implements jsonrpc.Quick: a message for a mailbox that has room goes there, and on to the module that waits for
// it, without a change of goroutines.
func (c *serving) Quick(method string, raw json.RawMessage) (any, error, bool) {
	if method != methodSend {
		return nil, nil, false
	}
	c.mu.Lock()
	seat := c.seat
	c.mu.Unlock()
	var p sendParams
	if seat == nil || p.parse(raw) != nil || p.Resent {
		return nil, nil, false
	}
	m, err := p.message()
	return nil, nil, err == nil && seat.TrySend(m)
}

// Admit implements jsonrpc.Admitting.
func (c *serving) Admit(bytes int) (release func(), err error) {
	if c.bounds == nil {
		return func() {}, nil
	}
	return c.bounds.Admit(bytes)
}

// Request implements jsonrpc.Handler.
func (c *serving) Request(ctx context.Context, method string, raw json.RawMessage) (any, error) {
	result, err := c.request(ctx, method, raw)
	if err == nil {
		return result, nil
	}
	if _, ok := err.(*jsonrpc.Error); ok {
		return nil, err
	}
	return nil, coded{err}
}

func (c *serving) request(ctx context.Context, method string, raw json.RawMessage) (any, error) {
	if handle, ok := seatMethods[method]; ok {
		c.mu.Lock()
		seat := c.seat
		c.mu.Unlock()
		_, alone := connMethods[method]
		switch {
		case seat != nil:
			return handle.answer(ctx, seat, raw)
		case !alone:
			return nil, fmt.Errorf("%s: %w: the connection has no open session", method, api.ErrClosed)
		}
	}
	if method == methodDiscover {
		document, err := c.server.document()
		return json.RawMessage(document), err
	}
	if handle, ok := memoryMethods[method]; ok {
		return handle.answer(ctx, c, raw)
	}
	if handle, ok := connMethods[method]; ok {
		return handle.answer(ctx, c, raw)
	}
	return nil, unknownMethod(method)
}
