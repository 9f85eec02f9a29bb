package exchange

import (
	"context"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

// What the tests outside the package, which use real brokers, share with those inside.

type Place struct{ *place }

func OpenPlace(t *testing.T, dir string, opt mailbox.Options, modules ...string) *Place {
	return &Place{openPlace(t, dir, opt, modules...)}
}

func (p *Place) Box(name string) *mailbox.Box { return p.box(name) }
func (p *Place) Close() error                 { return p.store.Close() }

type Consumer struct{ consumer *consumer }

func NewConsumer() Consumer { return Consumer{newConsumer()} }

func (c Consumer) Read(ctx context.Context, box *mailbox.Box) { c.consumer.read(ctx, box) }
func (c Consumer) Await(ctx context.Context, sender string, want int) {
	c.consumer.await(ctx, sender, want)
}
func (c Consumer) Check(t *testing.T, sender string, want int) {
	t.Helper()
	c.consumer.check(t, sender, want)
}
