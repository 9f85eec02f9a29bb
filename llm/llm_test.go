package llm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestChat(t *testing.T) {
	s := serve(t, whole("I am fine."))
	c, _ := s.client(t)
	got, err := c.Chat(t.Context(), []Message{System("You are a plant."), User("How are you?")}, Temperature(0), MaxTokens(50), Stop("\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Reply{Text: "I am fine.", Model: "test-model-1", FinishReason: FinishStop, Usage: Usage{Input: 9, Output: 4}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reply is %+v, want %+v", got, want)
	}
	wantBody := `{"model":"test-model","messages":[{"role":"system","content":"You are a plant."},{"role":"user","content":"How are you?"}],"temperature":0,"max_tokens":50,"stop":["\n"]}`
	if body := s.requests()[0]; body != wantBody {
		t.Errorf("request is\n%s, want\n%s", body, wantBody)
	}
	if got := s.authorization(); got != "Bearer "+testKey {
		t.Errorf("Authorization is %q", got)
	}
}

func TestRequestBodies(t *testing.T) {
	call := ToolCall{ID: "c1", Name: "water", Arguments: `{"ml":200}`}
	tests := []struct {
		name     string
		baseURL  string
		stream   bool
		messages []Message
		options  []Option
		want     string
	}{
		{"nothing asked", "http://localhost/v1", false, []Message{User("")}, nil,
			`{"model":"m","messages":[{"role":"user","content":""}]}`},
		{"OpenAI's own names", "", true, nil, []Option{MaxTokens(5)},
			`{"model":"m","messages":[],"max_completion_tokens":5,"stream":true,"stream_options":{"include_usage":true}}`},
		{"others' names", "http://localhost/v1", true, nil, []Option{MaxTokens(5)},
			`{"model":"m","messages":[],"max_tokens":5,"stream":true}`},
		{"JSON", "http://localhost/v1", false, nil, []Option{JSON()},
			`{"model":"m","messages":[],"response_format":{"type":"json_object"}}`},
		{"JSON by schema", "http://localhost/v1", false, nil, []Option{JSONSchema("mood", []byte(`{"type":"object"}`))},
			`{"model":"m","messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"mood","schema":{"type":"object"},"strict":true}}}`},
		{"tools and their results", "http://localhost/v1", false,
			[]Message{Reply{ToolCalls: []ToolCall{call}}.Message(), ToolResult(call, "done")},
			[]Option{Tools(Tool{Name: "water", Description: "Waters.", Parameters: []byte(`{"type":"object"}`)})},
			`{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"water","arguments":"{\"ml\":200}"}}]},{"role":"tool","content":"done","tool_call_id":"c1"}],"tools":[{"type":"function","function":{"name":"water","description":"Waters.","parameters":{"type":"object"}}}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := New(Config{BaseURL: test.baseURL, Key: testKey, Model: "m"})
			var ask request
			for _, o := range test.options {
				o.apply(&ask)
			}
			got, err := c.encode(test.messages, ask, test.stream)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("body is\n%s, want\n%s", got, test.want)
			}
		})
	}
}

func TestSchemaThatIsNoJSON(t *testing.T) {
	c := New(Config{Key: testKey, Model: "m"})
	_, err := c.Chat(t.Context(), nil, JSONSchema("mood", []byte(`{"type":`)))
	if err == nil || !strings.Contains(err.Error(), "JSON Schema") {
		t.Errorf("error is %v", err)
	}
}

func TestStream(t *testing.T) {
	pieces := []string{"Grüße ", "aus dem ", "Topf 🌱\n", "data: [DONE]"}
	answer := strings.Join(pieces, "")
	usual := chunks(pieces...) + streamEnd
	shapes := map[string]string{
		"usual":                  usual,
		"CRLF":                   strings.ReplaceAll(usual, "\n", "\r\n"),
		"comments and fields":    ": keep-alive\n\nevent: message\nid: 7\nretry: 100\n" + strings.ReplaceAll(usual, "\n\n", "\n\n: PROCESSING\n\n"),
		"no space after data":    strings.ReplaceAll(usual, "data: {", "data:{"),
		"no end marker":          strings.ReplaceAll(usual, "data: [DONE]\n\n", ""),
		"no empty line at end":   strings.TrimRight(usual, "\n"),
		"event over two lines":   strings.ReplaceAll(usual, `,"choices":`, ",\ndata: \"choices\":"),
		"more after end marker":  usual + "data: {nonsense\n\n",
		"null where text may be": strings.ReplaceAll(usual, `"delta":{}`, `"delta":{"content":null}`),
	}
	for name, events := range shapes {
		for _, size := range []int{1, 2, 7, 64, 1 << 20} {
			t.Run(fmt.Sprintf("%s in packets of %d", name, size), func(t *testing.T) {
				s := serve(t, stream(events, size))
				c, _ := s.client(t)
				var got []string
				reply, err := c.Stream(t.Context(), []Message{User("Hello")}, func(piece string) error {
					got = append(got, piece)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, pieces) {
					t.Errorf("pieces are %q, want %q", got, pieces)
				}
				want := Reply{Text: answer, Model: "test-model-1", FinishReason: FinishStop, Usage: Usage{Input: 9, Output: 4}}
				if !reflect.DeepEqual(reply, want) {
					t.Errorf("reply is %+v, want %+v", reply, want)
				}
			})
		}
	}
}

func TestStreamFromServerThatDoesNotStream(t *testing.T) {
	s := serve(t, whole("All at once."))
	c, _ := s.client(t)
	var got []string
	reply, err := c.Stream(t.Context(), nil, func(piece string) error { got = append(got, piece); return nil })
	if err != nil || reply.Text != "All at once." || !reflect.DeepEqual(got, []string{"All at once."}) {
		t.Errorf("reply %+v, pieces %q, error %v", reply, got, err)
	}
}

func TestToolCalls(t *testing.T) {
	want := []ToolCall{{ID: "c1", Name: "water", Arguments: `{"ml":200}`}, {ID: "c2", Name: "wait", Arguments: `{}`}}
	answers := map[string]http.HandlerFunc{
		"whole": reply(http.StatusOK, `{"choices":[{"message":{"content":null,"tool_calls":[
			{"id":"c1","type":"function","function":{"name":"water","arguments":"{\"ml\":200}"}},
			{"id":"c2","type":"function","function":{"name":"wait","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`),
		"in parts": stream(`data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"water","arguments":""}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"ml\":"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"200}"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c2","function":{"name":"wait","arguments":"{}"}}]}}]}

data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}

data: [DONE]

`, 50),
		"all with index 0": stream(`data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"water","arguments":"{\"ml\":200}"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c2","function":{"name":"wait","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}

data: [DONE]

`, 50),
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer)
			c, _ := s.client(t)
			ask := func() (Reply, error) { return c.Stream(t.Context(), nil, func(string) error { return nil }) }
			if name == "whole" {
				ask = func() (Reply, error) { return c.Chat(t.Context(), nil) }
			}
			reply, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(reply.ToolCalls, want) || reply.FinishReason != FinishToolCalls {
				t.Errorf("reply is %+v, want calls %+v", reply, want)
			}
			var arguments struct{ ML int }
			if err := reply.ToolCalls[0].Decode(&arguments); err != nil || arguments.ML != 200 {
				t.Errorf("arguments are %+v, error %v", arguments, err)
			}
		})
	}
}

func TestCancelInTheMiddle(t *testing.T) {
	gone := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		stream(chunks("One, ", "two"), 1000)(w, r)
		<-r.Context().Done() // the client has hung up
		close(gone)
	})
	c, waits := s.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	reply, err := c.Stream(ctx, nil, func(piece string) error {
		if piece == "two" {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || reply.Text != "One, two" {
		t.Errorf("reply %+v, error %v", reply, err)
	}
	<-gone
	if len(*waits) != 0 || len(s.requests()) != 1 {
		t.Errorf("%d requests after waits of %v, want one request", len(s.requests()), *waits)
	}
}

func TestDeadline(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c, _ := s.client(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Chat(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}

func TestCallersError(t *testing.T) {
	s := serve(t, stream(chunks("One, ", "two")+streamEnd, 10))
	c, _ := s.client(t)
	enough := errors.New("enough")
	reply, err := c.Stream(t.Context(), nil, func(string) error { return enough })
	if err != enough || reply.Text != "One, " || len(s.requests()) != 1 {
		t.Errorf("reply %+v, error %v, %d requests", reply, err, len(s.requests()))
	}
}

func TestFromEnv(t *testing.T) {
	tests := []struct {
		name       string
		env        map[string]string
		configured bool
		want       string // String
	}{
		{"nothing", nil, false, "no model: neither OPENAI_API_KEY nor OPENAI_BASE_URL is set"},
		{"a model alone", map[string]string{"COMA_MODEL": "m"}, false, "no model: neither OPENAI_API_KEY nor OPENAI_BASE_URL is set"},
		{"a key alone", map[string]string{"OPENAI_API_KEY": testKey}, false, "no model: COMA_MODEL, the model's name, is not set"},
		{"OpenAI", map[string]string{"OPENAI_API_KEY": testKey, "COMA_MODEL": "m"}, true, "m at https://api.openai.com/v1"},
		{"a local server", map[string]string{"OPENAI_BASE_URL": " http://localhost:11434/v1/ ", "OPENAI_MODEL": "m"}, true, "m at http://localhost:11434/v1"},
		{"two names", map[string]string{"OPENAI_BASE_URL": "http://h", "OPENAI_MODEL": "m", "COMA_MODEL": "mine"}, true, "mine at http://h"},
		{"a password", map[string]string{"OPENAI_BASE_URL": "http://me:hidden@h/v1", "COMA_MODEL": "m"}, true, "m at http://me:xxxxx@h/v1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "COMA_MODEL"} {
				t.Setenv(name, test.env[name])
			}
			c := FromEnv()
			if c.Configured() != test.configured || c.String() != test.want {
				t.Errorf("configured %v, %q; want %v, %q", c.Configured(), c, test.configured, test.want)
			}
		})
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	c := New(Config{Key: testKey, Model: "m"})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, testKey) {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, text := range []string{`{"mood":"calm"}`, "```json\n{\"mood\":\"calm\"}\n```", "\n```\n{\"mood\":\"calm\"}\n```\n"} {
		var v struct{ Mood string }
		if err := (Reply{Text: text}).Decode(&v); err != nil || v.Mood != "calm" {
			t.Errorf("%q gives %+v, error %v", text, v, err)
		}
	}
	var v any
	if err := (Reply{Text: "Sure! Here it is.", Model: "m"}).Decode(&v); err == nil || !strings.Contains(err.Error(), "m: ") {
		t.Errorf("error is %v", err)
	}
}

func TestStandIn(t *testing.T) {
	// A stand-in that asked somebody all the same would reach this server.
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the stand-in made a request") }))
	defer web.Close()
	c := New(Config{BaseURL: web.URL})
	var streamed strings.Builder
	first, err := c.Stream(t.Context(), []Message{User("Hello there")}, func(piece string) error {
		streamed.WriteString(piece)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"No model is configured", "COMA_MODEL", "OPENAI_BASE_URL=", "OPENAI_API_KEY", "Hello there"} {
		if !strings.Contains(first.Text, part) {
			t.Errorf("%q does not say %q", first.Text, part)
		}
	}
	if streamed.String() != first.Text || first.Model != StandIn {
		t.Errorf("streamed %q, reply %+v", streamed.String(), first)
	}

	second, err := c.Chat(t.Context(), []Message{User("Hello there"), first.Message(), User("And now?")})
	if err != nil || !strings.Contains(second.Text, "And now?") || strings.Contains(second.Text, "OPENAI") {
		t.Errorf("second answer is %q, error %v", second.Text, err)
	}

	asJSON, err := c.Chat(t.Context(), []Message{User("Hello")}, JSON())
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]string
	if err := asJSON.Decode(&v); err != nil || !strings.Contains(v["no_model"], "No model") {
		t.Errorf("JSON answer is %q, error %v", asJSON.Text, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Chat(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func ExampleClient_Stream() {
	client := New(Config{}) // FromEnv in a module; this one has no model
	_, err := client.Stream(context.Background(), []Message{
		Assistant("(No model is configured …)"),
		User("How are you?"),
	}, func(piece string) error {
		fmt.Print(piece)
		return nil
	})
	fmt.Println()
	fmt.Println(err)
	// Output:
	// (No model is configured: I can only repeat.) You said: How are you?
	// <nil>
}
