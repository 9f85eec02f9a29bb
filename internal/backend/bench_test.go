package backend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
)

// The benchmarks run in one process: sessions over the unix socket cost what they cost between processes, but all share
// the cores.

// seats returns ways to seat a module: over the link, and in the host's own process.
func seats(b *testing.B, host *backend.Backend) map[string]func(module string) api.Session {
	agent, err := host.Attach(context.Background(), api.Attachment{Agent: "own", Modules: []string{"x", "y"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { agent.Close() })
	return map[string]func(string) api.Session{
		"link": func(module string) api.Session { return seat(b, host, socket(b, host), module) },
		"own": func(module string) api.Session {
			s, err := agent.Open(context.Background(), api.Identity{Agent: "own", Module: module, Generation: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close(api.Finished) })
			return s
		},
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	host := open(b)
	for name, seat := range seats(b, host) {
		b.Run(name, func(b *testing.B) {
			x, y := seat("x"), seat("y")
			ctx := context.Background()
			go func() {
				for {
					m, err := y.Receive(ctx)
					if err != nil {
						return
					}
					if y.Send(ctx, api.Message{To: "x", Text: m.Text}) != nil {
						return
					}
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				if err := x.Send(ctx, api.Message{To: "y", Text: "ping"}); err != nil {
					b.Fatal(err)
				}
				if _, err := x.Receive(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkThroughput(b *testing.B) {
	host := open(b)
	for name, seat := range seats(b, host) {
		for _, senders := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/senders=%d", name, senders), func(b *testing.B) {
				x, y := seat("x"), seat("y")
				ctx := context.Background()
				text := strings.Repeat("a", 100)
				var sending sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for i := range senders {
					sending.Go(func() {
						for range (b.N + i) / senders {
							if err := x.Send(ctx, api.Message{To: "y", Text: text}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				for range b.N {
					if _, err := y.Receive(ctx); err != nil {
						b.Fatal(err)
					}
				}
				sending.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}
