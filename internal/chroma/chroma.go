// Package chroma offers memories as the HTTP API of a Chroma server, version 2, so that clients of Chroma in Python and
// JavaScript work with them unchanged: an agent's memory is the collection AgentPrefix + its name, and other
// collections are memories of their own.
//
// How to read it. chroma.go has the routes. A request's body is read by reader.go and scalars.go (JSON, quickly and strictly),
// vectors.go (the two forms of vectors) and where.go (filters, which become api.Filter); answer.go writes answers, problem.go
// errors. collection.go and configuration.go say what a collection is to clients, catalogue.go which there are, registry.go
// which tenants and databases; memories.go is what all of this asks of the backend. The operations are in tenants.go,
// collections.go, records.go (add, update, upsert, delete, count) and search.go (get, query).
//
// What the real server answers is the measure: testdata/wire has its answers to hundreds of requests, with the few
// places where this package answers otherwise marked and explained.
package chroma

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/memory"
)

const (
	maxBodyBytes = 128 << 20
	maxBatch     = 5461 // records of one request that clients are told to send at most; not enforced
)

// Options say what a Server works on.
type Options struct {
	Memories  Memories
	Databases string       // the file that tenants and databases are kept in
	Log       *slog.Logger // what goes wrong on this side; nil: discarded
}

// Server answers requests under /api/. It is safe for concurrent use and holds nothing that must be closed.
type Server struct {
	mux       *http.ServeMux
	catalogue *catalogue
	registry  *registry
	log       *slog.Logger
	buffers   sync.Pool // of *bytes.Buffer, for bodies
}

// New returns a server.
func New(opt Options) *Server {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		mux: http.NewServeMux(), catalogue: newCatalogue(opt.Memories), registry: &registry{path: opt.Databases}, log: opt.Log,
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	s.routes()
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Server) routes() {
	const (
		tenant      = "/api/v2/tenants/{tenant}"
		database    = tenant + "/databases/{database}"
		collections = database + "/collections"
		named       = collections + "/{collection}"
	)
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /api/v2":                   s.heartbeat,
		"GET /api/v2/heartbeat":         s.heartbeat,
		"GET /api/v2/version":           always("1.0.0"),
		"GET /api/v2/healthcheck":       always(map[string]any{"is_executor_ready": true, "is_log_client_ready": true}),
		"GET /api/v2/pre-flight-checks": always(map[string]any{"max_batch_size": maxBatch, "supports_base64_encoding": true}),
		"GET /api/v2/auth/identity":     always(map[string]any{"user_id": "", "tenant": defaultTenant, "databases": []string{defaultDatabase}}),
		"POST /api/v2/reset":            refuse(&problem{http.StatusForbidden, "ChromaError", "Reset is disabled by config"}),
		"GET /api/v1/{path...}":         refuse(&problem{http.StatusGone, "Unimplemented", "The v1 API is deprecated. Please use /v2 apis"}),

		"POST /api/v2/tenants":          s.createTenant,
		"GET " + tenant:                 s.getTenant,
		"PATCH " + tenant:               s.updateTenant,
		"GET " + tenant + "/databases":  s.listDatabases,
		"POST " + tenant + "/databases": s.createDatabase,
		"GET " + database:               s.getDatabase,
		"DELETE " + database:            s.deleteDatabase,

		"GET " + collections:                     s.listCollections,
		"GET " + database + "/collections_count": s.countCollections,
		"POST " + collections:                    s.createCollection,
		"GET " + named:                           s.getCollection,
		"PUT " + named:                           s.updateCollection,
		"DELETE " + named:                        s.deleteCollection,

		"GET " + named + "/count":   s.count,
		"POST " + named + "/add":    s.write("add"),
		"POST " + named + "/update": s.write("update"),
		"POST " + named + "/upsert": s.write("upsert"),
		"POST " + named + "/get":    s.get,
		"POST " + named + "/query":  s.query,
		"POST " + named + "/delete": s.delete,

		// What the real server cannot do on a single machine either.
		"POST " + named + "/fork":                                    refuse(unsupported("Collection forking is unsupported for local chroma")),
		"POST " + named + "/search":                                  refuse(unsupported("Error executing plan: Not implemented: Search operation is not implemented for local executor")),
		"POST " + named + "/functions/attach":                        refuse(unsupported("attached functions are not implemented")),
		"POST " + database + "/attached_functions/{function}/detach": refuse(unsupported("attached functions are not implemented")),
		"GET /api/v2/collections/{crn}":                              refuse(invalid("Validation error: crn: CRN must be in the format <tenant_resource_name>:<database_name>:<collection_name> with non-empty parts")),
	} {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := asProblem(err)
	if p.status == http.StatusInternalServerError {
		s.log.Warn("a Chroma client's request failed", slog.String("request", r.Method+" "+r.URL.Path), slog.Any("error", err))
	}
	if err := p.write(w); err != nil {
		s.log.Debug("answer not sent", slog.Any("error", err))
	}
}

func always(value any) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error { return answer(w, http.StatusOK, value) }
}

func refuse(err error) func(http.ResponseWriter, *http.Request) error {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func (s *Server) heartbeat(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, http.StatusOK, map[string]int64{"nanosecond heartbeat": time.Now().UnixNano()})
}

// body calls read with a reader of the request's body, which must be one JSON value and is no longer there afterwards.
func (s *Server) body(w http.ResponseWriter, r *http.Request, read func(*reader) error) error {
	if kind := r.Header.Get("Content-Type"); kind != "" && !isJSON(kind) {
		return &problem{http.StatusUnsupportedMediaType, "ChromaError", "Expected request with `Content-Type: application/json`"}
	}
	buf := s.buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= 1<<20 { // larger ones are rare, and go
			buf.Reset()
			s.buffers.Put(buf)
		}
	}()
	if n := r.ContentLength; n > 0 && n <= maxBodyBytes {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := io.Copy(buf, http.MaxBytesReader(w, r.Body, maxBodyBytes)); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	in := &reader{data: buf.Bytes()}
	if err := read(in); err != nil {
		return err
	}
	return in.end()
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json"
}

// page reads the query parameters limit (none: -1) and offset.
func page(r *http.Request) (limit, offset int, err error) {
	limit = -1
	for name, to := range map[string]*int{"limit": &limit, "offset": &offset} {
		if text := r.URL.Query().Get(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return 0, 0, invalid("Failed to deserialize query string: %s: invalid digit found in string", name)
			}
			*to = int(n)
		}
	}
	return limit, offset, nil
}

// cut returns the page of a list.
func cut[T any](list []T, limit, offset int) []T {
	list = list[min(offset, len(list)):]
	if limit >= 0 {
		list = list[:min(limit, len(list))]
	}
	return list
}

// use calls do with the collection that the path names by its id.
func (s *Server) use(r *http.Request, do func(ctx context.Context, c *collection, store *memory.Store) error) error {
	id := r.PathValue("collection")
	if !idForm.MatchString(id) {
		return invalid("Collection ID is not a valid UUIDv4")
	}
	return s.catalogue.use(id, func(c *collection, store *memory.Store) error { return do(r.Context(), c, store) })
}
