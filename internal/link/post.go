package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// maxPost is the size of a posted frame: a few times the largest message, for records with their vectors.
const maxPost = 64 << 20

// needsConnection are the calls and notifications that are about the connection that they come through.
var needsConnection = map[string]bool{
	methodOpen: true, methodNext: true, methodLater: true, methodLog: true, methodPrint: true,
	methodAttach: true, methodListen: true, methodReembed: true, methodOpenMem: true, methodCloseMem: true,
}

// PostAs answers calls that are posted: JSON-RPC for those who have no WebSocket and need no session, one frame a request.
func (s *Server) PostAs(host Local, w http.ResponseWriter, r *http.Request) {
	frame, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPost))
	if err != nil {
		status := http.StatusBadRequest
		var told interface{ HTTPStatus() int } // late, or too much at once
		if large := new(http.MaxBytesError); errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		} else if errors.As(err, &told) {
			status = told.HTTPStatus()
		}
		http.Error(w, fmt.Sprintf("read request: %v", err), status)
		return
	}
	answer := jsonrpc.Answer(r.Context(), posted{&serving{server: s, host: host}}, frame)
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer) // whoever has gone does not read it
}

// posted answers what needs no connection.
type posted struct{ *serving }

func (p posted) Request(ctx context.Context, method string, raw json.RawMessage) (any, error) {
	if needsConnection[method] {
		return nil, coded{fmt.Errorf("%s: %w: it needs a WebSocket", method, api.ErrInvalid)}
	}
	return p.serving.Request(ctx, method, raw)
}
