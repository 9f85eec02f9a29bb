package link_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// What is about a connection says so when it is posted, and not that there is no such method.
func TestPostOfWhatNeedsAConnection(t *testing.T) {
	b, err := backend.Open(backend.Options{Folders: foldersIn(t.TempDir()), Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	server := link.NewServer(b, "test")
	t.Cleanup(server.Close)
	for _, m := range link.Methods() {
		if m.ByHost || !m.Notification {
			continue
		}
		w := httptest.NewRecorder()
		body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"` + m.Name + `","params":{}}`)
		server.PostAs(b, w, httptest.NewRequest(http.MethodPost, "/rpc", body))
		if !strings.Contains(w.Body.String(), "needs a WebSocket") {
			t.Errorf("%s: %s", m.Name, w.Body)
		}
	}
}

func TestAnAddressHasNoPassword(t *testing.T) {
	_, err := link.Dial(t.Context(), "http://me:secret@127.0.0.1:1", "")
	if !errors.Is(err, api.ErrInvalid) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// FuzzPost asks the stores of a backend anything.
func FuzzPost(f *testing.F) {
	b, err := backend.Open(backend.Options{Folders: foldersIn(f.TempDir()), Offline: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { b.Close() })
	if err := b.CreateMemory(f.Context(), "a", "hash"); err != nil {
		f.Fatal(err)
	}
	server := link.NewServer(b, "test")
	f.Cleanup(server.Close)
	for _, call := range [][2]string{
		{"status", `{}`}, {"agents", `null`}, {"post", `{"to":"a/m","text":"x"}`}, {"publish", `{"topic":"t","payload":"eA=="}`},
		{"mailboxes", `{"agent":"a"}`}, {"mailbox.waiting", `{"agent":"a","module":"m","dead":true}`}, {"memories", `{"all":true}`},
		{"memory.add", `{"agent":"a","records":[{"text":"x","metadata":{"n":1},"vector":[1,2]}]}`},
		{"memory.get", `{"agent":"a","select":{"limit":1,"filter":{"op":"and","filters":[{"op":"regex","value":"x"}]}}}`},
		{"memory.query", `{"agent":"a","query":{"text":"x","k":3}}`},
		{"memory.retrieve", `{"agent":"a","retrieval":{"text":"x","alpha_beta":{"pi":0.5,"seed":1}}}`},
		{"memory.update", `{"agent":"a","records":[{"id":"1","text":"y"}]}`}, {"memory.delete", `{"agent":"a","ids":["1"]}`},
		{"memory.count", `{"agent":"a"}`}, {"memory.clear", `{"agent":"a"}`}, {"open", `{"agent":"a","module":"m"}`},
		{"agent.report", `{}`}, {"rpc.discover", `{}`}, {"send", `[]`}, {"next", `{"ack":1}`}, {"nothing", `1`},
	} {
		f.Add(call[0], call[1])
	}
	f.Fuzz(func(t *testing.T, method, params string) {
		switch method {
		case "memory.backup", "memory.restore": // they write files, as they are told
			return
		}
		name, err := json.Marshal(method)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"jsonrpc":"2.0","id":1,"method":` + string(name) + `,"params":` + params + `}`
		w := httptest.NewRecorder()
		server.PostAs(b, w, httptest.NewRequest(http.MethodPost, "/rpc", strings.NewReader(body)))
		if w.Code == http.StatusNoContent {
			return
		}
		if w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	})
}
