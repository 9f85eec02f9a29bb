// Package rest offers a host's API to tools as REST: plain HTTP requests with JSON bodies under /v1/.
//
// routes.go is the table of all routes, from which requests are served and the OpenAPI document is made; messages.go and
// memories.go are what they do. decode.go reads queries and bodies, problem.go is how errors are told, listen.go is the
// stream of what is published. examples.json is what a test has asked and got, for the document. What a session is needed
// for (to receive, above all) is package link's.
package rest

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/describe"
)

// Server serves the routes.
type Server struct {
	mux      *http.ServeMux
	document func() ([]byte, error) // OpenAPI; made when somebody asks first
}

// New returns a server; version is the host's.
func New(version string) *Server {
	s := &Server{mux: http.NewServeMux(), document: sync.OnceValues(func() ([]byte, error) { return document(version) })}
	for _, r := range routes() {
		s.mux.Handle(r.Method+" "+r.Path, r.serve)
	}
	return s
}

// backendKey is where a request's context has the api.Backend that it is for.
type backendKey struct{}

// ServeAs answers a request before a host, as far as whoever asks may use it. Who may ask at all is the caller's to decide.
func (s *Server) ServeAs(host api.Backend, w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(context.WithValue(r.Context(), backendKey{}, host))
	if _, pattern := s.mux.Handler(r); pattern == "" {
		w = &problemWriter{ResponseWriter: w, path: r.URL.Path}
	}
	s.mux.ServeHTTP(w, r)
}

// ServeDocument answers with the OpenAPI document.
func (s *Server) ServeDocument(w http.ResponseWriter, r *http.Request) {
	text, err := s.document()
	if err != nil {
		tell(w, fmt.Errorf("describe the API: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text) // whoever has gone does not read it
}

const documentText = "Agents, messages and memories of a coma host, for tools. Over the network, send \"Authorization: Bearer <token>\". " +
	"Modules speak JSON-RPC over a WebSocket instead: see /openrpc.json."

// examples are a request and an answer of each operation, by its name, and a problem: what a test has asked and got.
//
//go:embed examples.json
var examples string

func document(version string) ([]byte, error) {
	var known map[string]describe.Example
	if err := json.Unmarshal([]byte(examples), &known); err != nil {
		return nil, fmt.Errorf("read examples: %w", err)
	}
	operations := Operations()
	for i, o := range operations {
		operations[i].Example = known[o.ID]
	}
	return describe.OpenAPI(version, documentText, operations, reflect.TypeFor[Problem](), known["problem"].Answer)
}

// Operations describes all routes.
func Operations() []describe.Operation {
	var operations []describe.Operation
	for _, r := range routes() {
		operations = append(operations, r.Operation)
	}
	return operations
}

// route is an operation and what answers it.
type route struct {
	describe.Operation
	serve http.HandlerFunc
}

// none is no query, no body or no result.
type none struct{}

// asked is what a request says: the names in its path, its query and its body.
type asked[Q, B any] struct {
	request *http.Request
	host    api.Backend
	query   Q
	body    B
}

// named returns what stands in the path for a name in braces.
func (a asked[Q, B]) named(name string) string { return a.request.PathValue(name) }

// on makes a route whose query has the form Q, whose body B, and whose answer R.
func on[Q, B, R any](method, path, id, summary string, do func(ctx context.Context, a asked[Q, B]) (R, error)) route {
	r := route{Operation: describe.Operation{
		Method: method, Path: path, ID: id, Summary: summary, Status: http.StatusOK,
		Names: reflect.TypeFor[names](), Query: typeOf[Q](), Body: typeOf[B](), Result: typeOf[R](),
	}}
	if r.Result == nil {
		r.Status = http.StatusNoContent
	}
	r.serve = func(w http.ResponseWriter, request *http.Request) {
		a, err := read[Q, B](w, request)
		if err != nil {
			tell(w, err)
			return
		}
		result, err := do(request.Context(), a)
		if err != nil {
			tell(w, err)
			return
		}
		if r.Result == nil {
			w.WriteHeader(r.Status)
			return
		}
		text, err := encode(result)
		if err != nil {
			tell(w, fmt.Errorf("encode answer: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(text) // whoever has gone does not read it
	}
	return r
}

// encode is a value as a line of JSON, for programs and for people who read it in a terminal: < and & stay what they are.
func encode(value any) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return line.Bytes(), err
}

// read reads all that a request says.
func read[Q, B any](w http.ResponseWriter, request *http.Request) (asked[Q, B], error) {
	a := asked[Q, B]{request: request, host: request.Context().Value(backendKey{}).(api.Backend)}
	if err := decodeQuery(request.URL.RawQuery, &a.query); err != nil {
		return a, err
	}
	if typeOf[B]() == nil {
		return a, nil
	}
	return a, decodeBody(http.MaxBytesReader(w, request.Body, maxBody), &a.body)
}

// typeOf is T's type, nil for none.
func typeOf[T any]() reflect.Type {
	if t := reflect.TypeFor[T](); t != reflect.TypeFor[none]() {
		return t
	}
	return nil
}
