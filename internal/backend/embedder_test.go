package backend_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// embedderOf tells whose the vectors of agent a's memory are.
func embedderOf(t *testing.T, b api.Backend) string {
	t.Helper()
	infos, err := b.Memories(t.Context(), false)
	if err != nil || len(infos) != 1 {
		t.Fatalf("%+v, %v", infos, err)
	}
	return infos[0].Embedder
}

// remember adds a text as a module of the agent that is run would.
func remember(t *testing.T, h api.Host, text string) error {
	t.Helper()
	s, err := h.Open(t.Context(), api.Identity{Agent: "a", Module: "m", Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Memory().Add(t.Context(), []api.Record{{Text: text}})
	return errors.Join(err, s.Close(api.Finished))
}

func TestEmbedderThatIsAskedFor(t *testing.T) {
	for _, test := range []struct{ attached, environment, want string }{
		{"", "", "minilm"},
		{"hash", "", "hashing-1"},
		{"", "hash", "hashing-1"},
		{"hash", "minilm", "hashing-1"},
	} {
		b := open(t, func(o *backend.Options) { o.Embedder = test.environment })
		h, err := b.Attach(t.Context(), api.Attachment{Agent: "a", Memory: api.MemorySettings{Embedder: test.attached}}, newConsole())
		if err != nil {
			t.Fatal(err)
		}
		if err := remember(t, h, "the soil is dry"); err != nil {
			t.Error(err)
		}
		if got := embedderOf(t, b); got != test.want {
			t.Errorf("coma.yaml %q, COMA_EMBEDDER %q: %s, want %s", test.attached, test.environment, got, test.want)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestEmbeddersThatMeanNothing(t *testing.T) {
	b := open(t)
	_, err := b.Attach(t.Context(), api.Attachment{Agent: "a", Memory: api.MemorySettings{Embedder: "openia"}}, newConsole())
	if !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), `did you mean "openai"`) {
		t.Errorf("%v", err)
	}
	if _, err := backend.Open(backend.Options{Embedder: "openia", Offline: true}); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "COMA_EMBEDDER") {
		t.Errorf("%v", err)
	}
}

func TestEmbedderThatCannotWorkIsToldAtTheStartAndAtEachAdd(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	t.Setenv("OPENAI_API_KEY", "")
	t.Setenv("OPENAI_BASE_URL", "")
	for embedder, want := range map[string]string{"openai": "OPENAI_API_KEY is not set", gone.URL + "/v1#m": "does the service run?"} {
		t.Run(embedder, func(t *testing.T) {
			b := open(t)
			console := newConsole()
			h, err := b.Attach(t.Context(), api.Attachment{Agent: "a", Memory: api.MemorySettings{Embedder: embedder}}, console)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case line := <-console.logs:
				if !strings.HasPrefix(line, ": memory: the embedder ") || !strings.Contains(line, want) || strings.Contains(line, "\n") {
					t.Errorf("%q, want %q", line, want)
				}
			case <-time.After(20 * time.Second):
				t.Error("nothing is told")
			}
			for range 2 {
				if err := remember(t, h, "the soil is dry"); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("add: %v, want %q", err, want)
				}
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMemoriesThatToolsHold(t *testing.T) {
	for _, daemon := range []bool{false, true} {
		t.Run(fmt.Sprintf("daemon %t", daemon), func(t *testing.T) { testHeldMemories(t, daemon) })
	}
}

func testHeldMemories(t *testing.T, daemon bool) {
	b := open(t, func(o *backend.Options) { o.Embedder, o.Daemon = "hash", daemon })
	client, err := link.Dial(t.Context(), socket(t, b), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.OpenMemory(t.Context(), "a"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	for range 2 { // the second time it is there
		if err := client.CreateMemory(t.Context(), "a", ""); err != nil {
			t.Fatal(err)
		}
	}
	m, err := client.OpenMemory(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Add(t.Context(), []api.Record{{Text: "held"}}); err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveMemory(t.Context(), "a"); !errors.Is(err, api.ErrInUse) {
		t.Errorf("removed while it is held: %v", err)
	}
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	if n, err := m.Count(t.Context(), nil); err != nil || n != 1 { // each call opens it for itself
		t.Errorf("%d, %v", n, err)
	}
	if err := b.RemoveMemory(t.Context(), "a"); err != nil {
		t.Errorf("%v", err)
	}
	if err := client.CreateMemory(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := client.OpenMemory(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// A connection that ends gives back what it held.
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	deadline := time.After(20 * time.Second)
	for {
		err := b.RemoveMemory(t.Context(), "a")
		if err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestReembedOverTheLink(t *testing.T) {
	b := open(t)
	client, err := link.Dial(t.Context(), socket(t, b), "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.CreateMemory(t.Context(), "a", "hash"); err != nil {
		t.Fatal(err)
	}
	m, err := client.OpenMemory(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	records := make([]api.Record, 3000)
	for i := range records {
		records[i].Text = fmt.Sprint("text ", i)
	}
	if _, err := m.Add(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if got := embedderOf(t, b); got != "hashing-1" {
		t.Errorf("made for hash, and has vectors of %s", got)
	}
	var told [][2]int
	info, err := client.ReembedMemory(t.Context(), "a", "none", func(done, total int) { told = append(told, [2]int{done, total}) })
	if err != nil || info.Embedder != "none" || info.Records != len(records) {
		t.Fatalf("%+v, %v", info, err)
	}
	if len(told) == 0 || told[len(told)-1] != [2]int{3000, 3000} {
		t.Errorf("told %v", told)
	}
	for embedder, want := range map[string]error{"openia": api.ErrInvalid, "hash": nil} {
		if _, err := client.ReembedMemory(t.Context(), "a", embedder, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", embedder, err)
		}
	}
	if _, err := client.ReembedMemory(t.Context(), "b", "hash", nil); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a memory that is not there: %v", err)
	}
	if matches, err := m.Query(t.Context(), api.Query{Text: "text 7", K: 1}); err != nil || len(matches) != 1 || matches[0].Text != "text 7" {
		t.Errorf("%+v, %v", matches, err)
	}
	if info, err := client.CompactMemory(t.Context(), "a"); err != nil || info.Records != len(records) {
		t.Errorf("compact: %+v, %v", info, err)
	}
	if err := errors.Join(client.CreateMemory(t.Context(), "a", "hash"), client.CreateMemory(t.Context(), "a", "")); err != nil {
		t.Errorf("made again for its own embedder: %v", err)
	}
	if err := client.CreateMemory(t.Context(), "a", "minilm"); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("made again for another: %v", err)
	}
}

// TestWhoRunsAnAgentChoosesForAMemoryThatIsOpen: a tool may have opened it before.
func TestWhoRunsAnAgentChoosesForAMemoryThatIsOpen(t *testing.T) {
	b := open(t)
	if err := b.CreateMemory(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	m, err := b.OpenMemory(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	h := attach(t, b, api.Attachment{Memory: api.MemorySettings{Embedder: "hash", Limit: 2}}, newConsole())
	for i := range 3 {
		if err := remember(t, h, fmt.Sprint("text ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := m.Count(t.Context(), nil); err != nil || n != 2 || embedderOf(t, b) != "hashing-1" {
		t.Errorf("%d records of %s, %v", n, embedderOf(t, b), err)
	}
}

func TestAnotherEmbedderThanTheMemorysIsToldAtTheStart(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{Memory: api.MemorySettings{Embedder: "hash"}}, newConsole())
	if err := errors.Join(remember(t, h, "the soil is dry"), h.Close()); err != nil {
		t.Fatal(err)
	}
	console := newConsole()
	h = attach(t, b, api.Attachment{Memory: api.MemorySettings{Embedder: "none"}}, console)
	select {
	case line := <-console.logs:
		if want := "its vectors are of hashing-1, and none is asked for"; !strings.Contains(line, want) || !strings.Contains(line, "coma memory reembed a") {
			t.Errorf("%q, want %q", line, want)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is told")
	}
	if err := remember(t, h, "the soil is wet"); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "coma memory reembed") {
		t.Errorf("add: %v", err)
	}
	// A memory that is empty takes any embedder.
	m, err := b.OpenMemory(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Close(), h.Close()); err != nil {
		t.Fatal(err)
	}
	console = newConsole()
	h = attach(t, b, api.Attachment{Memory: api.MemorySettings{Embedder: "none"}}, console)
	if err := errors.Join(remember(t, h, "the soil is wet"), h.Close()); err != nil { // Close waits for what is looked at
		t.Error(err)
	}
	select {
	case line := <-console.logs:
		t.Errorf("told for nothing: %q", line)
	default:
	}
}

// TestMemoriesKnowTheirServiceAgain: nobody has to name a memory's own embedder a second time.
func TestMemoriesKnowTheirServiceAgain(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Input, Model string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Model != "letters" || r.Header.Get("Authorization") != "Bearer k" {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"data":[{"embedding":[%d,%d,1]}]}`, strings.Count(asked.Input, "a"), strings.Count(asked.Input, "o"))
	}))
	defer service.Close()
	t.Setenv("COMA_EMBEDDER_KEY", "k")
	name := service.URL + "/v1#letters"
	b := open(t)
	h := attach(t, b, api.Attachment{Memory: api.MemorySettings{Embedder: name}}, newConsole())
	for _, text := range []string{"banana", "cocoon"} {
		if err := remember(t, h, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	query := func() ([]api.Match, error) {
		m, err := b.OpenMemory(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		return m.Query(t.Context(), api.Query{Text: "room", K: 1})
	}
	if matches, err := query(); err != nil || len(matches) != 1 || matches[0].Text != "cocoon" {
		t.Errorf("%+v, %v", matches, err)
	}
	h = attach(t, b, api.Attachment{}, newConsole())
	if err := remember(t, h, "avocado"); err != nil {
		t.Error(err)
	}
	if got := embedderOf(t, b); got != name {
		t.Errorf("its vectors are of %s", got)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	service.Close()
	console := newConsole()
	h = attach(t, b, api.Attachment{}, console)
	select {
	case line := <-console.logs: // nobody has asked for it, and it is missed all the same
		if !strings.Contains(line, "does the service run?") {
			t.Errorf("%q", line)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is told")
	}
	if err := remember(t, h, "mango"); err == nil || !strings.Contains(err.Error(), "does the service run?") {
		t.Errorf("add while the service is away: %v", err)
	}
	m, err := b.OpenMemory(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if records, err := m.Get(t.Context(), api.Selection{}); err != nil || len(records) != 3 {
		t.Errorf("%d records, %v", len(records), err)
	}
}
