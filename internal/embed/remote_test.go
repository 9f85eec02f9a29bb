package embed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// service is a server that speaks the wire of OpenAI and of Ollama. The vector of a text is its length, and 1.
type service struct {
	*httptest.Server
	key    string                                 // "": any
	answer func(http.ResponseWriter, string) bool // nil, or false: the usual answer

	mu      sync.Mutex
	texts   []string
	models  []string
	keys    []string
	inside  int
	highest int
}

func serve(t *testing.T) *service {
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.Close)
	return s
}

func (s *service) handle(w http.ResponseWriter, r *http.Request) {
	var body struct{ Model, Input, Prompt string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Method != http.MethodPost {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	text := body.Input + body.Prompt
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	s.texts, s.models, s.keys = append(s.texts, text), append(s.models, body.Model), append(s.keys, key)
	s.inside++
	s.highest = max(s.highest, s.inside)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inside--
		s.mu.Unlock()
	}()
	if s.key != "" && key != s.key {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if s.answer != nil && s.answer(w, text) {
		return
	}
	switch r.URL.Path {
	case "/v1/embeddings":
		fmt.Fprintf(w, `{"data":[{"embedding":[%d,1]}]}`, len(text))
	case "/api/embeddings":
		fmt.Fprintf(w, `{"embedding":[%d,1]}`, len(text))
	default:
		http.NotFound(w, r)
	}
}

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func find(t *testing.T, spec string, env map[string]string) memory.Embedder {
	t.Helper()
	e, err := NewLibrary(environment(env)).Find(spec)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := e.(*cached); ok {
		if r, ok := c.Embedder.(*remote); ok {
			r.pause = 1 // nanosecond: what is repeated, and how often, is what matters here
		}
	}
	return e
}

func TestServices(t *testing.T) {
	s := serve(t)
	s.key = "k"
	for _, test := range []struct {
		spec, name, model string
		env               map[string]string
	}{
		{"openai", "openai:text-embedding-3-small", "text-embedding-3-small", map[string]string{"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": s.URL + "/v1/"}},
		{"openai:big", "openai:big", "big", map[string]string{"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": s.URL + "/v1"}},
		{s.URL + "/v1/#own", s.URL + "/v1#own", "own", map[string]string{"COMA_EMBEDDER_KEY": "k", "OPENAI_API_KEY": "not for others"}},
	} {
		e := find(t, test.spec, test.env)
		if e.Name() != test.name || e.Dimension() != 0 {
			t.Errorf("%s is %s with %d dimensions before its first vector", test.spec, e.Name(), e.Dimension())
		}
		vectors, err := e.Embed(t.Context(), []string{"abc", "a", "abc"})
		if err != nil {
			t.Fatalf("%s: %v", test.spec, err)
		}
		if !slices.Equal(vectors[0], vectors[2]) || vectors[0][0] <= vectors[1][0] || e.Dimension() != 2 {
			t.Errorf("%s: %v, %d dimensions", test.spec, vectors, e.Dimension())
		}
		if s.models[len(s.models)-1] != test.model {
			t.Errorf("%s asked for model %s", test.spec, s.models[len(s.models)-1])
		}
	}
	s.key = ""
	e := find(t, "ollama:tiny", map[string]string{"OLLAMA_HOST": s.URL})
	if v, err := e.Embed(t.Context(), []string{"abc"}); err != nil || len(v[0]) != 2 {
		t.Errorf("ollama: %v, %v", v, err)
	}
	if slices.Contains(s.keys, "not for others") {
		t.Error("OpenAI's key went elsewhere")
	}
}

func TestServicesThatFail(t *testing.T) {
	s := serve(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	s.key = "right"
	for _, test := range []struct {
		name, spec string
		env        map[string]string
		want       string
	}{
		{"no key", "openai", nil, "OPENAI_API_KEY is not set"},
		{"wrong key", "openai", map[string]string{"OPENAI_API_KEY": "wrong-key", "OPENAI_BASE_URL": s.URL + "/v1"}, "is OPENAI_API_KEY the right one"},
		{"wrong key by URL", s.URL + "/v1#m", map[string]string{"COMA_EMBEDDER_KEY": "wrong-key"}, "is COMA_EMBEDDER_KEY the right one"},
		{"wrong path", s.URL + "/v2#m", map[string]string{"COMA_EMBEDDER_KEY": "right"}, "up to /v1"},
		{"away", gone.URL + "/v1", nil, "does the service run?"},
		{"ollama away", "ollama", map[string]string{"OLLAMA_HOST": gone.URL}, "ollama serve"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := find(t, test.spec, test.env)
			for range 2 { // each time, not only the first
				_, err := e.Embed(t.Context(), []string{"a", "b", "c"})
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "wrong-key") {
					t.Errorf("%v, want %q in it", err, test.want)
				}
			}
			if err := Ready(t.Context(), e); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("ready: %v", err)
			}
		})
	}
}

func TestServiceWithTooMuchToDoIsAskedAgain(t *testing.T) {
	s := serve(t)
	var asked atomic.Int64
	s.answer = func(w http.ResponseWriter, _ string) bool {
		if asked.Add(1) < 3 {
			http.Error(w, "later", http.StatusTooManyRequests)
			return true
		}
		return false
	}
	e := find(t, s.URL+"/v1", nil)
	if v, err := e.Embed(t.Context(), []string{"a"}); err != nil || len(v[0]) != 2 {
		t.Errorf("%v, %v", v, err)
	}
	asked.Store(-1000)
	_, err := e.Embed(t.Context(), []string{"b"})
	if n := asked.Load() + 1000; n != maxAttempts || err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("asked %d times: %v", n, err)
	}
}

func TestServiceThatChangesItsModel(t *testing.T) {
	s := serve(t)
	e := find(t, s.URL+"/v1", nil)
	if err := Ready(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	s.answer = func(w http.ResponseWriter, _ string) bool {
		fmt.Fprint(w, `{"data":[{"embedding":[1,0,0]}]}`)
		return true
	}
	if _, err := e.Embed(t.Context(), []string{"a"}); err == nil || !strings.Contains(err.Error(), "3 dimensions, and 2 before") {
		t.Errorf("%v", err)
	}
}

func TestRequestsAreBoundedAndEndWithTheContext(t *testing.T) {
	s := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	var entered atomic.Int64
	release := make(chan struct{})
	s.answer = func(http.ResponseWriter, string) bool {
		if entered.Add(1) == atOnce {
			cancel()
		}
		<-release
		return false
	}
	e := find(t, s.URL+"/v1", nil)
	texts := make([]string, 50)
	for i := range texts {
		texts[i] = fmt.Sprint("text ", i)
	}
	_, err := e.Embed(ctx, texts)
	close(release)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.highest != atOnce || len(s.texts) != atOnce {
		t.Errorf("%d requests, %d at the same time", len(s.texts), s.highest)
	}
}

func TestHalfOfAFailedRequestIsKept(t *testing.T) {
	s := serve(t)
	s.answer = func(w http.ResponseWriter, text string) bool {
		if text == "bad" {
			http.Error(w, "no", http.StatusBadRequest)
			return true
		}
		return false
	}
	e := find(t, s.URL+"/v1", nil)
	if _, err := e.Embed(t.Context(), []string{"good"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Embed(t.Context(), []string{"good", "bad"}); err == nil {
		t.Fatal("nothing failed")
	}
	s.answer = nil
	if _, err := e.Embed(t.Context(), []string{"good", "bad"}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"good", "bad", "bad"}; !slices.Equal(s.texts, want) {
		t.Errorf("asked for %q, want %q", s.texts, want)
	}
}
