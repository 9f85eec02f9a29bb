package chroma

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/memory"
)

// problem is an error as clients get it: {"error": kind, "message": text}. Chroma's clients make exceptions of the kinds
// that they know (NotFoundError, InvalidArgumentError, InternalError and ChromaError among them).
type problem struct {
	status int
	kind   string
	text   string
}

func (p *problem) Error() string { return p.text }

func invalid(format string, args ...any) error {
	return &problem{http.StatusBadRequest, "InvalidArgumentError", fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &problem{http.StatusNotFound, "NotFoundError", fmt.Sprintf(format, args...)}
}

func exists(format string, args ...any) error {
	return &problem{http.StatusConflict, "ChromaError", fmt.Sprintf(format, args...)}
}

func unsupported(text string) error {
	return &problem{http.StatusNotImplemented, "ChromaError", text}
}

// asProblem translates an error to what clients get.
func asProblem(err error) *problem {
	var p *problem
	var syntax *syntaxError
	var kind *typeError
	var dimension memory.DimensionError
	var large *http.MaxBytesError
	var body interface{ HTTPStatus() int } // of whoever lets the body in: it is late, or there is no room for it
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &body):
		return &problem{body.HTTPStatus(), "ChromaError", err.Error()}
	case errors.As(err, &syntax):
		return &problem{http.StatusBadRequest, "InvalidArgumentError", "Failed to parse the request body as JSON: " + syntax.Error()}
	case errors.As(err, &kind):
		return &problem{http.StatusUnprocessableEntity, "ChromaError", "Failed to deserialize the JSON body into the target type: " + kind.Error()}
	case errors.As(err, &dimension):
		return &problem{http.StatusBadRequest, "InvalidArgumentError",
			fmt.Sprintf("Collection expecting embedding with dimension of %d, got %d", dimension.Want, dimension.Got)}
	case errors.As(err, &large):
		return &problem{http.StatusRequestEntityTooLarge, "ChromaError", "Failed to buffer the request body: length limit exceeded"}
	case errors.Is(err, api.ErrInvalid), errors.Is(err, api.ErrTooLarge):
		return &problem{http.StatusBadRequest, "InvalidArgumentError", err.Error()}
	case errors.Is(err, api.ErrNotFound):
		return &problem{http.StatusNotFound, "NotFoundError", err.Error()}
	case errors.Is(err, api.ErrUnauthorized):
		return &problem{http.StatusForbidden, "AuthError", err.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &problem{http.StatusBadRequest, "ChromaError", "Failed to buffer the request body: it ends before its length"}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &problem{http.StatusServiceUnavailable, "InternalError", err.Error()} // nobody reads it
	}
	return &problem{http.StatusInternalServerError, "InternalError", err.Error()}
}

// Refuse answers a request that must not reach the server, as clients expect it: 401 and 403.
func Refuse(w http.ResponseWriter, status int, text string) {
	kind := "AuthError"
	if status == http.StatusUnauthorized {
		kind = "AuthorizationError"
	}
	_ = (&problem{status, kind, text}).write(w) // a client that has gone misses nothing
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) error {
	body, err := json.Marshal(struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}{p.kind, p.text})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_, err = w.Write(body)
	return err
}
