package backend

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func openAt(t *testing.T, change func(*Options)) *Backend {
	t.Helper()
	dir := t.TempDir()
	opt := Options{Folders: folders.Folders{
		Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run"),
	}, Token: "0123456789abcdef0123456789abcdef"}
	change(&opt)
	b, err := Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// ask is a request from another machine, as far as the guard can tell.
func ask(b *Backend, path, address, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://localhost"+path, nil)
	r.RemoteAddr = address + ":4242"
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	b.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })).ServeHTTP(w, r)
	return w
}

// Whoever is turned away is told in the words of the door that was knocked at.
func TestRefusalsAreReadByTheirClients(t *testing.T) {
	b := openAt(t, func(o *Options) { o.Host, o.Password = "0.0.0.0", "password" })
	for path, want := range map[string]struct{ kind, part string }{
		"/v1/status":      {"application/problem+json", `"title":"Unauthorized","status":401`},
		"/api/v2/version": {"application/json", `"error":`},
		"/rpc":            {"text/plain; charset=utf-8", "the token is missing or wrong"},
	} {
		w := ask(b, path, "192.0.2.1", "")
		if kind := w.Header().Get("Content-Type"); w.Code != http.StatusUnauthorized || kind != want.kind || !strings.Contains(w.Body.String(), want.part) {
			t.Errorf("%s: %d, %s, %s", path, w.Code, kind, w.Body)
		}
	}
}

func TestGuessedTokensAreSlowedDown(t *testing.T) {
	b := openAt(t, func(o *Options) { o.Host, o.Password = "0.0.0.0", "password" })
	const right = "Bearer 0123456789abcdef0123456789abcdef"
	for _, address := range []string{"192.0.2.1", "127.0.0.1"} {
		for i := range 5 {
			if w := ask(b, "/rpc", address, "Bearer wrong"); w.Code != http.StatusUnauthorized {
				t.Fatalf("guess %d from %s: %d", i, address, w.Code)
			}
		}
	}
	w := ask(b, "/rpc", "192.0.2.1", right)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("after five guesses: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	for _, address := range []string{"192.0.2.2", "127.0.0.1"} {
		if w := ask(b, "/rpc", address, right); w.Code != http.StatusTeapot {
			t.Errorf("from %s: %d", address, w.Code)
		}
	}
	if w := ask(b, "/health", "192.0.2.1", ""); w.Code != http.StatusTeapot {
		t.Errorf("health: %d", w.Code)
	}
}

// Behind a proxy, which needs a name of its own for the backend, nobody is the owner for coming from this machine.
func TestAProxysClientsAreNotTheOwner(t *testing.T) {
	for _, test := range []struct {
		hosts []string
		want  int
	}{{nil, http.StatusTeapot}, {[]string{"coma.example"}, http.StatusUnauthorized}} {
		b := openAt(t, func(o *Options) { o.AllowHosts = test.hosts })
		if w := ask(b, "/api/v2/heartbeat", "127.0.0.1", ""); w.Code != test.want {
			t.Errorf("with names %v, a Chroma client without a token: %d", test.hosts, w.Code)
		}
		if b.guarded() != (test.hosts != nil) {
			t.Errorf("with names %v, MQTT clients have to say who they are: %t", test.hosts, b.guarded())
		}
	}
}
