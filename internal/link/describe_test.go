package link_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/describe"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// document is the OpenRPC document, and its schemas compiled.
type document struct {
	Methods []struct {
		Name    string `json:"name"`
		Summary string `json:"summary"`
		Tags    []struct{ Name string }
		Params  []struct {
			Name, Description string
			Required          bool
		}
		Result *struct{ Name string }
	}
	Components struct {
		Schemas map[string]struct {
			Description string
			Properties  map[string]struct{ Description string }
		}
	}
	compiler *jsonschema.Compiler
	examples map[string]describe.Pairing // of what was called, the first of each
	t        *testing.T
}

func readDocument(t *testing.T, text []byte) *document {
	t.Helper()
	d := &document{compiler: jsonschema.NewCompiler(), examples: map[string]describe.Pairing{}, t: t}
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	whole, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("https://coma.invalid/api", whole); err != nil {
		t.Fatal(err)
	}
	return d
}

// check checks a value against the schema at a place of the document.
func (d *document) check(what, place string, value json.RawMessage) {
	d.t.Helper()
	schema, err := d.compiler.Compile("https://coma.invalid/api#" + place)
	if err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
	decoded, err := jsonschema.UnmarshalJSON(strings.NewReader(string(value)))
	if err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
	if err := schema.Validate(decoded); err != nil {
		d.t.Errorf("%s: %s: %v", what, value, err)
	}
}

// params checks the parameters of a method.
func (d *document) params(method string, raw json.RawMessage) {
	d.t.Helper()
	values := map[string]json.RawMessage{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &values); err != nil {
			d.t.Fatalf("params of %s: %v", method, err)
		}
	}
	i := d.find(method)
	for j, p := range d.Methods[i].Params {
		value, ok := values[p.Name]
		if !ok && p.Required {
			d.t.Errorf("params of %s: %s has no %q, which the document says it must", method, raw, p.Name)
		}
		if ok {
			d.check("params of "+method, fmt.Sprintf("/methods/%d/params/%d/schema", i, j), value)
		}
		delete(values, p.Name)
	}
	if len(values) > 0 {
		d.t.Errorf("params of %s: the document does not know of %v", method, values)
	}
}

// example keeps what was called and answered, if nothing is known of the method yet.
func (d *document) example(method string, params, result json.RawMessage) {
	listening := method == "heard" && strings.Contains(string(params), `"topic":""`)
	if _, known := d.examples[method]; !known && !listening {
		d.examples[method] = describe.Pairing{Params: lasting(params), Result: lasting(result)}
	}
}

func (d *document) find(method string) int {
	d.t.Helper()
	for i, m := range d.Methods {
		if m.Name == method {
			return i
		}
	}
	d.t.Fatalf("the document has no method %q", method)
	return 0
}

// raw speaks JSON-RPC as a client of another language does, without anything of package link.
type raw struct {
	t    *testing.T
	d    *document
	ws   *websocket.Conn
	ids  int
	told map[string]bool // methods that the host has called
}

func dialRaw(t *testing.T, d *document, address string) *raw {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
	}
	ws, _, err := websocket.Dial(within(t), "ws://coma/rpc", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: dial}}, Subprotocols: []string{"coma", "coma.token.x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.CloseNow() })
	if ws.Subprotocol() != "coma" {
		t.Errorf("the host has chosen subprotocol %q", ws.Subprotocol())
	}
	ws.SetReadLimit(-1)
	return &raw{t: t, d: d, ws: ws, told: map[string]bool{}}
}

type frame struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func (r *raw) write(format string, args ...any) {
	r.t.Helper()
	if err := r.ws.Write(within(r.t), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		r.t.Fatal(err)
	}
}

// read reads a frame, checks it if the host calls, and answers the host's questions.
func (r *raw) read() frame {
	r.t.Helper()
	_, text, err := r.ws.Read(within(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	var f frame
	if err := json.Unmarshal(text, &f); err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	if f.Method != "" {
		if r.d != nil {
			r.d.params(f.Method, f.Params)
			r.d.example(f.Method, f.Params, nil)
		}
		r.told[f.Method] = true
		if f.ID != nil {
			const line = `{"text":"Ada"}`
			r.d.examples[f.Method] = describe.Pairing{Params: lasting(f.Params), Result: json.RawMessage(line)}
			r.write(`{"jsonrpc":"2.0","id":%s,"result":%s}`, f.ID, line)
		}
	}
	return f
}

// call makes a call, checks its parameters and its result, and returns that.
func (r *raw) call(method, params string) json.RawMessage {
	r.t.Helper()
	if r.d != nil {
		r.d.params(method, json.RawMessage(params))
	}
	r.ids++
	r.write(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, r.ids, method, params)
	for {
		f := r.read()
		if f.Method != "" || string(f.ID) != fmt.Sprint(r.ids) {
			continue
		}
		if f.Error != nil {
			r.t.Fatalf("%s %s: %s", method, params, f.Error.Message)
		}
		if r.d != nil {
			r.d.check("result of "+method, fmt.Sprintf("/methods/%d/result/schema", r.d.find(method)), f.Result)
			r.d.example(method, json.RawMessage(params), f.Result)
		}
		return f.Result
	}
}

func (r *raw) notify(method, params string) {
	r.t.Helper()
	r.d.params(method, json.RawMessage(params))
	r.d.example(method, json.RawMessage(params), nil)
	r.write(`{"jsonrpc":"2.0","method":%q,"params":%s}`, method, params)
}

// until reads until the host has called a method.
func (r *raw) until(method string) {
	r.t.Helper()
	for !r.told[method] {
		r.read()
	}
}

// TestEveryMethodIsAsItsDescriptionSays calls all of them.
func TestEveryMethodIsAsItsDescriptionSays(t *testing.T) {
	dir := t.TempDir()
	startHost(t, dir)
	address := addressIn(dir)
	text := dialRaw(t, nil, address).call("rpc.discover", "{}")
	d := readDocument(t, text)
	called := map[string]bool{"rpc.discover": true, "message": true}

	host, tool, module, listener := dialRaw(t, d, address), dialRaw(t, d, address), dialRaw(t, d, address), dialRaw(t, d, address)
	type step struct {
		by             *raw
		method, params string
	}
	run := func(steps ...step) {
		t.Helper()
		for _, s := range steps {
			called[s.method] = true
			if i := d.find(s.method); d.Methods[i].Result == nil {
				s.by.notify(s.method, s.params)
			} else {
				s.by.call(s.method, s.params)
			}
		}
	}
	run(
		step{host, "agent.attach", `{"agent":"garden","pid":1,"modules":["greeter","rose"],"memory":{"embedder":"hash"}}`},
		step{host, "agent.report", `{"agent":"garden","module":"greeter","state":"running","generation":1,"restarts":0,"pending":0}`},
		step{module, "open", `{"agent":"garden","module":"greeter","generation":1}`},
	)
	listener.write(`{"jsonrpc":"2.0","id":7,"method":"listen","params":{"pattern":"sensors/#"}}`)
	called["listen"] = true
	listener.until("heard")
	run(
		step{module, "send", `{"to":"greeter","text":"hello","headers":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}`},
		step{module, "send", `{"to":"garden/greeter","data":"//8=","resent":true,"id":"2"}`},
		step{module, "poll", `{}`},
		step{module, "pending", `{}`},
		step{module, "next", `{"ack":0}`},
		step{module, "later", `{"ack":1}`},
		step{module, "subscribe", `{"pattern":"sensors/+"}`},
		step{module, "publish", `{"topic":"sensors/soil","payload":"aGVsbG8=","qos":1}`},
		step{module, "unsubscribe", `{"pattern":"sensors/+"}`},
		step{module, "log", `{"level":"INFO","text":"heard","attrs":[{"key":"from","value":"garden/rose"}]}`},
		step{module, "print", `{"text":"hello\n"}`},
		step{module, "keep", `{"key":"mood","value":"Z29vZA==","found":true}`},
		step{module, "kept", `{"key":"mood"}`},
		step{module, "memory.add", `{"records":[{"id":"fern-1","text":"the fern needs water","time":"2026-11-21T09:30:00Z","metadata":{"by":"sensor","moisture":0.25,"n":1,"new":true}},{"text":"the rose blooms","time":"2026-11-20T18:00:00Z"}]}`},
		step{module, "memory.get", `{"select":{"limit":3,"oldest":true}}`},
		step{module, "memory.get", `{"select":{"limit":3,"vectors":true}}`},
		step{module, "memory.get", `{"select":{"ids":["none"]}}`},
		step{module, "memory.query", `{"query":{"text":"which plant needs water","k":1,"filter":{"op":"eq","key":"n","value":1}}}`},
		step{module, "memory.retrieve", `{"retrieval":{"text":"the fern","k":2,"time_weighted":{"decay":0.00001,"now":"2026-11-21T10:00:00Z","space":"cosine"}}}`},
		step{module, "memory.update", `{"records":[{"id":"fern-1","text":"the fern has been watered"}]}`},
		step{module, "memory.count", `{}`},
		step{module, "memory.delete", `{"ids":["fern-1"]}`},
		step{tool, "status", `{}`},
		step{tool, "agents", `{}`},
		step{tool, "post", `{"from":"cli","to":"garden/rose","text":"hello"}`},
		step{tool, "publish", `{"topic":"sensors/soil","payload":"aGVsbG8="}`},
		step{tool, "mailboxes", `{"agent":"garden"}`},
		step{tool, "mailbox.waiting", `{"agent":"garden","module":"rose"}`},
		step{tool, "mailbox.redeliver", `{"agent":"garden","module":"rose"}`},
		step{tool, "mailbox.drop", `{"agent":"garden","module":"rose","ids":[]}`},
		step{tool, "memories", `{"all":true}`},
		step{tool, "memory.open", `{"agent":"garden"}`},
		step{tool, "memory.clear", `{"agent":"garden"}`},
		step{tool, "memory.close", `{"agent":"garden"}`},
		step{tool, "memory.create", `{"agent":"greenhouse","embedder":"hash"}`},
		step{tool, "memory.add", `{"agent":"greenhouse","records":[{"id":"tomato-1","text":"the tomatoes are ripe","time":"2026-11-20T18:00:00Z"}]}`},
		step{tool, "memory.reembed", `{"agent":"greenhouse","embedder":"hash"}`},
		step{tool, "memory.compact", `{"agent":"greenhouse"}`},
		step{tool, "memory.backup", fmt.Sprintf(`{"agent":"greenhouse","path":%q}`, filepath.Join(dir, "b.json"))},
		step{tool, "memory.restore", fmt.Sprintf(`{"agent":"greenhouse","path":%q,"replace":true}`, filepath.Join(dir, "b.json"))},
		step{tool, "memory.remove", `{"agent":"greenhouse"}`},
		step{tool, "agent.forget", `{"agent":"greenhouse"}`},
	)
	delete(listener.told, "heard") // the first said that it listens
	listener.until("heard")
	host.until("console.log")
	host.until("console.print")
	called["input"] = true
	module.ids++
	const question = `{"text":"your name? "}`
	module.write(`{"jsonrpc":"2.0","id":%d,"method":"input","params":%s}`, module.ids, question)
	host.until("console.input")
	for f := module.read(); ; f = module.read() {
		if string(f.ID) == fmt.Sprint(module.ids) {
			d.check("result of input", fmt.Sprintf("/methods/%d/result/schema", d.find("input")), f.Result)
			d.example("input", json.RawMessage(question), f.Result)
			break
		}
	}
	run(
		step{host, "agent.ended", `{"agent":"garden","module":"rose","generation":1,"outcome":"died"}`},
		step{host, "agent.remove", `{"module":"rose"}`},
		step{dialRaw(t, d, address), "open", `{"agent":"garden","module":"greeter","generation":2}`},
	)
	module.until("ended")
	last := dialRaw(t, d, address)
	run(
		step{last, "open", `{"agent":"garden","module":"greeter","generation":2,"mode":"guest"}`},
		step{last, "close", `{"outcome":"finished"}`},
		step{host, "agent.detach", `{}`},
	)
	for _, r := range []*raw{host, tool, module, listener} {
		for method := range r.told {
			called[method] = true
		}
	}
	for _, m := range d.Methods {
		if m.Summary == "" {
			t.Errorf("%s is not described", m.Name)
		}
		for _, p := range m.Params {
			if p.Description == "" {
				t.Errorf("%s of %s is not described", p.Name, m.Name)
			}
		}
		switch m.Name {
		case "shutdown": // the backend of this test is no daemon that could be asked
			continue
		}
		if !called[m.Name] {
			t.Errorf("%s is described, but was not seen here", m.Name)
		}
	}
	d.compareExamples()
	for name, schema := range d.Components.Schemas {
		if schema.Description == "" {
			t.Errorf("%s is not described", name)
		}
		for property, of := range schema.Properties {
			if of.Description == "" {
				t.Errorf("%s.%s is not described", name, property)
			}
		}
	}
	if path := os.Getenv("COMA_OPENRPC"); path != "" { // for validators of others
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestEveryMethodIsDescribed: nothing that the host answers is missing from the document, and nothing is in it twice.
func TestEveryMethodIsDescribed(t *testing.T) {
	var described []string
	for _, m := range link.Methods() {
		described = append(described, m.Name)
		if m.Params == nil || !m.Notification && m.Result == nil {
			t.Errorf("%s is described, but the host does not have it", m.Name)
		}
	}
	slices.Sort(described)
	known := link.Known()
	slices.Sort(known)
	if !slices.Equal(described, known) {
		t.Errorf("described: %v\nknown: %v", described, known)
	}
	for code, text := range link.Errors() {
		if code > 1000 && api.Error(code, text).Error() != text {
			t.Errorf("error %d: %s", code, text)
		}
	}
}
