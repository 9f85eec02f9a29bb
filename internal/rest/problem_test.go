package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// kept is how the backend ends a body that is late, or for which there is no room.
type kept struct {
	error
	status int
}

func (k kept) HTTPStatus() int { return k.status }
func (k kept) Unwrap() error   { return k.error }

// TestBodyThatCannotBeRead: whose fault it is stands in the status.
func TestBodyThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		err          error
		status, code int
	}{
		{kept{errors.New("late"), http.StatusRequestTimeout}, http.StatusRequestTimeout, 0},
		{kept{errors.New("no room"), http.StatusServiceUnavailable}, http.StatusServiceUnavailable, 0},
		{kept{fmt.Errorf("no room ever: %w", api.ErrTooLarge), http.StatusRequestEntityTooLarge}, http.StatusRequestEntityTooLarge, 1005},
		{io.ErrUnexpectedEOF, http.StatusBadRequest, 1004},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/v1/publish", io.MultiReader(strings.NewReader(`{"topic":`), iotest.ErrReader(c.err)))
		New("test").ServeAs(struct{ api.Backend }{}, w, r)
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%v: %s: %v", c.err, w.Body, err)
		}
		if w.Code != c.status || p.Status != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.err.Error()) {
			t.Errorf("%v: %d %s, want %d and code %d", c.err, w.Code, w.Body, c.status, c.code)
		}
	}
}
