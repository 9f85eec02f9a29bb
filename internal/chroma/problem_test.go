package chroma

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

// late is how the backend ends a body that does not come in its time.
type late struct{ error }

func (late) HTTPStatus() int { return http.StatusRequestTimeout }

// TestBodyThatCannotBeRead: the client learns why, in the form that it knows.
func TestBodyThatCannotBeRead(t *testing.T) {
	server := newServer(t)
	for name, want := range map[string]struct {
		err    error
		answer string
	}{
		"late":      {late{errors.New("it is late")}, `408 {"error":"ChromaError","message":"read request: it is late"}`},
		"cut off":   {io.ErrUnexpectedEOF, `400 {"error":"ChromaError","message":"Failed to buffer the request body: it ends before its length"}`},
		"not known": {errors.New("something"), `500 {"error":"InternalError","message":"read request: something"}`},
	} {
		r := httptest.NewRequest("POST", "/api/v2/tenants", io.MultiReader(strings.NewReader(`{"name":`), iotest.ErrReader(want.err)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if got := w.Result().Status[:4] + w.Body.String(); got != want.answer {
			t.Errorf("%s: %s, want %s", name, got, want.answer)
		}
	}
}
