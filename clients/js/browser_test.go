package js_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

// TestBrowser opens a page in a real browser that imports coma.js, is a module of an agent with it, and posts what it has
// lived through, the restart of the backend among it.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium: install it to test the client in a browser")
	}
	dir, err := os.MkdirTemp("", "js-") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ports, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	h := &pageHost{t: t, dir: dir, ports: ports}
	if !h.open() {
		return
	}
	t.Cleanup(h.close)
	query := url.Values{"api": {fmt.Sprint("http://127.0.0.1:", h.ports.api)}, "token": {h.token}}.Encode() // before there is a page that restarts it
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	story := make(chan string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /coma.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "coma.js") })
	mux.HandleFunc("GET /page.html", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "test/page.html") })
	mux.HandleFunc("POST /restart", func(http.ResponseWriter, *http.Request) {
		h.close()
		if !h.open() {
			cancel()
		}
	})
	mux.HandleFunc("POST /story", func(_ http.ResponseWriter, r *http.Request) {
		told, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		story <- string(told)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	cmd := exec.CommandContext(ctx, chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--user-data-dir="+dir+"/browser", "--remote-debugging-port=0", server.URL+"/page.html?"+query)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		cmd.Wait() // it was killed
	}()
	want := []string{
		"wrong token: true",
		"received hello – 世界 from a/page",
		"1048576 bytes came as they were: true",
		"remembers the page was here",
		"a user's guest counts 1",
		"kept 1",
		"answered answer to who is there?",
		"error Unknown 1003",
		"gave up: TimeoutError",
		"received after the restart",
		"closed",
	}
	select {
	case got := <-story:
		if got != strings.Join(want, "\n") {
			t.Errorf("the page told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	case <-ctx.Done():
		t.Fatalf("the page has told nothing\n%s", complaints.Bytes())
	}
	h.close()
	if log := h.said.String(); !strings.Contains(log, "a line of the page") {
		t.Errorf("the page's log has not arrived, but\n%s", log)
	}
}

// pageHost is a backend that is closed and opened again at the same address.
type pageHost struct {
	t     *testing.T
	dir   string
	ports ports
	token string
	said  bytes.Buffer // what modules said; read after close

	mu      sync.Mutex // the page has it opened and closed, and so has the test
	backend *backend.Backend
	host    api.Host
}

// open reports false where it has failed the test.
func (h *pageHost) open() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := openHost(h.dir, h.ports)
	if err != nil {
		h.t.Error(err)
		return false
	}
	host, err := b.Attach(context.Background(), api.Attachment{Agent: "a", Modules: []string{"page"}}, &console{out: json.NewEncoder(&h.said)})
	if err != nil {
		h.t.Error(errors.Join(err, b.Close()))
		return false
	}
	h.backend, h.host, h.token = b, host, host.Endpoint().Token
	return true
}

func (h *pageHost) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.backend == nil {
		return
	}
	if err := errors.Join(h.host.Close(), h.backend.Close()); err != nil {
		h.t.Error(err)
	}
	h.backend = nil
}
