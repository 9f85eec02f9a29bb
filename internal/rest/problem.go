package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/describe"
)

// Problem is how an error is told (RFC 9457).
type Problem struct {
	Title  string `json:"title"`          // what HTTP calls the status
	Status int    `json:"status"`         // the HTTP status
	Detail string `json:"detail"`         // what went wrong, for people
	Code   int    `json:"code,omitempty"` // for programs, the same as in JSON-RPC: 1002 not found, 1003 unknown module, 1004 invalid argument, 1005 too large, 1007 closed, 1008 not authorized, 1009 in use
}

// status is the HTTP status of an error.
func status(err error) int {
	if told := bodyError(nil); errors.As(err, &told) {
		return told.HTTPStatus()
	}
	for _, kind := range []struct {
		err    error
		status int
	}{
		{api.ErrInvalid, http.StatusBadRequest},
		{api.ErrNotFound, http.StatusNotFound},
		{api.ErrUnknown, http.StatusNotFound},
		{api.ErrTooLarge, http.StatusRequestEntityTooLarge},
		{api.ErrUnauthorized, http.StatusForbidden}, // who is not let in at all has been told by the guard
		{api.ErrInUse, http.StatusConflict},
		{api.ErrReplaced, http.StatusConflict},
		{api.ErrNoInput, http.StatusConflict},
		{api.ErrClosed, http.StatusServiceUnavailable},
		{context.DeadlineExceeded, http.StatusGatewayTimeout},
	} {
		if errors.Is(err, kind.err) {
			return kind.status
		}
	}
	return http.StatusInternalServerError
}

// tell answers with an error.
func tell(w http.ResponseWriter, err error) {
	code := status(err)
	p := Problem{Title: http.StatusText(code), Status: code, Detail: err.Error(), Code: api.Code(err)}
	if p.Code == 1000 {
		p.Code = 0
	}
	write(w, p)
}

// Refuse answers a request that must not reach the API, such as one of which is not known whose it is.
func Refuse(w http.ResponseWriter, status int, text string) {
	p := Problem{Title: http.StatusText(status), Status: status, Detail: text}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		p.Code = api.Code(api.ErrUnauthorized)
	}
	write(w, p)
}

func write(w http.ResponseWriter, p Problem) {
	text, err := encode(p)
	if err != nil {
		panic(err) // text and numbers can always be encoded
	}
	w.Header().Del("Content-Length")
	w.Header().Set("Content-Type", describe.ProblemJSON)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	w.Write(text) // whoever has gone does not read it
}

// problemWriter tells as a problem what ServeMux says in plain text: that there is no such route.
type problemWriter struct {
	http.ResponseWriter
	path string
	told bool
}

func (p *problemWriter) WriteHeader(code int) {
	if code < http.StatusBadRequest {
		p.told = false
		p.ResponseWriter.WriteHeader(code) // a redirection to the path as it should be written
		return
	}
	p.told = true
	detail := fmt.Sprintf("there is no %s: /openapi.json lists what there is", p.path)
	if code == http.StatusMethodNotAllowed {
		detail = fmt.Sprintf("%s takes %s", p.path, p.Header().Get("Allow"))
	}
	write(p.ResponseWriter, Problem{Title: http.StatusText(code), Status: code, Detail: detail})
}

func (p *problemWriter) Write(b []byte) (int, error) {
	if p.told {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}
