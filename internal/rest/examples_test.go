package rest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/describe"
	"github.com/concurrent-modular-agent/coma/internal/rest"
)

var update = flag.Bool("update", false, "write examples.json anew")

// asExamples is what examples.json is made from, in this order. Each operation has one, the last for the form of problems.
var asExamples = []struct{ id, path, body string }{
	{"status", "/v1/status", ""},
	{"agents", "/v1/agents", ""},
	{"agent", "/v1/agents/garden", ""},
	{"module", "/v1/agents/garden/modules/greeter", ""},
	{"send", "/v1/agents/garden/modules/greeter/messages?timeout=5s", `{"text": "hello", "reply_to": "garden/rose", "correlation_id": "42"}`},
	{"waiting", "/v1/agents/garden/modules/greeter/messages", ""},
	{"mailboxes", "/v1/agents/garden/mailboxes", ""},
	{"dead", "/v1/agents/garden/modules/rose/dead", ""},
	{"redeliver", "/v1/agents/garden/modules/rose/dead/redeliver", `{"ids": ["letter-7"]}`},
	{"drop", "/v1/agents/garden/modules/rose/dead?id=letter-8", ""},
	{"publish", "/v1/publish", `{"topic": "sensors/soil", "text": "dry", "retain": true, "qos": 1}`},
	{"createMemory", "/v1/memories/greenhouse", `{"embedder": "hash"}`},
	{"addRecords", "/v1/memories/greenhouse/records", `{"records": [
		{"id": "fern-1", "text": "the fern needs water", "time": "2026-11-21T09:30:00Z", "metadata": {"by": "sensor", "moisture": 0.21}},
		{"id": "rose-1", "text": "the rose blooms", "time": "2026-11-20T18:00:00Z"},
		{"id": "fern-2", "text": "the fern was moved", "time": "2026-11-19T18:00:00Z"}
	]}`},
	{"memories", "/v1/memories?all=true", ""},
	{"memory", "/v1/memories/greenhouse", ""},
	{"records", "/v1/memories/greenhouse/records?limit=2&offset=0&oldest=true&since=2026-11-20T00:00:00Z&until=2026-12-01T00:00:00Z&vectors=false", ""},
	{"record", "/v1/memories/greenhouse/records/fern-1", ""},
	{"updateRecords", "/v1/memories/greenhouse/records", `{"records": [{"id": "fern-1", "metadata": {"by": "sensor", "moisture": 0.35}}]}`},
	{"getRecords", "/v1/memories/greenhouse/get", `{"limit": 10, "filter": {"op": "and", "filters": [{"op": "gt", "key": "moisture", "value": 0.3}, {"op": "contains", "value": "fern"}]}}`},
	{"queryRecords", "/v1/memories/greenhouse/query", `{"text": "which plant needs water", "k": 2}`},
	{"retrieveRecords", "/v1/memories/greenhouse/retrieve", `{"text": "the fern", "k": 2, "time_weighted": {"decay": 0.00001, "now": "2026-11-21T10:00:00Z", "space": "cosine"}}`},
	{"countRecords", "/v1/memories/greenhouse/count", `{"filter": {"op": "eq", "key": "by", "value": "sensor"}}`},
	{"deleteRecords", "/v1/memories/greenhouse/delete", `{"ids": ["fern-2"]}`},
	{"deleteRecord", "/v1/memories/greenhouse/records/rose-1", ""},
	{"clearRecords", "/v1/memories/greenhouse/records", ""},
	{"compactMemory", "/v1/memories/greenhouse/compact", ""},
	{"removeMemory", "/v1/memories/greenhouse", ""},
	{"problem", "/v1/memories/greenhouse/records", ""},
}

// TestExamples: the examples in the document are what a host is asked and answers, but for what is another each time.
func TestExamples(t *testing.T) {
	x := newToolFor(t, "garden", "greeter", "rose")
	x.grow()
	d := x.document()
	operations := map[string]describe.Operation{"problem": {Method: "GET", Path: "/v1/memories/{agent}/records"}}
	for _, o := range rest.Operations() {
		operations[o.ID] = o
	}
	examples := map[string]describe.Example{"listen": x.heard("/v1/listen?pattern=sensors/%23")}
	for _, a := range asExamples {
		o := operations[a.id]
		status, kind, answer := x.do(o.Method, a.path, a.body)
		if status >= 300 && a.id != "problem" {
			t.Fatalf("%s %s: %d %s", o.Method, a.path, status, answer)
		}
		answer = lasting(answer)
		d.check(o.Method, a.path, a.body, status, kind, answer)
		examples[a.id] = describe.Example{Parameters: given(t, o.Path, a.path), Body: json.RawMessage(a.body), Answer: json.RawMessage(answer)}
	}
	for id := range operations {
		if _, ok := examples[id]; !ok {
			t.Errorf("%s has no example", id)
		}
	}
	var made bytes.Buffer
	encoder := json.NewEncoder(&made)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	if err := encoder.Encode(examples); err != nil {
		t.Fatal(err)
	}
	const name = "examples.json"
	if *update {
		if err := os.WriteFile(name, made.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	known, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if made.String() != string(known) {
		t.Errorf("what is asked and answered has changed, %s has not: go test ./internal/rest -run TestExamples -update\n%s", name, made.String())
	}
}

// grow has the agent's modules run, and one of them die on three messages.
func (x tool) grow() {
	x.t.Helper()
	ctx := within(x.t)
	for _, m := range []string{"greeter", "rose"} {
		state := api.ModuleState{Module: m, State: api.Running, Generation: 1, PID: 1, Isolation: "process", Engine: "yaegi", Since: time.Now()}
		if err := x.run.Report(ctx, state); err != nil {
			x.t.Fatal(err)
		}
	}
	for _, id := range []string{"letter-7", "letter-8", "letter-9"} {
		if err := x.host.Post(ctx, "cli", api.Message{ID: id, To: "garden/rose", Text: "grow!"}); err != nil {
			x.t.Fatal(err)
		}
		for generation := 1; ; generation++ {
			session, err := x.run.Open(ctx, api.Identity{Agent: "garden", Module: "rose", Generation: generation})
			if err != nil {
				x.t.Fatal(err)
			}
			_, ok, err := session.TryReceive(ctx)
			if err != nil {
				x.t.Fatal(err)
			}
			if !ok {
				if err := session.Close(api.Stopped); err != nil {
					x.t.Fatal(err)
				}
				break
			}
			if err := session.Close(api.Died); err != nil {
				x.t.Fatal(err)
			}
		}
	}
}

// heard is an example of a stream: what is asked, and the first that is heard.
func (x tool) heard(path string) describe.Example {
	x.t.Helper()
	request, err := http.NewRequestWithContext(within(x.t), "GET", "http://coma"+path, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	answer, err := x.http.Do(request)
	if err != nil {
		x.t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		switch data, ok := strings.CutPrefix(lines.Text(), "data: "); {
		case ok && data == "{}": // it listens
			x.do("POST", "/v1/publish", `{"topic": "sensors/soil", "text": "dry"}`)
		case ok:
			return describe.Example{Parameters: given(x.t, "/v1/listen", path), Answer: json.RawMessage(lasting(data))}
		}
	}
	x.t.Fatalf("nothing was heard: %v", lines.Err())
	return describe.Example{}
}

// given are the parameters in a path and its query, as JSON has them.
func given(t *testing.T, template, path string) map[string]any {
	t.Helper()
	path, raw, _ := strings.Cut(path, "?")
	all := map[string]any{}
	parts := strings.Split(path, "/")
	for i, name := range strings.Split(template, "/") {
		if strings.HasPrefix(name, "{") {
			all[strings.Trim(name, "{}")] = parts[i]
		}
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range query {
		all[name] = values[0]
		if name == "id" { // can be given several times
			all[name] = values
		} else if n, err := strconv.Atoi(values[0]); err == nil {
			all[name] = n
		} else if b, err := strconv.ParseBool(values[0]); err == nil {
			all[name] = b
		}
	}
	return all
}

// lasting is an answer in which what is another each time, or on each machine, has been replaced.
func lasting(answer string) string {
	for _, r := range []struct{ pattern, by string }{
		{`"id":"\w{13}-\w+"`, `"id":"5e2kq0x8w7r1m-4"`},
		{`"pid":\d+`, `"pid":4711`},
		{`"version":"[^"]*"`, `"version":"v1.0.0"`},
		{`"project":"[^"]*"`, `"project":"/home/ada/garden"`},
		{`"socket":"[^"]*"`, `"socket":"/run/user/1000/coma/coma.sock"`},
		{`"api":"[^"]*"`, `"api":"http://127.0.0.1:8000"`},
		{`"broker":"[^"]*"`, `"broker":"mqtt://127.0.0.1:1883"`},
		{`"bytes":\d+`, `"bytes":65536`},
		{`"clients":\d+`, `"clients":2`},
		{`,"held":\d+`, ``},
		{`,"problems":\[[^]]*\]`, ``},
		{`"(distance|score)":(\d\.\d{1,3})\d*`, `"$1":$2`},
	} {
		answer = regexp.MustCompile(r.pattern).ReplaceAllString(answer, r.by)
	}
	answer = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`).ReplaceAllStringFunc(answer, func(at string) string {
		for _, a := range asExamples {
			if strings.Contains(a.body, at) { // it was asked for
				return at
			}
		}
		return `"2026-11-21T09:30:00Z"`
	})
	return strings.TrimSpace(answer)
}
