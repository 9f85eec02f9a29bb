package jsonrpc_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// TestAnEndedPeerAnswersNothing: handlers that fail because their peer is told to end do not answer: the caller learns
// that the connection is lost, and may ask the next one.
func TestAnEndedPeerAnswersNothing(t *testing.T) {
	for range 200 {
		a, b := newPipe()
		began := make(chan struct{})
		far := jsonrpc.New(b, handler{request: func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
			close(began)
			<-ctx.Done()
			return nil, ctx.Err()
		}}, true)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			far.Run(ctx)
		}()
		near := run(t, a, handler{}, true)
		go func() {
			<-began
			stop()
		}()
		if err := near.Call(within(t), "wait", nil, nil); !jsonrpc.Lost(err) {
			t.Fatalf("the call ended with %v, want a lost connection", err)
		}
		<-ended
	}
}
