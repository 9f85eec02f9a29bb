// Package webservice is a shop's API and its client in one module: routes with middleware, JSON both ways, errors as
// problems, a stream of events, and requests that run at the same time.
package webservice

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// Item is what the shop has.
type Item struct {
	ID    int               `json:"id"`
	Name  string            `json:"name"`
	Price cents             `json:"price"`
	Tags  map[string]string `json:"tags,omitempty"`
}

// cents is written as "1.50".
type cents int

func (c cents) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d.%02d", c/100, c%100), nil }

func (c *cents) UnmarshalText(text []byte) error {
	var whole, part int
	if _, err := fmt.Sscanf(string(text), "%d.%02d", &whole, &part); err != nil {
		return fmt.Errorf("price %q: %w", text, err)
	}
	*c = cents(whole*100 + part)
	return nil
}

// problem is an error as the API tells it.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	cause  error
}

func (p *problem) Error() string { return strings.TrimSuffix(p.Title+": "+p.Detail, ": ") }
func (p *problem) Unwrap() error { return p.cause }

var errNoItem = errors.New("no such item")

type store struct {
	sync.RWMutex
	items map[int]Item
	next  int
	subs  map[chan string]struct{}
}

func (s *store) tell(format string, args ...any) {
	for c := range s.subs {
		c <- fmt.Sprintf(format, args...)
	}
}

func (s *store) add(i Item) Item {
	s.Lock()
	defer s.Unlock()
	s.next++
	i.ID = s.next
	s.items[i.ID] = i
	s.tell("added %d", i.ID)
	return i
}

// handler is an http.Handler that may fail.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h(w, r)
	if err == nil {
		return
	}
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, errNoItem):
		p = &problem{Status: http.StatusNotFound, Title: err.Error()}
	default:
		p = &problem{Status: http.StatusInternalServerError, Title: "internal", Detail: err.Error()}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone
}

type middleware func(http.Handler) http.Handler

func chain(h http.Handler, ms ...middleware) http.Handler {
	for _, m := range slices.Backward(ms) {
		h = m(h)
	}
	return h
}

type ctxKey struct{}

func authorize(token string) middleware {
	return func(next http.Handler) http.Handler {
		return handler(func(w http.ResponseWriter, r *http.Request) error {
			user, ok := strings.CutPrefix(r.Header.Get("Authorization"), token+" ")
			if !ok && r.Method != http.MethodGet {
				return &problem{Status: http.StatusUnauthorized, Title: "who are you?"}
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ctxKey{}, user)))
			return nil
		})
	}
}

func recovering(next http.Handler) http.Handler {
	return handler(func(w http.ResponseWriter, r *http.Request) (err error) {
		defer func() {
			if e := recover(); e != nil {
				err = fmt.Errorf("%s %s: %v", r.Method, r.URL.Path, e)
			}
		}()
		next.ServeHTTP(w, r)
		return nil
	})
}

func (s *store) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /items", handler(s.list))
	mux.Handle("POST /items", handler(s.create))
	mux.Handle("GET /items/{id}", handler(s.get))
	mux.Handle("GET /events", handler(s.events))
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { var i *Item; i.Name = "x" })
	return chain(mux, recovering, authorize("Secret"))
}

func (s *store) list(w http.ResponseWriter, r *http.Request) error {
	s.RLock()
	defer s.RUnlock()
	want := r.URL.Query().Get("name")
	found := []Item{}
	for _, id := range slices.Sorted(maps.Keys(s.items)) {
		if i := s.items[id]; strings.Contains(i.Name, want) {
			found = append(found, i)
		}
	}
	return json.NewEncoder(w).Encode(found)
}

func (s *store) create(w http.ResponseWriter, r *http.Request) error {
	var i Item
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 200))
	d.DisallowUnknownFields()
	if err := d.Decode(&i); err != nil {
		return &problem{http.StatusBadRequest, "bad item", err.Error(), err}
	}
	if user, _ := r.Context().Value(ctxKey{}).(string); user != "" {
		if i.Tags == nil {
			i.Tags = map[string]string{}
		}
		i.Tags["by"] = user
	}
	i = s.add(i)
	w.Header().Set("Location", fmt.Sprint("/items/", i.ID))
	w.WriteHeader(http.StatusCreated)
	return json.NewEncoder(w).Encode(i)
}

func (s *store) get(w http.ResponseWriter, r *http.Request) error {
	var id int
	if _, err := fmt.Sscan(r.PathValue("id"), &id); err != nil {
		return &problem{Status: 400, Title: "bad id", cause: err}
	}
	s.RLock()
	defer s.RUnlock()
	i, ok := s.items[id]
	if !ok {
		return fmt.Errorf("%d: %w", id, errNoItem)
	}
	return json.NewEncoder(w).Encode(i)
}

// events streams what happens, a line each, until the client leaves.
func (s *store) events(w http.ResponseWriter, r *http.Request) error {
	c := make(chan string, 16)
	s.Lock()
	s.subs[c] = struct{}{}
	s.Unlock()
	defer func() {
		s.Lock()
		defer s.Unlock()
		delete(s.subs, c)
	}()
	control := http.NewResponseController(w)
	fmt.Fprintln(w, "hello")
	for {
		if err := control.Flush(); err != nil {
			return err
		}
		select {
		case <-r.Context().Done():
			return nil
		case line := <-c:
			fmt.Fprintln(w, line)
		}
	}
}

type client struct {
	base *url.URL
	http http.Client
	user string
}

// do makes a request; out gets the answer. An answer that is a problem is an error of that type.
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	switch in := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(in)
	default:
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath("/").String()+path, body)
	if err != nil {
		return err
	}
	if c.user != "" {
		r.Header.Set("Authorization", "Secret "+c.user)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		p := new(problem)
		return errors.Join(p, json.NewDecoder(resp.Body).Decode(p))
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Run takes "get path", "add name price", "post body", "user name", "many n" and "watch n".
func Run(ctx context.Context, agent *coma.Agent) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &store{items: map[int]Item{}, subs: map[chan string]struct{}{}}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Close()
		<-served
	}()
	c := &client{base: &url.URL{Scheme: "http", Host: listener.Addr().String()}}
	defer c.http.CloseIdleConnections()
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		answer, err := c.command(ctx, msg.Text)
		var p *problem
		if errors.As(err, &p) {
			answer = fmt.Sprintf("problem %d: %v", p.Status, p)
		} else if err != nil {
			answer = "error: " + err.Error()
		}
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}

func (c *client) command(ctx context.Context, text string) (string, error) {
	verb, rest, _ := strings.Cut(text, " ")
	var one Item
	switch verb {
	case "user":
		c.user = rest
		return "now " + rest, nil
	case "get":
		var any json.RawMessage
		err := c.do(ctx, "GET", rest, nil, &any)
		return string(any), err
	case "post":
		err := c.do(ctx, "POST", "items", rest, &one)
		return fmt.Sprintf("%+v", one), err
	case "add":
		var price cents
		name, p, _ := strings.Cut(rest, " ")
		if err := price.UnmarshalText([]byte(p)); err != nil {
			return "", err
		}
		err := c.do(ctx, "POST", "items", Item{Name: name, Price: price}, &one)
		return fmt.Sprintf("%+v", one), err
	case "many":
		return c.many(ctx, len(rest))
	case "watch":
		return c.watch(ctx, len(rest))
	}
	return "", fmt.Errorf("what is %q?", verb)
}

// many adds n items at the same time.
func (c *client) many(ctx context.Context, n int) (string, error) {
	var wg sync.WaitGroup
	items := make([]Item, n)
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			errs[i] = c.do(ctx, "POST", "items", Item{Name: fmt.Sprint("many", i), Price: cents(i * 101)}, &items[i])
		})
	}
	wg.Wait()
	ids := map[int]bool{}
	var sum cents
	for _, i := range items {
		ids[i.ID] = true
		sum += i.Price
	}
	text, err := sum.MarshalText()
	return fmt.Sprintf("%d items, %s", len(ids), text), errors.Join(append(errs, err)...)
}

// watch hears of n items that it adds.
func (c *client) watch(ctx context.Context, n int) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", c.base.JoinPath("events").String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	var heard []string
	for lines.Scan() {
		heard = append(heard, lines.Text())
		if len(heard) > n {
			return strings.Join(heard, ", "), nil
		}
		if err := c.do(ctx, "POST", "items", Item{Name: "w"}, new(Item)); err != nil {
			return "", err
		}
	}
	return "", lines.Err()
}
