package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// ChromaKey is the environment's variable with the key of Chroma servers that want one.
const ChromaKey = "CHROMA_API_KEY"

// Bounds of what is said to a Chroma server.
const (
	chromaPatience  = 2 * time.Minute // for one request
	maxChromaAnswer = 1 << 30         // bytes
)

// IsURL says whether a place to carry records to, or from, is a Chroma collection rather than a file.
func IsURL(place string) bool {
	return strings.HasPrefix(place, "http://") || strings.HasPrefix(place, "https://")
}

// server is a database of a Chroma server.
type server struct {
	base string // up to and with /databases/…
	key  string
	http *http.Client
}

// parseCollection takes http://host:8000/collection apart; the collection's tenant and database may follow, as in
// …?tenant=lab&database=garden.
func parseCollection(place string) (*server, string, error) {
	bad := func(why string) (*server, string, error) {
		return nil, "", fmt.Errorf("chroma collection: %w: %s; want http://host:8000/collection", api.ErrInvalid, why)
	}
	u, err := url.Parse(place)
	if err != nil {
		return bad("not a URL")
	}
	name := strings.Trim(u.Path, "/")
	query := u.Query()
	switch {
	case u.User != nil:
		return bad("secrets do not belong there; put the key in " + ChromaKey)
	case u.Host == "" || u.Fragment != "":
		return bad("it names no host, or too much")
	case name == "" || strings.Contains(name, "/"):
		return bad("it names no collection")
	}
	database := func(key, otherwise string) string {
		value := query.Get(key)
		query.Del(key)
		if value == "" {
			value = otherwise
		}
		return url.PathEscape(value)
	}
	tenant, db := database("tenant", "default_tenant"), database("database", "default_database")
	if len(query) > 0 {
		return bad("after ? only tenant and database are known")
	}
	return &server{
		base: u.Scheme + "://" + u.Host + "/api/v2/tenants/" + tenant + "/databases/" + db,
		key:  os.Getenv(ChromaKey),
		http: &http.Client{Timeout: chromaPatience, CheckRedirect: stay},
	}, name, nil
}

// stay follows no redirection: a key is for the server that was named.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// chromaError is what a Chroma server refuses with.
type chromaError struct {
	Status  int    `json:"-"`
	Kind    string `json:"error"`
	Message string `json:"message"`
}

func (e *chromaError) Error() string {
	text := e.Message
	if text == "" {
		text = "HTTP status " + fmt.Sprint(e.Status)
	}
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
		text += "; is its key in " + ChromaKey + "?"
	}
	return "chroma: " + text
}

func (e *chromaError) Unwrap() error {
	if e.Status == http.StatusNotFound {
		return api.ErrNotFound
	}
	return nil
}

// call asks the server; question and answer may be nil.
func (s *server) call(ctx context.Context, method, path string, question, answer any) error {
	var body io.Reader
	if question != nil {
		data, err := json.Marshal(question)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return fmt.Errorf("ask chroma: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.key != "" {
		req.Header.Set("X-Chroma-Token", s.key)
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask chroma: %w (does a server run there? begin again when it does: what has been carried stays)", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxChromaAnswer+1))
	if err != nil {
		return fmt.Errorf("ask chroma: read its answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		refused := &chromaError{}
		if json.Unmarshal(data, refused) != nil { // not Chroma's own words
			refused.Message = strings.TrimSpace(string(data[:min(len(data), 200)]))
		}
		refused.Status = resp.StatusCode
		return refused
	}
	switch {
	case len(data) > maxChromaAnswer:
		return fmt.Errorf("ask chroma: its answer: %w", api.ErrTooLarge)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("ask chroma: %s is no Chroma server of API version 2, it seems: %w", s.base, err)
	}
	return nil
}

// collection is one collection of a server.
type collection struct {
	*server
	ID            string `json:"id"`
	Name          string `json:"name"`
	Dimension     *int   `json:"dimension"`
	Configuration struct {
		EmbeddingFunction *function `json:"embedding_function"`
	} `json:"configuration_json"`
}

// function is what a collection says of its embedder.
type function struct {
	Type   string         `json:"type"` // "known", else nothing is known
	Name   string         `json:"name"`
	Config map[string]any `json:"config"`
}

func (s *server) collection(ctx context.Context, name string) (*collection, error) {
	c := &collection{server: s}
	if err := s.call(ctx, http.MethodGet, "/collections/"+url.PathEscape(name), nil, c); err != nil {
		if errors.Is(err, api.ErrNotFound) {
			return nil, fmt.Errorf("chroma collection %q: %w", name, err)
		}
		return nil, err
	}
	return c, nil
}

// create returns the collection, made if there is none.
func (s *server) create(ctx context.Context, name string, f *function) (*collection, error) {
	question := map[string]any{"name": name, "get_or_create": true}
	if f != nil {
		question["configuration"] = map[string]any{"embedding_function": f}
	}
	c := &collection{server: s}
	if err := s.call(ctx, http.MethodPost, "/collections", question, c); err != nil {
		return nil, fmt.Errorf("make collection %q: %w", name, err)
	}
	return c, nil
}

func (c *collection) ask(ctx context.Context, verb string, question, answer any) error {
	return c.call(ctx, http.MethodPost, "/collections/"+c.ID+"/"+verb, question, answer)
}

func (c *collection) count(ctx context.Context) (n int, err error) {
	err = c.call(ctx, http.MethodGet, "/collections/"+c.ID+"/count", nil, &n)
	return n, err
}

// getQuestion is what get is asked with. No IDs mean all of the records.
type getQuestion struct {
	IDs     []string `json:"ids,omitempty"`
	Limit   int      `json:"limit,omitempty"`
	Offset  int      `json:"offset,omitempty"`
	Include []string `json:"include"`
}
