package llm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const testKey = "sk-test-0123456789abcdef"

// server is a model's server for tests: it answers request after request with the given steps, the last one for all
// that follow, and remembers what was asked.
type server struct {
	URL string

	mu    sync.Mutex
	asked []string // bodies of the requests
	key   string   // Authorization of the last one
}

func serve(t *testing.T, steps ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read request: %v", err)
		}
		if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("request is %s %s", r.Method, r.URL.Path)
		}
		s.mu.Lock()
		step := steps[min(len(s.asked), len(steps)-1)]
		s.asked = append(s.asked, string(body))
		s.key = r.Header.Get("Authorization")
		s.mu.Unlock()
		step(w, r)
	}))
	t.Cleanup(web.Close)
	s.URL = web.URL + "/v1"
	return s
}

func (s *server) authorization() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// client returns a client for s that notes how long it would wait between tries instead of waiting.
func (s *server) client(t *testing.T) (*Client, *[]time.Duration) {
	t.Helper()
	c := New(Config{BaseURL: s.URL, Key: testKey, Model: "test-model"})
	var waits []time.Duration
	c.wait = func(ctx context.Context, d time.Duration) error {
		waits = append(waits, d)
		return ctx.Err()
	}
	return c, &waits
}

// whole answers with text as one JSON.
func whole(text string) http.HandlerFunc {
	return reply(http.StatusOK, fmt.Sprintf(
		`{"model":"test-model-1","choices":[{"message":{"role":"assistant","content":%s},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4}}`,
		quote(text)))
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(quoted)
}

func reply(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		if _, err := io.WriteString(w, body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// stream answers with server-sent events, cut into packets of size bytes.
func stream(events string, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for rest := events; rest != ""; {
			n := min(size, len(rest))
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			w.(http.Flusher).Flush()
			rest = rest[n:]
		}
	}
}

// cut is stream whose connection breaks at the end.
func cut(events string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream(events, 100)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// chunks is the stream of an answer in these pieces, as OpenAI sends it.
func chunks(pieces ...string) string {
	var b strings.Builder
	b.WriteString(`data: {"model":"test-model-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n")
	for _, piece := range pieces {
		fmt.Fprintf(&b, `data: {"model":"test-model-1","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}`+"\n\n", quote(piece))
	}
	return b.String()
}

const streamEnd = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
	`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}}` + "\n\n" +
	"data: [DONE]\n\n"
