package backend

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/chroma"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/rest"
)

// guard lets a request through once it knows whose it is, which identity tells from there on: the Host header must name
// this machine (a web page that has made its name point here cannot), the Origin a page that may ask, and all but /health
// needs a token or a user's password. MQTT over a WebSocket asks for it in its own way, at CONNECT. Chroma's clients, which
// bring none, need none on loopback unless Options.ChromaToken asks for one.
func (b *Backend) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, text string) { http.Error(w, text, status) }
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/"):
			refuse = func(status int, text string) { chroma.Refuse(w, status, text) }
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			refuse = func(status int, text string) { rest.Refuse(w, status, text) }
		}
		if !b.named(r.Host) {
			refuse(http.StatusForbidden, "the Host header does not name this machine: --allow-host lets a name in")
			return
		}
		if !b.admits(w, r) {
			refuse(http.StatusForbidden, "a web page of another machine may not use this server: --allow-origin lets one in")
			return
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			w.WriteHeader(http.StatusNoContent) // a browser asks what admits has answered
			return
		}
		id := access.Identity{}
		if r.URL.Path != "/health" && r.URL.Path != mqttPath {
			var err error
			if id, err = b.identify(r); err != nil {
				b.challenge(w, r, err, refuse)
				return
			}
		}
		release, refusal := b.receive(w, r, id)
		if refusal != nil {
			if refusal.status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			refuse(refusal.status, refusal.Error())
			return
		}
		defer release()
		ctx, end := context.WithCancel(withIdentity(r.Context(), id))
		defer end()
		if id.User() != "" {
			defer b.tenures.begin(id, end)()
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// challenge answers a request of which is not known whose it is.
func (b *Backend) challenge(w http.ResponseWriter, r *http.Request, err error, refuse func(int, string)) {
	switch {
	case errors.Is(err, access.ErrThrottled):
		wait := b.users.Throttle().Refused(remote(r))
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(1, wait.Seconds())))))
		refuse(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, api.ErrUnauthorized):
		w.Header().Add("WWW-Authenticate", "Bearer")
		refuse(http.StatusUnauthorized, "the token is missing or wrong: send Authorization: Bearer <token>, or a user and a password")
	case r.Context().Err() != nil: // nobody reads an answer
	default:
		b.log.Error("login could not be checked", slog.Any("error", err))
		refuse(http.StatusInternalServerError, "the login could not be checked: the backend's log says why")
	}
}

// owned is guard for the unix socket, which the user's processes alone may open.
func (b *Backend) owned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(withIdentity(r.Context(), access.Owner())))
	})
}

type identityKey struct{}

func withIdentity(ctx context.Context, id access.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// identity tells whose a request is that has passed guard or owned; otherwise a stranger's.
func identity(r *http.Request) access.Identity {
	id, _ := r.Context().Value(identityKey{}).(access.Identity)
	return id
}

var errNoCredentials = fmt.Errorf("%w: no token and no user", api.ErrUnauthorized)

// identify tells whose a request is by what it shows: a bearer token, which may also be "user:password", a user and a
// password, Chroma's own header, or the subprotocols that a web page can ask for with a WebSocket, for it can send no
// headers: "coma.token.<token>" or "coma.basic.<user:password in unpadded base64url>".
func (b *Backend) identify(r *http.Request) (access.Identity, error) {
	forChroma := strings.HasPrefix(r.URL.Path, "/api/")
	if forChroma && b.private() && b.opt.ChromaToken == "" && b.users.Count() == 0 {
		return access.Owner(), nil // whatever is shown: there is nothing to compare it with
	}
	authorization := r.Header.Get("Authorization")
	if user, password, ok := r.BasicAuth(); ok {
		return b.login(r, user, password)
	}
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok && forChroma {
		token = r.Header.Get("X-Chroma-Token")
		ok = token != ""
		token = strings.TrimPrefix(token, "Bearer ")
	}
	if !ok && authorization == "" {
		for _, offered := range strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",") {
			offered = strings.TrimSpace(offered)
			if given, found := strings.CutPrefix(offered, "coma.token."); found {
				token, ok = given, true
			}
			if given, found := strings.CutPrefix(offered, "coma.basic."); found {
				if plain, err := base64.RawURLEncoding.DecodeString(given); err == nil {
					token, ok = string(plain), true
				}
			}
		}
	}
	if !ok {
		if forChroma && b.private() && b.opt.ChromaToken == "" && authorization == "" {
			return access.Owner(), nil
		}
		return access.Identity{}, errNoCredentials
	}
	return b.bearer(r, token, forChroma)
}

func (b *Backend) bearer(r *http.Request, token string, forChroma bool) (access.Identity, error) {
	address := remote(r)
	if b.users.Throttle().Refused(address) > 0 {
		return access.Identity{}, access.ErrThrottled
	}
	if access.Equal(token, b.opt.Token) || forChroma && access.Equal(token, b.opt.ChromaToken) {
		return access.Owner(), nil
	}
	if user, password, ok := strings.Cut(token, ":"); ok {
		return b.login(r, user, password)
	}
	b.users.Throttle().Failed(address, "")
	return access.Identity{}, errNoCredentials
}

func (b *Backend) login(r *http.Request, user, password string) (access.Identity, error) {
	return b.enter(r.Context(), remote(r), user, password)
}

// enter returns the identity of who gives a user and a password: the owner's name goes with COMA_PASSWORD or the token.
func (b *Backend) enter(ctx context.Context, address, user, password string) (access.Identity, error) {
	if b.users.Throttle().Refused(address) > 0 {
		return access.Identity{}, access.ErrThrottled
	}
	if user == b.owner() && (access.Equal(password, b.opt.Password) || access.Equal(password, b.opt.Token)) {
		return access.Owner(), nil
	}
	return b.users.Login(ctx, address, user, password)
}

// owner is the name that the owner gives where one is asked for.
func (b *Backend) owner() string {
	if b.opt.User != "" {
		return b.opt.User
	}
	return access.OwnerName
}

func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}

// here reports whether a request comes from this machine.
func here(r *http.Request) bool {
	to, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	_, socket := to.(*net.UnixAddr)
	return socket || access.Here(remote(r), access.Host(to))
}

// named reports whether a Host header names this machine. On loopback it has to name loopback. Elsewhere an address does,
// for a web page cannot make its name an address, and so do the machine's own name and those that Options allow.
func (b *Backend) named(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if Loopback(name) || slices.ContainsFunc(b.opt.AllowHosts, func(allowed string) bool { return strings.EqualFold(allowed, name) }) {
		return true
	}
	if b.loopback() {
		return false
	}
	if net.ParseIP(name) != nil || strings.EqualFold(name, b.opt.Host) {
		return true
	}
	own, err := os.Hostname()
	return err == nil && (strings.EqualFold(name, own) || strings.EqualFold(name, own+".local"))
}

// admits reports whether the web page that a request comes from, if it comes from one, may use this server, and tells the
// browser so: a page of this very server, on loopback a page of this machine, or one that Options allow.
func (b *Backend) admits(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	allowed := slices.ContainsFunc(b.opt.AllowOrigins, func(o string) bool { return strings.EqualFold(o, origin) })
	local := b.loopback() && Loopback(u.Host)
	if (allowed || local) && !strings.HasPrefix(r.URL.Path, "/api/") {
		// Chroma's own server says nothing of the kind, and on loopback it asks for no token.
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		w.Header().Add("Vary", "Origin")
	}
	return allowed || local || strings.EqualFold(u.Host, r.Host)
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

// UsersPath is the file of the users who may come in from outside.
func UsersPath(f folders.Folders) string { return filepath.Join(f.State, "users.json") }

// openAccess reads what says who may come in, and refuses to listen to the network without anything that others must know.
func (b *Backend) openAccess() (err error) {
	b.limits = b.opt.Limits.WithDefaults()
	b.intake = access.NewIntake(b.limits)
	if b.users, err = access.Open(UsersPath(b.opt.Folders)); err != nil {
		return err
	}
	if b.opt.TLSCert != "" || b.opt.TLSKey != "" {
		if b.certificate, err = access.LoadCertificate(b.opt.TLSCert, b.opt.TLSKey, b.log); err != nil {
			return err
		}
	}
	if b.loopback() {
		return nil
	}
	if err := Exposable(b.opt.Host, b.opt.Password, b.opt.Token, b.users.Count()); err != nil {
		return err
	}
	if b.certificate == nil {
		b.log.Warn("listening to the network without TLS: passwords and messages can be read on the way (--tls-cert and --tls-key)",
			slog.String("host", b.opt.Host))
	}
	return nil
}

// watchUsers sees within a second that the users have changed, and cuts off those who are gone.
func (b *Backend) watchUsers() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-b.life.Done():
			return
		case <-tick.C:
		}
		changed, err := b.users.Refresh()
		if err != nil {
			if err.Error() != told {
				b.log.Error("the users are as they were before", slog.Any("error", err))
			}
			told = err.Error()
			continue
		}
		told = ""
		if !changed {
			continue
		}
		b.tenures.review()
		if k, ok := b.broker.(*embedded); ok {
			k.gate.revoke()
		}
	}
}

// secured is what is listened on: with bounds, and TLS where there is a certificate.
func (b *Backend) secured(l net.Listener, what string) net.Listener {
	crowded := &rarely{every: 10 * time.Second}
	l = access.Limit(l, b.limits, func(address string) {
		if n := crowded.add(1); n > 0 {
			b.log.Warn("too many connections at a time: the latest are refused", slog.String("port", what), slog.String("address", address), slog.Int("refused", n))
		}
	})
	if b.certificate != nil {
		l = access.Secure(l, b.certificate.Config("http/1.1"))
	}
	return l
}

// unreceived tells of a message that is not received: there is no room for it, or it comes too slowly.
func (b *Backend) unreceived(user, address string, err error) {
	if !errors.Is(err, access.ErrCrowded) && !errors.Is(err, api.ErrTooLarge) && !errors.Is(err, errLate) {
		return // the sender has gone
	}
	if n := b.full.add(1); n > 0 {
		b.log.Warn("a message is not received, and its sender cut off", slog.String("user", user), slog.String("address", address),
			slog.Any("error", err), slog.Int("refused", n))
	}
}

// Exposable refuses, with api.ErrInvalid, to listen on an address that other machines reach where nothing is asked of them.
func Exposable(host, password, token string, users int) error {
	if host == "" || Loopback(host) || users > 0 || password != "" && token != "" {
		return nil
	}
	return fmt.Errorf("listen on %s: %w: others could read and steer every agent: add users with \"coma backend passwd\", or set COMA_PASSWORD (MQTT) and COMA_TOKEN (API), or stay on 127.0.0.1", host, api.ErrInvalid)
}

// private reports whether nobody but this machine's own can be at the other end: it listens on loopback, and there is no
// other name for it, as a proxy before it would need.
func (b *Backend) private() bool { return b.loopback() && len(b.opt.AllowHosts) == 0 }

// guarded reports whether MQTT clients have to say who they are.
func (b *Backend) guarded() bool { return !b.private() || b.opt.Password != "" }
