package access

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// Secure returns a listener whose connections speak TLS. Those that come from this machine may speak plainly, too: what
// runs here needs no certificate to be sure where it is.
func Secure(l net.Listener, config *tls.Config) net.Listener { return &secure{l, config} }

type secure struct {
	net.Listener
	config *tls.Config
}

// Accept implements net.Listener. Which of the two a connection speaks is found out when it is read first.
func (s *secure) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &undecided{Conn: conn, config: s.config}, nil
}

// undecided is a connection that TLS may be spoken over. A server reads before it writes.
type undecided struct {
	net.Conn // as it was accepted
	config   *tls.Config

	once  sync.Once
	err   error
	plain *bufio.Reader // where it is plain
	mu    sync.Mutex    // guards tls, for those who write and close meanwhile
	tls   *tls.Conn
}

// handshake bounds TLS's, whatever deadline the connection has.
const handshake = 10 * time.Second

// recordHandshake is the first byte of TLS (RFC 8446, section 5.1), and of nothing that is spoken here plainly.
const recordHandshake = 22

var errPlain = errors.New("not TLS, which all but this machine's own connections must speak")

func (u *undecided) decide() error {
	u.once.Do(func() {
		in := bufio.NewReader(u.Conn)
		first, err := in.Peek(1)
		if err != nil {
			u.err = err
			return
		}
		if first[0] != recordHandshake {
			if !Local(u.Conn) {
				u.err = errPlain
			}
			u.plain = in
			return
		}
		conn := tls.Server(&peeked{u.Conn, in}, u.config)
		ctx, cancel := context.WithTimeout(context.Background(), handshake)
		defer cancel()
		u.err = conn.HandshakeContext(ctx)
		u.mu.Lock()
		u.tls = conn
		u.mu.Unlock()
	})
	return u.err
}

// Read implements net.Conn.
func (u *undecided) Read(p []byte) (int, error) {
	if err := u.decide(); err != nil {
		return 0, err
	}
	if u.plain != nil {
		return u.plain.Read(p)
	}
	return u.tls.Read(p)
}

// Write implements net.Conn.
func (u *undecided) Write(p []byte) (int, error) {
	if err := u.decide(); err != nil {
		return 0, err
	}
	if u.plain != nil {
		return u.Conn.Write(p)
	}
	return u.tls.Write(p)
}

// Close implements net.Conn.
func (u *undecided) Close() error {
	u.mu.Lock()
	conn := u.tls
	u.mu.Unlock()
	if conn != nil {
		return conn.Close()
	}
	return u.Conn.Close()
}

// peeked is a connection whose first bytes have been read ahead.
type peeked struct {
	net.Conn
	in *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.in.Read(b) }

// Local reports whether a connection comes from this machine: from a loopback address or from the very address that it
// goes to.
func Local(conn net.Conn) bool { return Here(Host(conn.RemoteAddr()), Host(conn.LocalAddr())) }

// Here is Local for the addresses of a connection's ends, without ports.
func Here(from, to string) bool {
	ip := net.ParseIP(from)
	return ip != nil && (ip.IsLoopback() || from == to)
}
