// Package examples_test runs the examples as their READMEs say, with the real command, and looks whether what the READMEs
// promise is what happens.
package examples_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestEcho(t *testing.T) {
	h := newHome(t)
	a := h.run("echo")
	a.begin(2)
	for n := 1; n <= 2; n++ {
		e := a.await("hello", func(e event) bool { return e.Module == "receiver" && strings.Contains(e.Text, "hello") })
		if want := fmt.Sprint("echo/sender says: hello ", n); e.Text != want {
			t.Fatalf("receiver logged %q, want %q", e.Text, want)
		}
	}
	h.Coma("", "send", "echo/receiver", "good morning")
	a.logged("receiver", "cli says: good morning")
	a.Stop()

	// The count goes on where it was, in the next run.
	last := 0
	for _, e := range a.Events() {
		fmt.Sscanf(e.Text, "echo/sender says: hello %d", &last)
	}
	b := h.run("echo")
	e := b.await("hello", func(e event) bool { return strings.Contains(e.Text, "hello") })
	n := 0
	if _, err := fmt.Sscanf(e.Text, "echo/sender says: hello %d", &n); err != nil || n != last+1 {
		t.Errorf("after hello %d and a new start: %q", last, e.Text)
	}
}

func TestChatWithoutAModel(t *testing.T) {
	h := newHome(t)
	out := h.Coma("My name is Ada.\nI keep bees.\n", "run", "--once", "--quiet", "--backend", "own", "chat")
	for _, want := range []string{
		"agent: (No model is configured", "OPENAI_BASE_URL=http://", "OPENAI_API_KEY", "COMA_MODEL",
		"You said: My name is Ada.", "You said: I keep bees.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the conversation lacks %q:\n%s", want, out)
		}
	}
	shown := h.Coma("", "memory", "show", "chat")
	for _, want := range []string{"The person said: My name is Ada.", "The person said: I keep bees.", "by=memory_organizer"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the memory lacks %q:\n%s", want, shown)
		}
	}
}

// model is a server with OpenAI's API: to requests for a stream it says the pieces of a greeting, to others a fact.
func model(t *testing.T) (url string, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var request struct {
			Model  string
			Stream bool
		}
		if err := json.Unmarshal(body, &request); err != nil {
			t.Errorf("request %s: %v", body, err)
		}
		if r.URL.Path != "/v1/chat/completions" || request.Model != "test-model" {
			t.Errorf("%s asks for model %q", r.URL.Path, request.Model)
		}
		if !request.Stream {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"- The person's name is Ada."},"finish_reason":"stop"}]}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, piece := range []string{"Good ", "morning", ", Ada!"} {
			fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", piece)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1", asked
}

func TestChatWithAModel(t *testing.T) {
	h := newHome(t)
	url, asked := model(t)
	h.Env = append(h.Env, "OPENAI_BASE_URL="+url, "COMA_MODEL=test-model")
	out := h.Coma("My name is Ada.\n", "run", "--once", "--quiet", "--backend", "own", "chat") // no line of coma's own gets into the answer
	if !strings.Contains(out, "agent: Good morning, Ada!\n") || strings.Contains(out, "No model") {
		t.Errorf("the conversation:\n%s", out)
	}
	shown := h.Coma("", "memory", "show", "chat")
	if !strings.Contains(shown, "The person's name is Ada.") || strings.Contains(shown, "- The person") {
		t.Errorf("the memory:\n%s", shown)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the model was asked %d times, want once by chat and once by memory_organizer", n)
	}
}

func TestMuse(t *testing.T) {
	h := newHome(t)
	h.Coma("the tomato plant is dry!\nthe cat sleeps\n", "run", "--once", "--backend", "own", "muse")
	out := h.Coma("the tomato plant is thirsty\n", "run", "--once", "--backend", "own", "muse")
	_, matters, _ := strings.Cut(out, "what matters for it: ")
	_, comes, _ := strings.Cut(out, "what comes to mind: ")
	if !strings.HasPrefix(matters, "the tomato plant is dry!") || !strings.HasPrefix(comes, "the ") {
		t.Errorf("it thinks of:\n%s", out)
	}
	if shown := h.Coma("", "memory", "show", "muse"); !strings.Contains(shown, "importance=2") || !strings.Contains(shown, "the cat sleeps") {
		t.Errorf("the memory:\n%s", shown)
	}
}

func TestDeclarative(t *testing.T) {
	h := newHome(t)
	program := filepath.Join(h.Dir, "declarative")
	if out, err := exec.Command("go", "build", "-o", program, "./declarative").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	remembers := func(a *agent) int {
		t.Helper()
		e := a.await("memory", func(e event) bool { return strings.Contains(e.Text, "and I remember") })
		_, number, _ := strings.Cut(e.Text, "and I remember ")
		n := 0
		if _, err := fmt.Sscanf(number, "%d times", &n); err != nil {
			t.Fatalf("%q: %v", e.Text, err)
		}
		return n
	}

	first := h.start(exec.Command(program))
	if n := remembers(first); n != 1 {
		t.Errorf("in its first life it remembers %d times at first", n)
	}
	list := h.Coma("", "ps")
	for _, want := range []string{"declarative", "clock", "keeper", "running"} {
		if !strings.Contains(list, want) {
			t.Errorf("coma ps lacks %q:\n%s", want, list)
		}
	}
	h.Coma("", "send", "declarative/keeper", "half past never")
	first.await("half past never", func(e event) bool { return strings.Contains(e.Text, "it is half past never and I remember") })
	if shown := h.Coma("", "memory", "show", "declarative"); !strings.Contains(shown, "cli said it was half past never") {
		t.Errorf("the memory:\n%s", shown)
	}
	first.Stop()

	second := h.start(exec.Command(program))
	if n := remembers(second); n < 3 {
		t.Errorf("in its second life it remembers %d times at first", n)
	}
}
