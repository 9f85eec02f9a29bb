package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/exchange"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
	"github.com/concurrent-modular-agent/coma/internal/peers"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// realHost is a host at a real broker.
type realHost struct {
	*exchange.Exchange
	place *exchange.Place
	link  *uplink.Client
}

// adapter lets an exchange use an uplink, as package backend does.
type adapter struct{ *uplink.Client }

func (a adapter) Subscribe(pattern string, qos byte, handle func(topic string, payload []byte)) (func(), error) {
	return a.Client.Subscribe(pattern, qos, func(m uplink.Message) {
		handle(m.Topic, m.Payload)
		m.Done()
	})
}

func openHost(t *testing.T, broker *peers.Broker, name, dir string, modules ...string) *realHost {
	t.Helper()
	h := &realHost{place: exchange.OpenPlace(t, dir, mailbox.Options{Durable: true}, modules...)}
	instance := api.NewID()
	topic, will := exchange.Will(name, instance)
	ready := make(chan struct{})
	var err error
	h.link, err = uplink.Open(t.Context(), uplink.Options{
		URL: broker.URL(), ClientID: "coma-" + name, WillTopic: topic, Will: will,
		Changed: func(s uplink.State) {
			if s.Connected {
				go func() {
					<-ready
					h.Connected()
				}()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Exchange, err = exchange.Open(exchange.Options{
		Host: name, Instance: instance, Dir: filepath.Join(dir, "exchange"), Broker: adapter{h.link}, Local: h.place,
	})
	if err != nil {
		t.Fatal(err)
	}
	close(ready)
	return h
}

func (h *realHost) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(h.Close(), h.place.Close(), h.link.Close()); err != nil {
		t.Error(err)
	}
}

var kinds = []struct {
	name  string
	start func(peers.Test, peers.BrokerOptions) *peers.Broker
}{{"mosquitto", peers.Mosquitto}, {"nats", peers.NATS}, {"rabbitmq", peers.RabbitMQ}}

// TestRealBrokers lets two hosts send thousands of messages both ways through each broker, which is killed and started again in the
// middle, as one of the hosts is stopped and started.
func TestRealBrokers(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			if kind.name == "rabbitmq" && testing.Short() {
				t.Skip("RabbitMQ takes long to start")
			}
			broker := kind.start(t, peers.BrokerOptions{})
			const each = 3000
			dirA, dirB := t.TempDir(), t.TempDir()
			a := openHost(t, broker, "a", dirA, "A/one")
			b := openHost(t, broker, "b", dirB, "A/two")
			one, two := exchange.NewConsumer(), exchange.NewConsumer()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // RabbitMQ may take one to start
			defer cancel()
			var reading sync.WaitGroup
			reading.Go(func() { one.Read(ctx, a.place.Box("A/one")) })
			reading.Go(func() { two.Read(ctx, b.place.Box("A/two")) })
			awaitKnown(ctx, t, a, "A/two")
			awaitKnown(ctx, t, b, "A/one")

			var sending sync.WaitGroup
			half := make(chan struct{})
			sending.Go(func() {
				for n := range each {
					if n == each/3 {
						close(half)
					}
					send(ctx, t, a, "A/two", "A/one", n+1)
				}
			})
			sending.Go(func() {
				for n := range each / 3 {
					send(ctx, t, b, "A/one", "A/two", n+1)
				}
			})
			<-half
			broker.Kill()
			broker.Start()
			sending.Wait()
			b.stop(t)
			for n := range 100 {
				send(ctx, t, a, "A/two", "A/one", each+n+1)
			}
			b = openHost(t, broker, "b", dirB, "A/two")
			reading.Go(func() { two.Read(ctx, b.place.Box("A/two")) })
			for n := each / 3; n < each; n++ {
				send(ctx, t, b, "A/one", "A/two", n+1)
			}
			two.Await(ctx, "A/one", each+100)
			one.Await(ctx, "A/two", each)
			two.Check(t, "A/one", each+100)
			one.Check(t, "A/two", each)
			a.stop(t)
			b.stop(t)
			reading.Wait()
		})
	}
}

func send(ctx context.Context, t *testing.T, from *realHost, to, sender string, n int) {
	m := api.Message{ID: fmt.Sprintf("%s-%d", sender, n), From: sender, To: to, Text: fmt.Sprintf("%s %d", sender, n)}
	if err := from.Send(ctx, m, true, false); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
}

// awaitKnown waits until a host has heard of a module.
func awaitKnown(ctx context.Context, t *testing.T, h *realHost, module string) {
	t.Helper()
	for !h.Knows(module) {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s is not known", module)
		}
	}
}
