package backend

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/chroma"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

const defaultUser = "coma"

// sockets are the sockets of the API: a unix socket that the user's processes alone may open, and a TCP port that asks
// for the token, but not Chroma's clients.
type sockets struct {
	unix, tcp   *http.Server
	port        string // host:port
	failed      chan error
	collections *collections
}

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
		unix:        &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet},
		tcp:         &http.Server{Handler: b.guard(routes), ReadHeaderTimeout: 10 * time.Second, ErrorLog: quiet},
		port:        remote.Addr().String(),
		failed:      make(chan error, 2),
		collections: collections,
	}
	go func() { l.failed <- l.unix.Serve(local) }()
	go func() { l.failed <- l.tcp.Serve(remote) }()
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
	return "http://" + l.port
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

func (b *Backend) routes(collections *collections) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /rpc", b.server)
	mux.Handle("/api/", chroma.New(chroma.Options{
		Memories: collections, Databases: filepath.Join(collections.dir(), "databases.json"), Log: b.log,
	}))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// guard lets through what comes from this machine's own programs, or knows the token: the Host header must name the
// address that is listened on (a web page that has made its name point here cannot), and all but /health needs the
// token. Chroma's clients, which bring none, need none on loopback unless Options.ChromaToken asks for one.
func (b *Backend) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.loopback() && !Loopback(r.Host) {
			http.Error(w, "the Host header does not name this machine", http.StatusForbidden)
			return
		}
		authorization := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/health":
		case strings.HasPrefix(r.URL.Path, "/api/"):
			if !b.guardChroma(w, r, authorization) {
				return
			}
		case !bears(authorization, b.opt.Token):
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the token is missing or wrong: send Authorization: Bearer <token>", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guardChroma reports whether a request to the Chroma API may go on, and has answered it otherwise. A web page of another
// origin may not even send what it cannot read the answer of.
func (b *Backend) guardChroma(w http.ResponseWriter, r *http.Request, authorization string) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); b.loopback() && (err != nil || !Loopback(u.Host)) {
			chroma.Refuse(w, http.StatusForbidden, "a web page of another machine may not use this server")
			return false
		}
	}
	token := b.opt.ChromaToken
	if token == "" && b.loopback() {
		return true
	}
	for _, own := range []string{token, b.opt.Token} {
		if own != "" && (bears(authorization, own) || bears("Bearer "+strings.TrimPrefix(r.Header.Get("X-Chroma-Token"), "Bearer "), own)) {
			return true
		}
	}
	chroma.Refuse(w, http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer <token>, or X-Chroma-Token")
	return false
}

// bears reports whether an Authorization header has the token.
func bears(authorization, token string) bool {
	given, ok := strings.CutPrefix(authorization, "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1
}

// Loopback reports whether an address, with or without a port, is one that other machines cannot reach.
func Loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func (b *Backend) loopback() bool { return b.opt.Host == "" || Loopback(b.opt.Host) }

// checkExposure refuses to listen to the network without secrets.
func (b *Backend) checkExposure() error {
	if b.loopback() {
		return nil
	}
	if b.opt.Password == "" || b.opt.Token == "" {
		return fmt.Errorf("listen on %s: %w: others could read and steer every agent: set COMA_PASSWORD (MQTT) and COMA_TOKEN (API), or stay on 127.0.0.1", b.opt.Host, api.ErrInvalid)
	}
	b.log.Warn("listening to the network without TLS: passwords and messages can be read on the way", slog.String("host", b.opt.Host))
	return nil
}

// endpoint tells modules where they find this backend.
func (b *Backend) endpoint() api.Endpoint {
	if b.opt.Offline {
		return api.Endpoint{}
	}
	return api.Endpoint{API: "unix://" + b.socket, Broker: b.broker.url(), Token: b.opt.Token, HTTP: b.listen.address()}
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
