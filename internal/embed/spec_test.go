package embed

import (
	"errors"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestParse(t *testing.T) {
	for spec, want := range map[string]string{
		"":                                   "minilm",
		"minilm":                             "minilm",
		"hash":                               "hashing-1",
		"hashing-1":                          "hashing-1",
		"none":                               "none",
		"openai":                             "openai:text-embedding-3-small",
		"openai:text-embedding-3-large":      "openai:text-embedding-3-large",
		"ollama":                             "ollama:nomic-embed-text",
		"ollama:mxbai-embed-large:335m":      "ollama:mxbai-embed-large:335m",
		"https://host/v1#m":                  "https://host/v1#m",
		"https://host/v1/#a/b:c":             "https://host/v1#a/b:c",
		"http://127.0.0.1:8080/v1":           "http://127.0.0.1:8080/v1",
		"http://[::1]:8080":                  "http://[::1]:8080",
		"https://host/v1#two%20words":        "its model's name cannot be one",
		"https://me:hunter2@host/v1":         "COMA_EMBEDDER_KEY",
		"https://host/v1?key=x":              "query",
		"https:///v1":                        "names no host",
		"ftp://host/v1":                      "neither http nor https",
		"openia":                             `did you mean "openai"`,
		"minilm:large":                       "one model only",
		"https://host/v1#a%25b":              "model's name cannot",
		"openai:":                            "model's name",
		"ollama:two words":                   "model's name",
		"MiniLM":                             `did you mean "minilm"`,
		"hashing-2":                          "no embedder is called",
		"nomic-embed-text":                   "no embedder is called",
		"://x":                               "not a URL",
		"openai:" + strings.Repeat("m", 300): "model's name",
	} {
		got, err := Parse(spec)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q: %v", spec, err)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q in it", spec, err, want)
			}
			continue
		}
		if got.String() != want {
			t.Errorf("%q is %q, want %q", spec, got, want)
		}
	}
}

func TestOllamaAddress(t *testing.T) {
	for host, want := range map[string]string{
		"":                        "http://127.0.0.1:11434/api",
		"0.0.0.0":                 "http://127.0.0.1:11434/api",
		"0.0.0.0:9000":            "http://127.0.0.1:9000/api",
		"[::]:9000":               "http://127.0.0.1:9000/api",
		"gpu.lan":                 "http://gpu.lan:11434/api",
		"https://gpu.lan/ollama/": "https://gpu.lan:443/ollama/api",
	} {
		if got, err := ollamaBase(host); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", host, got, err, want)
		}
	}
	if _, err := ollamaBase("http://"); err == nil || !strings.Contains(err.Error(), "OLLAMA_HOST") {
		t.Errorf("no host: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, spec := range []string{"minilm", "openai:m", "https://host/v1#model", "http://u:p@h", "ollama:a:b", "http://h/a%2fb#a%25b", "http://h//"} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := Parse(text)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Fatalf("%q: %v is not invalid", text, err)
			}
			return
		}
		// What a memory remembers must be found again, and stay the same.
		again, err := Parse(spec.String())
		if err != nil || again != spec {
			t.Fatalf("%q is %+v, and its name %q is %+v: %v", text, spec, spec.String(), again, err)
		}
	})
}
