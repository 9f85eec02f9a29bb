package backend_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// TestMemoryAtAnotherBackend runs an agent whose memory is at another backend, which is stopped and started in the middle.
func TestMemoryAtAnotherBackend(t *testing.T) {
	dir := t.TempDir()
	home := folders.Folders{Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")}
	free, err := net.Listen("tcp", "127.0.0.1:0") // a port that no other backend takes while the keeper is away
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	keeper, err := backend.Open(backend.Options{Folders: home, Token: "of the keeper", APIPort: port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { keeper.Close() }()
	status, err := keeper.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(backend.MemoryTokenVariable, "of the keeper")
	b := open(t)
	out := newConsole()
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"m"}, Memory: api.MemorySettings{At: status.API}}, out)
	s := sit(t, h, "a", "m", 1)
	ctx := within(t)
	ids, err := s.Memory().Add(ctx, []api.Record{{Text: "the sky is blue"}, {Text: "grass is green"}})
	if err != nil || len(ids) != 2 {
		t.Fatalf("add: %v, %v", ids, err)
	}
	// It is the keeper's memory, which its own commands see; here there is none.
	there, err := keeper.OpenMemory(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := there.Count(ctx, nil); n != 2 || err != nil {
		t.Errorf("the keeper has %d records, %v", n, err)
	}
	if err := there.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.BackupMemory(ctx, "a", filepath.Join(dir, "backup.json")); err == nil || !strings.Contains(err.Error(), status.API) {
		t.Errorf("a backup here: %v", err)
	}
	c := chromaClient(t, b)
	if code, body := c.send(http.MethodPost, "/collections", `{"name":"concurrent_modular_agent-state-a","get_or_create":true}`); code != http.StatusNotFound || !strings.Contains(string(body), status.API) {
		t.Errorf("Chroma's client is told %d %s", code, body)
	}
	// Commands here reach it.
	opened, err := b.OpenMemory(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	matches, err := opened.Query(ctx, api.Query{Text: "colour of the sky", K: 1})
	if err != nil || len(matches) != 1 || matches[0].Text != "the sky is blue" {
		t.Errorf("query: %v, %v", matches, err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}

	// While the keeper is away, modules wait.
	if err := keeper.Close(); err != nil {
		t.Fatal(err)
	}
	added := make(chan error, 1)
	go func() {
		_, err := s.Memory().Add(ctx, []api.Record{{Text: "water is wet"}})
		added <- err
	}()
	if line := out.next(t); !strings.Contains(line, "is away") || !strings.Contains(line, status.API) {
		t.Errorf("told: %s", line)
	}
	keeper, err = backend.Open(backend.Options{Folders: home, Token: "of the keeper", APIPort: port})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	if n, err := s.Memory().Count(ctx, nil); n != 3 || err != nil {
		t.Errorf("%d records, %v", n, err)
	}
}

func TestMemoryAtAnotherBackendNeedsItsToken(t *testing.T) {
	keeper := open(t, func(o *backend.Options) { o.Token = "of the keeper" })
	status, err := keeper.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(backend.MemoryTokenVariable, "another")
	b := open(t)
	out := newConsole()
	h := attach(t, b, api.Attachment{Agent: "a", Memory: api.MemorySettings{At: status.API}}, out)
	if line := out.next(t); !strings.Contains(line, backend.MemoryTokenVariable) {
		t.Errorf("told: %s", line)
	}
	if err := remember(t, h, "x"); !errors.Is(err, api.ErrUnauthorized) {
		t.Errorf("add: %v", err)
	}
}

// A backend that takes connections and says nothing holds up nobody for longer than they want to wait, nor the end.
func TestMemoryAtABackendThatSaysNothing(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	b := open(t)
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"m"}, Memory: api.MemorySettings{At: "http://" + deaf.Addr().String()}}, newConsole())
	s := sit(t, h, "a", "m", 1)
	conn, err := deaf.Accept() // the first one to ask: whoever waits behind it must not wait for it
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Memory().Count(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("count: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Close() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second): // less than what an answer may take
		t.Error("the backend does not close while it waits for the memory")
	}
}

// next returns the next line of the log.
func (c console) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-c.logs:
		return line
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was told")
		return ""
	}
}
