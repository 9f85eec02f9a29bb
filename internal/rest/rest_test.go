package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// tool speaks HTTP with a backend, as curl does.
type tool struct {
	t    *testing.T
	http *http.Client
	host *backend.Backend
	run  api.Host // of the agent
}

func newTool(t *testing.T) tool { return newToolFor(t, "a", "m", "n") }

func newToolFor(t *testing.T, agent string, modules ...string) tool {
	t.Helper()
	dir := t.TempDir()
	b, err := backend.Open(backend.Options{Version: "test", Folders: folders.Folders{
		Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	run, err := b.Attach(within(t), api.Attachment{
		Agent: agent, Project: dir, PID: os.Getpid(), Modules: modules, Limit: 2, Memory: api.MemorySettings{Embedder: "hash"},
	}, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", status.Socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return tool{t, &http.Client{Transport: transport}, b, run}
}

type nobody struct{}

func (nobody) Log(string, api.LogEntry)                              {}
func (nobody) Print(string, string)                                  {}
func (nobody) Input(context.Context, string, string) (string, error) { return "", api.ErrNoInput }

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// do makes a request and returns the answer's status, media type and body.
func (x tool) do(method, path, body string) (int, string, string) {
	x.t.Helper()
	request, err := http.NewRequestWithContext(within(x.t), method, "http://coma"+path, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	answer, err := x.http.Do(request)
	if err != nil {
		x.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), string(text)
}

// TestRoutes asks one thing after the other, and holds what is answered against the OpenAPI document.
func TestRoutes(t *testing.T) {
	x := newTool(t)
	d := x.document()
	if err := x.run.Report(within(t), api.ModuleState{Module: "m", State: api.Running, Generation: 1}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string // pattern that the answer has
	}{
		{"GET", "/v1/status", "", 200, `"version":"test"`},
		{"GET", "/v1/agents", "", 200, `"agent":"a"`},
		{"GET", "/v1/agents/a", "", 200, `"modules":\[\{.*"module":"m"`},
		{"GET", "/v1/agents/b", "", 404, `agent \\"b\\".*does not run`},
		{"GET", "/v1/agents/a/modules/m", "", 200, `"state":"running"`},
		{"GET", "/v1/agents/a/modules/x", "", 404, `runs no module`},
		{"POST", "/v1/agents/a/modules/n/messages", `{"text":"hello","headers":{"traceparent":"x"},"correlation_id":"c"}`, 200, `"id":"`},
		{"POST", "/v1/agents/a/modules/n/messages", `{"base64":"//8=","id":"two"}`, 200, `"id":"two"`},
		{"POST", "/v1/agents/a/modules/n/messages?timeout=10ms", `{"text":"no room"}`, 504, `deadline`},
		{"POST", "/v1/agents/a/modules/n/messages", `{"text":"x","base64":"//8="}`, 400, `text or base64, not both`},
		{"POST", "/v1/agents/a/modules/x/messages", `{"text":"x"}`, 404, `"code":1003`},
		{"GET", "/v1/agents/a/modules/n/messages", "", 200, `"from":"rest".*"text":"hello".*"id":"two".*"base64":"//8="`},
		{"GET", "/v1/agents/a/mailboxes", "", 200, `"module":"n","waiting":2`},
		{"GET", "/v1/agents/a/modules/n/dead", "", 200, `^\[\]`},
		{"POST", "/v1/agents/a/modules/n/dead/redeliver", `{}`, 200, `"count":0`},
		{"DELETE", "/v1/agents/a/modules/n/dead?id=x&id=y", "", 404, `not found`},
		{"DELETE", "/v1/agents/a/modules/n/dead", "", 200, `"count":0`},
		{"POST", "/v1/publish", `{"topic":"t/x","text":"hello","retain":true}`, 204, `^$`},
		{"POST", "/v1/publish", `{"topic":"t/#","text":"hello"}`, 400, `"code":1004`},

		{"PUT", "/v1/memories/b", `{"embedder":"hash"}`, 204, `^$`},
		{"GET", "/v1/memories", "", 200, `"name":"b"`},
		{"GET", "/v1/memories?all", "", 200, `"name":"b"`},
		{"GET", "/v1/memories/b", "", 200, `"records":0`},
		{"GET", "/v1/memories/none", "", 404, `none`},
		{"POST", "/v1/memories/b/records", `{"records":[{"id":"1","text":"a rose","metadata":{"n":1,"f":2.0}},{"id":"2","text":"a tulip"}]}`, 200, `\["1","2"\]`},
		{"GET", "/v1/memories/b/records?limit=1&oldest=true", "", 200, `^\[\{"id":"1".*"f":2\.0`},
		{"GET", "/v1/memories/b/records?since=2100-01-01T00:00:00Z", "", 200, `^\[\]`},
		{"GET", "/v1/memories/b/records?limit=10001", "", 400, `ask again from an offset`},
		{"GET", "/v1/memories/b/records/2", "", 200, `"a tulip"`},
		{"GET", "/v1/memories/b/records/3", "", 404, `record`},
		{"PATCH", "/v1/memories/b/records", `{"records":[{"id":"2","text":"two tulips"}]}`, 204, `^$`},
		{"PATCH", "/v1/memories/b/records", `{}`, 400, `records are missing`},
		{"PATCH", "/v1/memories/b/records", `{"records":[{"id":"3","text":"three"}]}`, 404, `3`},
		{"POST", "/v1/memories/b/get", `{"filter":{"op":"eq","key":"n","value":1}}`, 200, `^\[\{"id":"1"`},
		{"POST", "/v1/memories/b/query", `{"text":"tulips","k":1,"vectors":true}`, 200, `"two tulips".*"vector":\[.*"distance":`},
		{"POST", "/v1/memories/b/query", `{"text":"tulips","k":-1}`, 400, `want 1 to`},
		{"POST", "/v1/memories/b/retrieve", `{"text":"tulips","k":2,"by_time":{}}`, 200, `"two tulips"`},
		{"POST", "/v1/memories/b/count", `{}`, 200, `"count":2`},
		{"POST", "/v1/memories/b/delete", `{"ids":["1"]}`, 200, `"count":1`},
		{"DELETE", "/v1/memories/b/records/2", "", 204, `^$`},
		{"DELETE", "/v1/memories/b/records/2", "", 404, `record`},
		{"DELETE", "/v1/memories/b/records", "", 200, `"count":0`},
		{"POST", "/v1/memories/b/compact", "", 200, `"name":"b"`},
		{"DELETE", "/v1/memories/b", "", 204, `^$`},
		{"GET", "/v1/memories/b/records", "", 404, `"code":1002`},

		{"GET", "/v1/nothing", "", 404, `there is no /v1/nothing`},
		{"PUT", "/v1/status", `{}`, 405, `/v1/status takes GET, HEAD`},
		{"GET", "/v1/memories?all=maybe", "", 400, `query: all=maybe`},
		{"GET", "/v1/memories?al=1", "", 400, `no parameter \\"al\\"`},
		{"GET", "/v1/memories?all&all", "", 400, `more than once`},
		{"GET", "/v1/listen?pattern=a/%23/b", "", 400, `"code":1004`},
		{"POST", "/v1/publish", "{\n  \"topic\": \"t\",\n  \"txt\": \"x\"}", 400, `body, line 3, column \d+: unknown field \\"txt\\"`},
		{"POST", "/v1/publish", `{"topic":1}`, 400, `body, line 1, column \d+: cannot unmarshal`},
		{"POST", "/v1/publish", `{"topic":"t"} {}`, 400, `something behind`},
		{"POST", "/v1/publish", ``, 400, `want a JSON object`},
		{"POST", "/v1/publish", `[1]`, 400, `want a JSON object`},
		{"POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"status"}`, 200, `"id":1,"result":\{.*"version":"test"`},
		{"POST", "/rpc", `[{"jsonrpc":"2.0","id":1,"method":"agents"},{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":"b","method":"y"}]`, 200, `^\[.*"id":1,"result".*"id":"b","error".*\]$`},
		{"POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"open","params":{"agent":"a","module":"m"}}`, 200, `"code":1004.*needs a WebSocket`},
		{"POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"pending"}`, 200, `"code":1007`},
		{"POST", "/rpc", `{"jsonrpc":"2.0","method":"next","params":{}}`, 204, `^$`},
		{"POST", "/rpc", `{`, 200, `-32700`},
		{"GET", "/openrpc.json", "", 200, `"openrpc":"1.3`},
	} {
		status, kind, text := x.do(step.method, step.path, step.body)
		if status != step.status || !regexp.MustCompile(step.want).MatchString(text) {
			t.Errorf("%s %s %s: %d %s\nwant %d %s", step.method, step.path, step.body, status, text, step.status, step.want)
			continue
		}
		d.check(step.method, step.path, step.body, status, kind, text)
	}
	for operation := range d.operations {
		if !d.seen[operation] && operation != "get /v1/listen" {
			t.Errorf("%s was not asked", operation)
		}
	}
	if path := os.Getenv("COMA_OPENAPI"); path != "" { // for validators of others
		if err := os.WriteFile(path, []byte(d.text), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestListen reads the stream of what is published.
func TestListen(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) }) // last, when the backend is closed
	x := newTool(t)
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	request, err := http.NewRequestWithContext(ctx, "GET", "http://coma/v1/listen?pattern=t/%2B", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := x.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %q", kind)
	}
	lines := bufio.NewScanner(answer.Body)
	want := func(wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !lines.Scan() || !regexp.MustCompile(want).MatchString(lines.Text()) {
				t.Fatalf("line %q, %v, want %s", lines.Text(), lines.Err(), want)
			}
		}
	}
	want(`^event: listening$`, `^data: {}$`, `^$`)
	x.do("POST", "/v1/publish", `{"topic":"t/x","text":"two\nlines"}`)
	want(`^event: heard$`, `^data: {"topic":"t/x",.*"text":"two\\nlines"}$`, `^$`)
	x.do("POST", "/v1/publish", `{"topic":"t/x","base64":"//8="}`)
	want(`^event: heard$`, `^data: {"topic":"t/x",.*"base64":"//8="}$`, `^$`)
}

// document is the OpenAPI document, to hold answers against.
type document struct {
	t          *testing.T
	text       string
	compiler   *jsonschema.Compiler
	operations map[string]operation // by "get /path"
	seen       map[string]bool
}

type operation struct {
	Summary    string
	Parameters []struct{ Name, Description string }
	Body       json.RawMessage `json:"requestBody"`
	Responses  map[string]json.RawMessage
}

func (x tool) document() *document {
	x.t.Helper()
	status, _, text := x.do("GET", "/openapi.json", "")
	if status != 200 {
		x.t.Fatal(text)
	}
	var parsed struct {
		Paths      map[string]map[string]operation
		Components struct {
			Schemas map[string]struct {
				Description string
				Properties  map[string]struct{ Description string }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		x.t.Fatal(err)
	}
	d := &document{x.t, text, jsonschema.NewCompiler(), map[string]operation{}, map[string]bool{}}
	for path, methods := range parsed.Paths {
		for method, operation := range methods {
			d.operations[method+" "+path] = operation
			if operation.Summary == "" {
				x.t.Errorf("%s %s is not described", method, path)
			}
			for _, p := range operation.Parameters {
				if p.Description == "" {
					x.t.Errorf("%s %s: %s is not described", method, path, p.Name)
				}
			}
		}
	}
	for name, schema := range parsed.Components.Schemas {
		if schema.Description == "" {
			x.t.Errorf("%s is not described", name)
		}
		for property, of := range schema.Properties {
			if of.Description == "" {
				x.t.Errorf("%s.%s is not described", name, property)
			}
		}
	}
	whole, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		x.t.Fatal(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("https://coma.invalid/api", whole); err != nil {
		x.t.Fatal(err)
	}
	return d
}

// check holds a request and its answer against what the document says of the operation. What is in order is what the
// document takes.
func (d *document) check(method, path, body string, status int, kind, text string) {
	d.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	for name, operation := range d.operations {
		of, template, _ := strings.Cut(name, " ")
		if of != strings.ToLower(method) || !matches(template, path) {
			continue
		}
		d.seen[name] = true
		whole := fmt.Sprintf("/paths/%s/%s", strings.ReplaceAll(template, "/", "~1"), of)
		if operation.Body != nil && (status < 300 || strings.Contains(text, "unknown field")) {
			if err := d.validate(whole+"/requestBody/content/application~1json/schema", body); (err == nil) != (status < 300) {
				d.t.Errorf("%s %s %s: %d, by the document: %v", method, path, body, status, err)
			}
		}
		place := fmt.Sprintf("%s/responses/%d/content/application~1json/schema", whole, status)
		if status >= 400 {
			if kind != "application/problem+json" {
				d.t.Errorf("%s %s: an error as %s", method, path, kind)
			}
			place = "/components/responses/problem/content/application~1problem+json/schema"
		} else if _, ok := operation.Responses[fmt.Sprint(status)]; !ok {
			d.t.Errorf("%s %s: the document knows no status %d", method, path, status)
			return
		}
		if status == http.StatusNoContent {
			return
		}
		if err := d.validate(place, text); err != nil {
			d.t.Errorf("%s %s: %s: %v", method, path, text, err)
		}
		return
	}
}

// validate holds JSON against the schema at a place of the document.
func (d *document) validate(place, text string) error {
	schema, err := d.compiler.Compile("https://coma.invalid/api#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(place))
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}
