package mailbox

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// BenchmarkPutNextAck passes messages from one goroutine to another: ns/op is the time for a message's whole way.
func BenchmarkPutNextAck(b *testing.B) {
	for _, c := range []struct{ name, file string }{{"memory", ""}, {"journaled", "journal"}} {
		b.Run(c.name, func(b *testing.B) {
			path := c.file
			if path != "" {
				path = filepath.Join(b.TempDir(), path)
			}
			s, _, err := Open(path, Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ctx := context.Background()
			box := s.Box("echo")
			m := api.Message{ID: "0123456789abcdef0123", From: "demo/sender", To: "demo/echo", Text: "a message of some forty characters or so"}
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				for range b.N {
					if _, err := box.Put(ctx, m); err != nil {
						b.Error(err)
						return
					}
				}
			}()
			r := box.Open()
			for range b.N {
				m, err := r.Next(ctx)
				if err != nil {
					b.Fatal(err)
				}
				r.Begin(m.Seq)
				r.Ack(m.Seq)
			}
		})
	}
}

// BenchmarkPutNextAckAlone does the same in one goroutine: what the code itself costs.
func BenchmarkPutNextAckAlone(b *testing.B) {
	s, _, err := Open("", Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	box := s.Box("echo")
	r := box.Open()
	m := api.Message{ID: "0123456789abcdef0123", From: "demo/sender", To: "demo/echo", Text: "a message of some forty characters or so"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := box.Put(ctx, m); err != nil {
			b.Fatal(err)
		}
		got, err := r.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		r.Begin(got.Seq)
		r.Ack(got.Seq)
	}
}

// BenchmarkDurable puts messages that are fsynced; writers share an fsync.
func BenchmarkDurable(b *testing.B) {
	for _, c := range []struct {
		name    string
		writers int
	}{{"1", 1}, {"64", 64}} {
		b.Run(c.name, func(b *testing.B) {
			s, _, err := Open(filepath.Join(b.TempDir(), "journal"), Options{Durable: true})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			ctx := context.Background()
			box := s.Box("echo")
			m := api.Message{ID: "0123456789abcdef0123", From: "demo/sender", To: "demo/echo", Text: "a message of some forty characters or so"}
			b.ResetTimer()
			var writers sync.WaitGroup
			for w := range c.writers {
				writers.Go(func() {
					for i := w; i < b.N; i += c.writers {
						if _, err := box.Put(ctx, m); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			r := box.Open()
			for range b.N {
				m, err := r.Next(ctx)
				if err != nil {
					b.Fatal(err)
				}
				r.Ack(m.Seq)
			}
			writers.Wait()
		})
	}
}
