package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// realChroma starts the real Chroma and returns its address. The test is skipped where there is none.
func realChroma(t *testing.T) string {
	t.Helper()
	command, err := peers.Chroma()
	if err != nil {
		t.Skip(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err := errors.Join(err, listener.Close()); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(command, "run", "--path", filepath.Join(t.TempDir(), "chroma"), "--host", "127.0.0.1", "--port", port)
	server.Dir = t.TempDir()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		server.Wait() // killed, below
		close(ended)
	}()
	t.Cleanup(func() {
		server.Process.Kill() // gone already: the test has said so
		<-ended
	})
	address := "http://127.0.0.1:" + port
	deadline := time.After(time.Minute)
	for {
		if resp, err := http.Get(address + "/api/v2/heartbeat"); err == nil {
			resp.Body.Close()
			return address
		}
		select {
		case <-ended:
			t.Fatal("chroma has ended at once")
		case <-deadline:
			t.Fatal("chroma does not answer")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestChromaThereAndBack(t *testing.T) {
	address := realChroma(t)
	m := open(t)
	fill(t, m, 1500)
	place := address + "/a-garden"
	sink, err := ToChroma(t.Context(), place, "minilm")
	if err != nil {
		t.Fatal(err)
	}
	// Broken off in the middle, and begun again.
	ctx, cancel := context.WithCancel(t.Context())
	result, err := Export(ctx, m, sink, true, func(done int, _ float64) {
		if done > 600 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || result.Carried == 0 || result.Carried >= 1200 {
		t.Fatalf("%+v, %v", result, err)
	}
	for round, carried := range []int{1200 - result.Carried, 0} {
		result, err := Export(t.Context(), m, sink, true, quiet)
		if want := (Result{Carried: carried, There: 1200 - carried, Left: 300}); err != nil || result != want {
			t.Fatalf("round %d: %+v, %v, want %+v", round, result, err, want)
		}
	}

	copied := open(t)
	for round, want := range []Result{{Carried: 1200}, {There: 1200}} {
		source, err := FromChroma(t.Context(), place, true, "")
		if err != nil {
			t.Fatal(err)
		}
		if source.Embedder() != "minilm" {
			t.Errorf("its vectors are by %q", source.Embedder())
		}
		result, err := Import(t.Context(), copied, source, false, quiet)
		if err != nil || result != want || source.Part() != 1 {
			t.Fatalf("round %d: %+v, %v, part %v", round, result, err, source.Part())
		}
	}
	got := map[string]api.Record{}
	for _, r := range all(t, copied) {
		got[r.ID] = r
	}
	for _, want := range all(t, m) {
		r, there := got[want.ID]
		if there != (want.Vector != nil) {
			t.Fatalf("%s is there: %t", want.ID, there)
		}
		if !there {
			continue
		}
		want.Metadata = timed(want)
		if !r.Time.Equal(want.Time) {
			t.Fatalf("%s is of %v, was of %v", r.ID, r.Time, want.Time)
		}
		r.Time = want.Time
		if !reflect.DeepEqual(r, want) {
			t.Fatalf("%+v was %+v", r, want)
		}
	}

	if _, err := FromChroma(t.Context(), place, true, "openai:m"); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("vectors of two embedders: %v", err)
	}
	if _, err := FromChroma(t.Context(), address+"/another", true, ""); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("no such collection: %v", err)
	}
	if _, err := ToChroma(t.Context(), address+"/x", ""); err == nil { // Chroma wants three letters at least
		t.Error("a name that Chroma does not take")
	}
}

func TestChromaAddresses(t *testing.T) {
	for place, want := range map[string]string{
		"http://host:8000/a":                           "http://host:8000/api/v2/tenants/default_tenant/databases/default_database a",
		"https://host/a%20b/?tenant=l%2Fab&database=g": "https://host/api/v2/tenants/l%2Fab/databases/g a b",
		"http://host:8000":                             "names no collection",
		"http://host:8000/api/v2":                      "names no collection",
		"http://me:hunter2@host/a":                     "CHROMA_API_KEY",
		"http://host/a?x=y":                            "only tenant and database",
		"http://host/a#b":                              "too much",
		"http:///a":                                    "names no host",
		"http://[":                                     "not a URL",
	} {
		s, name, err := parseCollection(place)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want %q", place, err, want)
			}
			continue
		}
		if got := s.base + " " + name; got != want {
			t.Errorf("%s: %s, want %s", place, got, want)
		}
	}
}

func TestChromaThatFails(t *testing.T) {
	t.Setenv(ChromaKey, "secret-key")
	var answer func(http.ResponseWriter, *http.Request)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another server was asked, with key %q", r.Header.Get("X-Chroma-Token"))
	}))
	defer other.Close()
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   string
	}{
		"refuses": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Chroma-Token") != "secret-key" {
				t.Error("the key is not given")
			}
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":"AuthError","message":"Forbidden"}`)
		}, "Forbidden; is its key in CHROMA_API_KEY?"},
		"speaks otherwise": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "no Chroma server of API version 2"},
		"another service":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what?", http.StatusTeapot) }, "chroma: what?"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "status 307"},
	} {
		t.Run(name, func(t *testing.T) {
			answer = test.answer
			_, err := ToChroma(t.Context(), s.URL+"/garden", "minilm")
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret-key") {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	s.Close()
	if _, err := FromChroma(t.Context(), s.URL+"/garden", true, ""); err == nil || !strings.Contains(err.Error(), "does a server run there") {
		t.Errorf("nobody there: %v", err)
	}
}
