package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/memory"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// client speaks to the Chroma API as its clients do.
type client struct {
	t    testing.TB
	base string
}

const defaultDatabase = "/api/v2/tenants/default_tenant/databases/default_database"

func chromaClient(t testing.TB, b *backend.Backend) client {
	t.Helper()
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return client{t, status.API}
}

// do sends a request and decodes the answer into what it returns; the status must be as wanted.
func (c client) do(want int, method, path, body string) map[string]any {
	c.t.Helper()
	status, answer := c.send(method, path, body)
	if status != want {
		c.t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, status, answer, want)
	}
	var fields map[string]any
	if len(answer) > 0 && answer[0] == '{' {
		if err := json.Unmarshal(answer, &fields); err != nil {
			c.t.Fatal(err)
		}
	}
	return fields
}

func (c client) send(method, path, body string) (int, []byte) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(within(c.t), method, c.base+defaultDatabase+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, bytes.TrimSpace(answer)
}

// create makes a collection as the Python framework does, and returns the path of its operations.
func (c client) create(name string) string {
	c.t.Helper()
	made := c.do(http.StatusOK, "POST", "/collections", fmt.Sprintf(
		`{"name":%q,"configuration":{"embedding_function":{"type":"known","name":"default","config":{}}},"get_or_create":false}`, name))
	return "/collections/" + made["id"].(string)
}

// vector is a vector of as many dimensions as the default embedder's, as JSON.
func vector(at int) string {
	v := make([]string, 384)
	for i := range v {
		v[i] = "0"
	}
	v[at] = "1"
	return "[" + strings.Join(v, ",") + "]"
}

// TestAnAgentsMemoryIsACollection: what a module and a client of Chroma add, each of them finds, also while the client
// deletes the collection and makes it anew, as the Python framework's clear does.
func TestAnAgentsMemoryIsACollection(t *testing.T) {
	b := open(t)
	chroma := chromaClient(t, b)
	ctx := within(t)
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"m"}}, newConsole())
	s := sit(t, h, "a", "m", 1)
	when := time.Unix(1700000000, 123456000)
	if _, err := s.Memory().Add(ctx, []api.Record{{ID: "go", Text: "the plant is thirsty", Time: when, Metadata: map[string]any{"by": "m"}}}); err != nil {
		t.Fatal(err)
	}

	const name = "concurrent_modular_agent-state-a"
	shown := chroma.do(http.StatusOK, "GET", "/collections/"+name, "")
	if shown["dimension"] != 384.0 || shown["configuration_json"].(map[string]any)["embedding_function"].(map[string]any)["name"] != "default" {
		t.Errorf("a memory that modules made is %v", shown)
	}
	operations := "/collections/" + shown["id"].(string)
	got := chroma.do(http.StatusOK, "POST", operations+"/get", `{"where":{"timestamp":{"$gte":1700000000.1}}}`)
	if meta := got["metadatas"].([]any); len(meta) != 1 || meta[0].(map[string]any)["timestamp"] != 1700000000.123456 || meta[0].(map[string]any)["by"] != "m" {
		t.Errorf("the module's record is %v", got)
	}

	chroma.do(http.StatusCreated, "POST", operations+"/add", `{"ids":["py"],"embeddings":[`+vector(7)+`],"documents":["from Python"],"metadatas":[{"timestamp":1700000001.5,"by":"py"}]}`)
	records, err := s.Memory().Get(ctx, api.Selection{Limit: 1})
	if err != nil || len(records) != 1 || records[0].Text != "from Python" || records[0].Time.UnixMicro() != 1700000001500000 {
		t.Errorf("the module sees %+v, %v", records, err)
	}
	if matches, err := s.Memory().Query(ctx, api.Query{Text: "does somebody need water?", K: 1}); err != nil || len(matches) != 1 || matches[0].ID != "go" {
		t.Errorf("the module finds %+v, %v", matches, err)
	}

	chroma.do(http.StatusOK, "DELETE", "/collections/"+name, "")
	chroma.do(http.StatusNotFound, "GET", "/collections/"+name, "")
	chroma.do(http.StatusNotFound, "GET", operations+"/count", "")
	if n, err := s.Memory().Count(ctx, nil); err != nil || n != 0 {
		t.Errorf("after the collection was deleted the module counts %d, %v", n, err)
	}
	fresh := chroma.create(name)
	if fresh == operations {
		t.Error("the new collection has the old one's id")
	}
	if status, _ := chroma.send("POST", "/collections", `{"name":"`+name+`"}`); status != http.StatusConflict {
		t.Errorf("created twice: %d", status)
	}
	if _, err := s.Memory().Add(ctx, []api.Record{{ID: "again", Text: "water"}}); err != nil {
		t.Fatal(err)
	}
	if status, n := chroma.send("GET", fresh+"/count", ""); status != http.StatusOK || string(n) != "1" {
		t.Errorf("the client counts %s (%d)", n, status)
	}

	// Deleted by a client, and written to by a module before anybody creates it: it is there again, and free to be created.
	chroma.do(http.StatusOK, "DELETE", "/collections/"+name, "")
	if _, err := s.Memory().Add(ctx, []api.Record{{ID: "early", Text: "sun"}}); err != nil {
		t.Fatal(err)
	}
	chroma.do(http.StatusOK, "GET", "/collections/"+name, "")
	if status, n := chroma.send("GET", chroma.create(name)+"/count", ""); status != http.StatusOK || string(n) != "1" {
		t.Errorf("the client counts %s (%d)", n, status)
	}
}

// TestACollectionsMemoryOutlivesTheBackend, its name and what clients know of it, too; that of an agent that nobody runs is
// removed with its collection.
func TestACollectionsMemoryOutlivesTheBackend(t *testing.T) {
	dirs := in(t.TempDir())
	here := func(o *backend.Options) { o.Folders = dirs }
	one := open(t, here)
	chroma := chromaClient(t, one)
	operations := chroma.create("papers")
	chroma.create("concurrent_modular_agent-state-idle")
	chroma.do(http.StatusCreated, "POST", operations+"/add", `{"ids":["x"],"embeddings":[[1,2,3]],"documents":["text"]}`)
	chroma.do(http.StatusOK, "PUT", operations, `{"new_name":"articles","new_metadata":{"k":1}}`)
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}

	chroma = chromaClient(t, open(t, here))
	shown := chroma.do(http.StatusOK, "GET", "/collections/articles", "")
	if "/collections/"+shown["id"].(string) != operations || shown["metadata"].(map[string]any)["k"] != 1.0 {
		t.Errorf("the collection is %v", shown)
	}
	found := chroma.do(http.StatusOK, "POST", operations+"/query", `{"query_embeddings":[[1,2,4]],"include":["distances"]}`)
	if fmt.Sprint(found["ids"], found["distances"]) != "[[x]] [[1]]" {
		t.Errorf("the query finds %v", found)
	}
	chroma.do(http.StatusOK, "DELETE", "/collections/articles", "")
	chroma.do(http.StatusOK, "DELETE", "/collections/concurrent_modular_agent-state-idle", "")
	if _, n := chroma.send("GET", "/collections_count", ""); string(n) != "0" {
		t.Errorf("%s collections are left", n)
	}
}

// TestClientsAtOnce: many clients create, write, read and delete; none sees another's collection, and nothing is left open.
func TestClientsAtOnce(t *testing.T) {
	b := open(t)
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			chroma := chromaClient(t, b)
			for round := range 3 {
				name := fmt.Sprintf("c-%d", n%4) // two clients a collection
				status, answer := chroma.send("POST", "/collections", `{"name":"`+name+`","get_or_create":true}`)
				var c struct{ ID string }
				if json.Unmarshal(answer, &c); status != http.StatusOK {
					t.Errorf("create: %d %s", status, answer)
					return
				}
				for _, step := range []struct{ operation, body string }{
					{"add", fmt.Sprintf(`{"ids":["%d-%d"],"embeddings":[[%d,1]]}`, n, round, n)},
					{"query", `{"query_embeddings":[[1,1]]}`},
					{"get", `{}`},
				} {
					status, answer := chroma.send("POST", "/collections/"+c.ID+"/"+step.operation, step.body)
					if !slices.Contains([]int{http.StatusOK, http.StatusCreated, http.StatusNotFound}, status) {
						t.Errorf("%s: %d %s", step.operation, status, answer)
					}
				}
				if status, answer := chroma.send("DELETE", "/collections/"+name, ""); status != http.StatusOK && status != http.StatusNotFound {
					t.Errorf("delete: %d %s", status, answer)
				}
			}
		})
	}
	clients.Wait()
}

func TestWhoMaySpeakToTheChromaAPI(t *testing.T) {
	const token, own = "0123456789abcdef0123456789abcdef", "for clients of Chroma"
	open1 := open(t, func(o *backend.Options) { o.Token = token })
	closed := open(t, func(o *backend.Options) { o.Token, o.ChromaToken = token, own })
	tests := []struct {
		name   string
		b      *backend.Backend
		host   string
		header map[string]string
		want   int
	}{
		{"on loopback", open1, "", nil, http.StatusOK},
		{"a local page", open1, "", map[string]string{"Origin": "http://localhost:3000"}, http.StatusOK},
		{"a web page", open1, "", map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden},
		{"a page in a sandbox", open1, "", map[string]string{"Origin": "null"}, http.StatusForbidden},
		{"rebound name", open1, "evil.example", nil, http.StatusForbidden},
		{"none", closed, "", nil, http.StatusUnauthorized},
		{"wrong", closed, "", map[string]string{"Authorization": "Bearer x"}, http.StatusUnauthorized},
		{"Bearer", closed, "", map[string]string{"Authorization": "Bearer " + own}, http.StatusOK},
		{"X-Chroma-Token", closed, "", map[string]string{"X-Chroma-Token": own}, http.StatusOK},
		{"the API's own", closed, "", map[string]string{"Authorization": "Bearer " + token}, http.StatusOK},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(within(t), "GET", chromaClient(t, test.b).base+"/api/v2/heartbeat", nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.host != "" {
				r.Host = test.host
			}
			for key, value := range test.header {
				r.Header.Set(key, value)
			}
			answered(t, r, test.want)
		})
	}
}

// TestAnAgentIsFreeWhenNoClientUsesIt: who runs the agent gets its memory at once, with other settings than a client's.
func TestAnAgentIsFreeWhenNoClientUsesIt(t *testing.T) {
	b := open(t)
	chroma := chromaClient(t, b)
	operations := chroma.create("concurrent_modular_agent-state-a")
	chroma.do(http.StatusCreated, "POST", operations+"/add", `{"ids":["x"],"embeddings":[`+vector(1)+`],"documents":["text"]}`)
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"m"}, Durable: true, Limit: 10}, newConsole())
	s := sit(t, h, "a", "m", 1)
	if n, err := s.Memory().Count(context.Background(), nil); err != nil || n != 1 {
		t.Errorf("the module counts %d, %v", n, err)
	}
}

// TestNoMoreMemoriesStayOpenThanABound: of many collections, each used once, the first is closed long before its time.
func TestNoMoreMemoriesStayOpenThanABound(t *testing.T) {
	dirs := in(t.TempDir())
	chroma := chromaClient(t, open(t, func(o *backend.Options) { o.Folders = dirs }))
	var first string
	for n := range 65 {
		operations := chroma.create(fmt.Sprint("many-", n))
		chroma.do(http.StatusCreated, "POST", operations+"/add", `{"ids":["x"],"embeddings":[[1,2,3]]}`)
		if n == 0 {
			first = filepath.Join(dirs.Data, "collections", strings.TrimPrefix(operations, "/collections/")+".db")
			if _, err := memory.Peek(first); !errors.Is(err, api.ErrInUse) {
				t.Fatalf("a collection just used is not open: %v", err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // half of the time that it would stay
	defer cancel()
	for look := time.NewTicker(5 * time.Millisecond); ; {
		_, err := memory.Peek(first)
		if err == nil {
			return
		}
		if !errors.Is(err, api.ErrInUse) {
			t.Fatal(err)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatal("65 memories are open that nobody asks for")
		}
	}
}

// TestPythonFramework runs the Python framework's own tests, as they are, against a backend.
func TestPythonFramework(t *testing.T) {
	checkout := os.Getenv("COMA_FRAMEWORK")
	if checkout == "" {
		t.Skip("set COMA_FRAMEWORK to a checkout of the Python framework, whose requirements the Python of make peers must have")
	}
	python, err := peers.Python()
	if err != nil {
		t.Skip(err)
	}
	status, err := open(t).Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	_, api, _ := strings.Cut(strings.TrimPrefix(status.API, "http://"), ":")
	_, broker, _ := strings.Cut(strings.TrimPrefix(status.Broker, "mqtt://"), ":")
	command := exec.CommandContext(t.Context(), python, "../chroma/testdata/clients/framework.py", checkout, api, broker,
		"test_state.py", "test_retriever.py", "test_abretriever.py", "test_utils.py")
	output, err := command.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Error(err)
	}
}
