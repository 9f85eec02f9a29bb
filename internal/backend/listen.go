package backend

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/chroma"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/rest"
)

// sockets are the sockets of the API: a unix socket that the user's processes alone may open, and a TCP port that asks
// for the token, but not Chroma's clients.
type sockets struct {
	unix, tcp   *http.Server
	port        string // host:port
	secure      bool   // other machines speak TLS
	failed      chan error
	collections *collections
}

// Bounds of HTTP requests. A connection that is none of them, a WebSocket, has bounds of its own.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
)

func openSockets(b *Backend) (*sockets, error) {
	socket := filepath.Join(b.opt.Folders.Runtime, fmt.Sprintf("%d-%s.sock", os.Getpid(), rand.Text()[:8]))
	if b.opt.Daemon {
		socket = daemonSocket(b.opt.Folders)
		// The lock says that it is a leftover.
		if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open API socket: %w", err)
		}
	}
	local, err := listenUnix(socket)
	if err != nil {
		return nil, fmt.Errorf("open API socket: %w", err)
	}
	b.socket = socket
	remote, err := listenTCP(b.opt.Host, b.opt.APIPort, 8000, b.opt.StrictPorts)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open API port: %w", err), local.Close())
	}
	quiet := slog.NewLogLogger(b.log.Handler(), slog.LevelDebug)
	collections := newCollections(b)
	routes := b.routes(collections)
	l := &sockets{
		unix:        &http.Server{Handler: b.owned(routes), ReadHeaderTimeout: headerTime, ErrorLog: quiet},
		tcp:         &http.Server{Handler: b.guard(routes), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader, ErrorLog: quiet},
		port:        remote.Addr().String(),
		secure:      b.certificate != nil,
		failed:      make(chan error, 2),
		collections: collections,
	}
	go func() { l.failed <- l.unix.Serve(local) }()
	go func() { l.failed <- l.tcp.Serve(b.secured(remote, "API")) }()
	return l, nil
}

// listenUnix opens a socket that nobody else may connect to, not even for the moment between its making and a chmod: it
// is made in a folder that only the user may enter (see folders.Ensure), and chmod makes it 0600 beside that.
func listenUnix(path string) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		if len(path) > 100 {
			return nil, fmt.Errorf("%w: the path is longer than a socket's may be: set XDG_RUNTIME_DIR to a shorter one", err)
		}
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

func (l *sockets) address() string {
	if l == nil {
		return ""
	}
	if l.secure {
		return "https://" + l.port
	}
	return "http://" + l.port
}

// here is the address for this machine's own processes, which need no TLS.
func (l *sockets) here() string {
	if l == nil {
		return ""
	}
	return "http://" + reachable(l.port)
}

// close ends the servers and their goroutines. (WebSockets are no longer the servers' own; link.Server ends them.)
func (l *sockets) close() error {
	errs := []error{l.unix.Close(), l.tcp.Close()}
	for range 2 {
		if err := <-l.failed; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, l.collections.close())...)
}

// release ends the loan of an agent's memory that no Chroma client uses just now: who runs the agent, or a command, is to
// find it free.
func (l *sockets) release(agent string) error {
	if l == nil {
		return nil // offline
	}
	return l.collections.release(chroma.Key{Agent: agent})
}

// routes is the API. Whose a request is has been found out before: see identity.
func (b *Backend) routes(collections *collections) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rpc", b.serveLink)
	mux.HandleFunc("POST /rpc", func(w http.ResponseWriter, r *http.Request) {
		b.server.PostAs(b.as(identity(r)), w, r)
	})
	tools := rest.New(b.opt.Version)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		tools.ServeAs(b.as(identity(r)), w, r)
	})
	mux.HandleFunc("GET /openrpc.json", b.server.ServeDocument)
	mux.HandleFunc("GET /openapi.json", tools.ServeDocument)
	mux.Handle("/api/", newChromas(b, collections))
	if k, ok := b.broker.(*embedded); ok {
		mux.Handle("GET "+mqttPath, k.doors)
	}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// serveLink takes a connection of the link, which is bounded as its owner is.
func (b *Backend) serveLink(w http.ResponseWriter, r *http.Request) {
	id := identity(r)
	hold := b.intake.Hold(id, here(r))
	if hold.Free() {
		b.server.ServeAs(b.as(id), w, r)
		return
	}
	ctx, end := context.WithCancel(b.life)
	defer end()
	if id.User() != "" {
		defer b.tenures.begin(id, end)()
	}
	m := newMeter(&meter{
		parse: frameHead, id: func() access.Identity { return id }, intake: b.intake, most: hold.Most(),
		told: func(err error) { b.unreceived(id.User(), remote(r), err) },
	}, nil)
	defer m.release()
	b.server.ServeWithin(ctx, m, b.as(id), &metered{w, m}, r)
}

// endpoint tells modules where they find this backend.
func (b *Backend) endpoint() api.Endpoint {
	if b.opt.Offline {
		return api.Endpoint{}
	}
	return api.Endpoint{API: "unix://" + b.socket, Broker: b.broker.url(), Token: b.opt.Token, HTTP: b.listen.here()}
}

// loadToken returns the user's token, made once: a daemon that is restarted is still the one that modules know.
func loadToken(dir string) (string, error) {
	path := filepath.Join(dir, "token")
	data, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(data))) >= 32 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read API token: %w", err)
	}
	secret := make([]byte, 24)
	rand.Read(secret)
	token := hex.EncodeToString(secret)
	if err := folders.WriteFile(path, []byte(token+"\n")); err != nil {
		return "", fmt.Errorf("write API token: %w", err)
	}
	return token, nil
}
