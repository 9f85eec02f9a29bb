package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/concurrent-modular-agent/coma/internal/access"
)

// doors is where MQTT clients come in: by the MQTT port, or by a WebSocket of the API's port. It keeps from the broker what
// that does not guard itself against: connections that say nothing, that begin with anything but a small CONNECT, that hold
// packets back, or that read nothing; and it survives a packet that the broker stumbles over. It implements mochi's
// listeners.Listener.
type doors struct {
	listener net.Listener
	limits   access.Limits
	intake   *access.Intake
	log      *slog.Logger
	told     func(user, address string, err error) // of packets that are not received

	mu        sync.Mutex
	establish listeners.EstablishFn // nil before Serve
	open      map[*door]struct{}
	closed    bool
	running   sync.WaitGroup
}

// What a client may take its time for, and how much it may say before anybody knows who it is.
const (
	greeting     = 10 * time.Second // till CONNECT is read
	writing      = 30 * time.Second // for maxWrite bytes
	maxWrite     = 64 << 10
	maxConnect   = 384 << 10 // five fields of at most 64 KiB, and some MQTT 5 properties
	mqttPath     = "/mqtt"
	mqttListener = "tcp"
)

func newDoors(l net.Listener, b *Backend) *doors {
	return &doors{listener: l, limits: b.limits, intake: b.intake, log: b.log, told: b.unreceived, open: map[*door]struct{}{}}
}

// ID implements listeners.Listener.
func (d *doors) ID() string { return mqttListener }

// Address implements listeners.Listener.
func (d *doors) Address() string { return d.listener.Addr().String() }

// Protocol implements listeners.Listener.
func (d *doors) Protocol() string { return "tcp" }

// Init implements listeners.Listener.
func (d *doors) Init(*slog.Logger) error { return nil }

// maxPacket is the size of the largest packet that the broker takes.
func maxPacket(limits access.Limits) int64 { return int64(limits.MessageBytes) + 64<<10 }

// Serve implements listeners.Listener: it takes connections until Close.
func (d *doors) Serve(establish listeners.EstablishFn) {
	d.mu.Lock()
	d.establish = establish
	d.mu.Unlock()
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, as a rule
			d.log.Error("accept MQTT connection", slog.Any("error", err))
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if !d.begin() {
			conn.Close() // nobody has heard of it
			return
		}
		go func() {
			defer d.running.Done()
			d.serve(conn, access.Local(conn))
		}()
	}
}

// begin counts a connection in; whoever calls it calls running.Done, if ok.
func (d *doors) begin() (ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.establish == nil {
		return false
	}
	d.running.Add(1)
	return true
}

// serve is a connection's life.
func (d *doors) serve(conn net.Conn, local bool) {
	g := &door{address: access.Host(conn.RemoteAddr())}
	g.meter = newMeter(&meter{
		Conn: conn, parse: packetHead, intake: d.intake, here: local, most: maxPacket(d.limits),
		id:   func() access.Identity { return g.id },
		told: func(err error) { d.told(g.id.User(), g.address, err) },
	}, conn)
	if !local {
		g.rate = access.NewRate(d.limits.Rate)
	}
	d.mu.Lock()
	closed := d.closed
	if !closed {
		d.open[g] = struct{}{}
	}
	d.mu.Unlock()
	defer func() {
		if stumble := recover(); stumble != nil {
			d.log.Error("the MQTT broker stumbled over what a client sent; the client was cut off", slog.String("address", g.address),
				slog.Any("panic", stumble), slog.String("stack", string(debug.Stack())))
		}
		g.Close() // most often it is closed
		g.release()
		d.mu.Lock()
		delete(d.open, g)
		d.mu.Unlock()
	}()
	if closed {
		return
	}
	if err := g.greet(); err != nil {
		d.log.Debug("MQTT connection refused", slog.String("address", g.address), slog.Any("error", err))
		return
	}
	if err := d.establish(mqttListener, g); err != nil {
		d.log.Debug("MQTT connection ended", slog.String("address", g.address), slog.Any("error", err))
	}
}

// Close implements listeners.Listener. It returns when no connection is left.
func (d *doors) Close(closeClients listeners.CloseFn) {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.listener.Close() // it is the process that ends: what a socket says to that changes nothing
	closeClients(mqttListener)
	d.mu.Lock()
	for g := range d.open {
		g.Close()
	}
	d.mu.Unlock()
	d.running.Wait()
}

// ServeHTTP takes an MQTT client by a WebSocket (MQTT 3.1.1, section 6).
func (d *doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.begin() {
		http.Error(w, "the broker is shutting down", http.StatusServiceUnavailable)
		return
	}
	defer d.running.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{"mqtt", "mqttv3.1"},
		InsecureSkipVerify: true, // which pages may connect is part of who may: see guard
	})
	if err != nil {
		return // Accept has answered with what is wrong
	}
	conn := &socketConn{websocket.NetConn(context.Background(), ws, websocket.MessageBinary), ws}
	d.serve(conn, access.Local(conn))
}

// socketConn is a WebSocket that is closed without waiting for the client to agree.
type socketConn struct {
	net.Conn
	ws *websocket.Conn
}

// Close implements net.Conn.
func (c *socketConn) Close() error { return c.ws.CloseNow() }

// door is one MQTT client's connection.
type door struct {
	*meter
	address string // without the port
	rate    *access.Rate
	id      access.Identity // set at CONNECT, before anybody else knows the client

	held held
}

var errGreeting = errors.New("it does not begin with a CONNECT of reasonable size")

// greet waits for the beginning of a CONNECT packet (3.1.1, section 3.1), which the broker then reads.
func (g *door) greet() error {
	if err := g.SetReadDeadline(time.Now().Add(greeting)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	connect, err := g.head()
	if err != nil {
		return err
	}
	if kind, err := g.in.Peek(1); err != nil || kind[0] != 0x10 || connect.bytes > maxConnect {
		return errGreeting
	}
	return nil
}

// Write implements net.Conn. A client that takes nothing for long is cut off: all that is for it waits in memory.
func (g *door) Write(p []byte) (written int, err error) {
	for {
		part := p[written:min(len(p), written+maxWrite)]
		if err := g.Conn.SetWriteDeadline(time.Now().Add(writing)); err != nil {
			return written, err
		}
		n, err := g.Conn.Write(part)
		written += n
		if err != nil {
			g.Conn.Close() // a packet is half written
			return written, err
		}
		if written == len(p) {
			return written, nil
		}
	}
}

// SetDeadline implements net.Conn. The broker means the time till the client's next packet.
func (g *door) SetDeadline(t time.Time) error { return g.SetReadDeadline(t) }
