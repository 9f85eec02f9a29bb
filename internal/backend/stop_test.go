package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// TestAStopFailsNoCall: what modules have under way when the backend stops waits for the next one. No call of theirs
// fails because the host was about to go.
func TestAStopFailsNoCall(t *testing.T) {
	for range 2 {
		b, err := backend.Open(backend.Options{Folders: in(t.TempDir())})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Attach(t.Context(), api.Attachment{Agent: "other", Limit: 1000, Modules: []string{"sink"}}, newConsole()); err != nil {
			t.Fatal(err)
		}
		address := socket(t, b)
		ctx, cancel := context.WithCancel(within(t))
		var busy, begun sync.WaitGroup
		loop := func(what string, f func() error) {
			begun.Add(1)
			busy.Go(func() {
				called := sync.OnceFunc(begun.Done)
				defer called()
				for {
					if err := f(); err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Errorf("%s: %v", what, err)
						}
						return
					}
					called()
				}
			})
		}
		var sessions []api.Session
		for i := range 2 {
			id := api.Identity{Agent: "a", Module: fmt.Sprint("m", i), Generation: 1}
			s, err := link.Open(ctx, address, "", id)
			if err != nil {
				t.Fatal(err)
			}
			sessions = append(sessions, s)
			loop("send to itself", func() error {
				if err := s.Send(ctx, api.Message{To: id.Module}); err != nil {
					return err
				}
				_, err := s.Receive(ctx)
				return err
			})
			loop("send to another agent", func() error { return s.Send(ctx, api.Message{To: "other/sink"}) })
			loop("publish", func() error { return s.Publish(ctx, api.Publication{Topic: "t"}) })
			loop("keep", func() error { return s.Keep(ctx, "key", []byte("1")) })
			loop("remember", func() error { _, err := s.Memory().Add(ctx, []api.Record{{Text: "x"}}); return err })
			loop("count", func() error { _, err := s.Memory().Count(ctx, nil); return err })
		}
		begun.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		busy.Wait()
		for _, s := range sessions {
			busy.Go(func() { s.Close(api.Stopped) }) // they wait a moment for a host, which has gone
		}
		busy.Wait()
	}
}
