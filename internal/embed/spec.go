package embed

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/nearest"
)

// Names of embedders. OpenAI and Ollama may be followed by ":" and a model's name.
const (
	MiniLM = "minilm" // all-MiniLM-L6-v2, inside this program; the default
	Hash   = "hash"   // spelling only, no model: memory.Hashing
	None   = "none"   // texts are stored without vectors; those that modules give are kept
	OpenAI = "openai" // OpenAI's service; needs OPENAI_API_KEY
	Ollama = "ollama" // a local Ollama, at OLLAMA_HOST

	// Default is what is used where nobody says otherwise.
	Default = MiniLM

	hashName = "hashing-1" // what memories remember of Hash
)

// Known are the words that a spec can begin with, for those who offer them.
func Known() []string { return []string{MiniLM, Hash, None, OpenAI, Ollama, "https://host/v1#model"} }

// Spec is a checked name of an embedder.
type Spec struct {
	Kind  string // MiniLM, Hash, None, OpenAI, Ollama, or URL
	Model string // of the last three
	Base  string // of URL: where "/embeddings" is appended
}

// URL is the Kind of a service that speaks as OpenAI's does: "https://host/v1", with "#model" where it has several.
const URL = "url"

// Parse reads a name as users write it, or as a memory remembers it; "" is the default. Errors wrap api.ErrInvalid.
func Parse(spec string) (Spec, error) {
	kind, model, hasModel := strings.Cut(spec, ":")
	if strings.Contains(spec, "://") {
		return parseURL(spec)
	}
	s := Spec{Kind: kind, Model: model}
	switch kind {
	case "":
		s.Kind = Default
	case hashName:
		s.Kind = Hash
	case OpenAI:
		if !hasModel {
			s.Model = defaultOpenAI
		}
		hasModel = false
	case Ollama:
		if !hasModel {
			s.Model = defaultOllama
		}
		hasModel = false
	case MiniLM, Hash, None:
	default:
		return Spec{}, fmt.Errorf("no embedder is called %q%s: known are %s: %w",
			shortened(spec), nearest.Hint(kind, Known()), strings.Join(Known(), ", "), api.ErrInvalid)
	}
	switch {
	case hasModel:
		return Spec{}, fmt.Errorf("embedder %q: %s has one model only: write %s: %w", shortened(spec), s.Kind, s.Kind, api.ErrInvalid)
	case (s.Kind == OpenAI || s.Kind == Ollama) && !goodModel(s.Model):
		return Spec{}, fmt.Errorf("embedder %q: want the model's name after the colon: %w", shortened(spec), api.ErrInvalid)
	}
	return s, nil
}

func parseURL(spec string) (Spec, error) {
	bad := func(why string) (Spec, error) {
		return Spec{}, fmt.Errorf("embedder %s: %s; want https://host/v1#model: %w", shown(spec), why, api.ErrInvalid)
	}
	u, err := url.Parse(spec)
	switch {
	case err != nil:
		return bad("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("neither http nor https")
	case u.Host == "":
		return bad("it names no host")
	case u.User != nil:
		return bad("secrets do not belong in a name; put the key in " + KeyVariable)
	case u.RawQuery != "" || u.ForceQuery:
		return bad("it has a query (?…)")
	case u.Fragment != "" && !goodModel(u.Fragment):
		return bad("its model's name cannot be one")
	}
	model := u.Fragment
	u.Fragment, u.RawFragment = "", ""
	return Spec{Kind: URL, Model: model, Base: strings.TrimRight(u.String(), "/")}, nil
}

// shown is a spec for an error, without what may be a password.
func shown(spec string) string {
	scheme, rest, _ := strings.Cut(spec, "://")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "…" + rest[at:]
	}
	return fmt.Sprintf("%q", shortened(scheme+"://"+rest))
}

// goodModel says whether a model can have that name: it stands in file headers, tables and YAML.
func goodModel(model string) bool {
	return model != "" && len(model) <= 200 && !strings.ContainsFunc(model, func(r rune) bool { return r <= ' ' || strings.ContainsRune("#%\x7f", r) })
}

func shortened(text string) string {
	if letters := []rune(text); len(letters) > 60 {
		return string(letters[:59]) + "…"
	}
	return text
}

// String is the name that memories remember. Parse reads it.
func (s Spec) String() string {
	switch s.Kind {
	case Hash:
		return hashName
	case OpenAI, Ollama:
		return s.Kind + ":" + s.Model
	case URL:
		if s.Model == "" {
			return s.Base
		}
		return s.Base + "#" + s.Model
	}
	return s.Kind
}

// Same says whether two names are of one embedder, as "hash" and "hashing-1" are.
func Same(name, other string) bool {
	a, errA := Parse(name)
	b, errB := Parse(other)
	return errA == nil && errB == nil && a == b
}

// Remote says whether texts leave this program.
func (s Spec) Remote() bool { return s.Kind == OpenAI || s.Kind == Ollama || s.Kind == URL }

// ollamaBase is the address of Ollama's API, of what its own variable says: host, host:port or a URL, where the host may
// be one that servers listen on and nobody can call (0.0.0.0).
func ollamaBase(host string) (string, error) {
	if host == "" {
		return ollamaAddress + "/api", nil
	}
	if !strings.Contains(host, "://") {
		host = "http://" + host
	}
	u, err := url.Parse(host)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("%s is no address: want host:port, as in 127.0.0.1:11434: %w", ollamaHost, api.ErrInvalid)
	}
	name, port := u.Hostname(), u.Port()
	if port == "" {
		if port = "11434"; u.Scheme == "https" {
			port = "443"
		}
	}
	if ip := net.ParseIP(name); ip != nil && ip.IsUnspecified() {
		name = "127.0.0.1"
	}
	return u.Scheme + "://" + net.JoinHostPort(name, port) + strings.TrimSuffix(u.Path, "/") + "/api", nil
}
