package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// netConn is net.Conn, under the name that Paho's options want it to have in a function's type.
type netConn = net.Conn

// usual are the ports that a URL may leave out, by scheme.
var usual = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

// Check checks a broker's URL: mqtt://, mqtts:// (TLS), ws:// or wss:// (MQTT over WebSocket), a host, and where they are
// needed user:password@, a port and, over WebSocket, a path ("/mqtt" if there is none). A query is refused: URLs are shown
// and kept, and what stands in a query is a secret, as a rule. The error shows no password.
func Check(address string) error {
	_, _, err := parse(address)
	return err
}

// Redact returns a broker's URL, or what was meant to be one, without user, password and query.
func Redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		scheme, rest = "", address
	} else {
		scheme += "://"
	}
	rest, _, _ = strings.Cut(rest[strings.LastIndexByte(rest, '@')+1:], "?")
	return scheme + rest
}

func parse(address string) (server *url.URL, user *url.Userinfo, err error) {
	u, err := url.Parse(address)
	bad := err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != ""
	if !bad {
		switch u.Scheme {
		case "tcp":
			u.Scheme = "mqtt"
		case "ssl", "tls":
			u.Scheme = "mqtts"
		}
		_, known := usual[u.Scheme]
		bad = !known || !strings.HasPrefix(u.Scheme, "ws") && u.Path != "" && u.Path != "/"
	}
	if bad {
		return nil, nil, fmt.Errorf("broker %q: %w: want mqtt://host:1883, mqtts:// (TLS), ws:// or wss:// (WebSocket), with user:password@ before the host if it needs them, and no ?query", Redact(address), api.ErrInvalid)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), usual[u.Scheme])
	}
	if !strings.HasPrefix(u.Scheme, "ws") {
		u.Path = ""
	} else if u.Path == "" {
		u.Path = "/mqtt"
	}
	user, u.User = u.User, nil
	return u, user, nil
}

// tlsConfig reads the files; nil for a scheme without TLS.
func tlsConfig(server *url.URL, opt Options) (*tls.Config, error) {
	if server.Scheme == "mqtt" || server.Scheme == "ws" {
		if opt.CA != "" || opt.Cert != "" || opt.Key != "" {
			return nil, fmt.Errorf("broker %s: %w: a CA or a certificate is for mqtts:// and wss://", server, api.ErrInvalid)
		}
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server.Hostname()}
	if opt.CA != "" {
		pem, err := os.ReadFile(opt.CA)
		if err != nil {
			return nil, fmt.Errorf("broker's CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("broker's CA: %s: %w: no certificate in it (want PEM)", opt.CA, api.ErrInvalid)
		}
	}
	if (opt.Cert == "") != (opt.Key == "") {
		return nil, fmt.Errorf("broker's client certificate: %w: want both, certificate and key", api.ErrInvalid)
	}
	if opt.Cert != "" {
		pair, err := tls.LoadX509KeyPair(opt.Cert, opt.Key)
		if err != nil {
			return nil, fmt.Errorf("broker's client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// dial opens the way to the broker.
func (c *Client) dial(ctx context.Context) (*watched, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var conn net.Conn
	var err error
	switch c.server.Scheme {
	case "mqtt", "mqtts":
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", c.server.Host)
		if err == nil {
			conn = quicken(conn)
		}
		if err == nil && c.server.Scheme == "mqtts" {
			secure := tls.Client(conn, c.tls)
			if err = secure.HandshakeContext(ctx); err != nil {
				conn.Close()
			}
			conn = secure
		}
	default:
		conn, err = mqtt.NewWebsocket(c.server.String(), c.tls, patience, nil, nil)
	}
	if err != nil {
		return nil, err
	}
	return &watched{Conn: conn}, nil
}

// watched is a connection that remembers how reading from it failed first: Paho does not tell, and it is there that a
// broker says, over TLS 1.3, that it does not take the client's certificate.
type watched struct {
	net.Conn
	mu  sync.Mutex
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err == nil {
			w.err = err
		}
	}
	return n, err
}

// Close lets the broker read what was written before it ends the connection: closing it while the broker still sends
// would reset it, and throw away acknowledgements that the broker has not come to read.
func (w *watched) Close() error {
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if ok && half.CloseWrite() == nil && w.SetReadDeadline(time.Now().Add(farewell/2)) == nil {
		var rest [4096]byte
		for err := error(nil); err == nil; {
			_, err = w.Conn.Read(rest[:])
		}
	}
	return w.Conn.Close()
}

// explain says why there is no connection, in place of what Paho says. conn is nil where nothing was opened.
func explain(err error, conn *watched) error {
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return errRefused
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return errName
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return errors.New("the broker says that it is not available")
	}
	if conn != nil {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		if conn.err != nil {
			if errors.Is(conn.err, io.EOF) {
				return plain(conn.err)
			}
			return fmt.Errorf("the broker ended the connection: %w", conn.err)
		}
	}
	if both, ok := err.(interface{ Unwrap() []error }); ok && len(both.Unwrap()) == 2 { // "network Error : " and what it is
		err = both.Unwrap()[1]
	}
	return plain(err)
}

// plain takes from an error what whoever reads it knows already.
func plain(err error) error {
	var failed *net.OpError
	var call *os.SyscallError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the broker ended the connection")
	case errors.As(err, &failed) && failed.Op == "dial" && errors.As(err, &call):
		return call.Err
	case errors.As(err, &failed) && failed.Op == "dial":
		return failed.Err
	}
	return err
}

// Refusals that trying again does not mend.
var (
	errRefused = fmt.Errorf("%w: the broker refuses the user or the password: give them in the URL, or as COMA_BROKER_USER and COMA_BROKER_PASSWORD", api.ErrInvalid)
	errName    = fmt.Errorf("%w: the broker refuses the client's name", api.ErrInvalid)
)

// final reports whether trying again cannot help.
func final(err error) bool {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		remote    *net.OpError
	)
	switch {
	case errors.Is(err, api.ErrInvalid), errors.As(err, &authority), errors.As(err, &name), errors.As(err, &invalid),
		errors.As(err, &record), errors.As(err, &alert):
		return true
	}
	return errors.As(err, &remote) && remote.Op == "remote error" // a TLS alert: it does not take our certificate
}
