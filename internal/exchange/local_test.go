package exchange

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

// place is a host's mailboxes, as a backend has them. It implements Local.
type place struct {
	store *mailbox.Store

	mu      sync.Mutex
	running map[string]bool
}

func openPlace(t *testing.T, dir string, opt mailbox.Options, modules ...string) *place {
	t.Helper()
	store, _, err := mailbox.Open(filepath.Join(dir, "mailboxes"), opt)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{store: store, running: map[string]bool{}}
	for _, m := range modules {
		store.Box(m)
		p.running[m] = true
	}
	return p
}

func (p *place) Modules() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	here := map[string]bool{}
	for _, name := range p.store.Names() {
		here[name] = p.running[name]
	}
	return here
}

func (p *place) Deliver(ctx context.Context, to string, messages []api.Message, again bool) (n int, written func() error, err error) {
	box, ok := p.store.Lookup(to)
	if !ok {
		return 0, nil, fmt.Errorf("%w: %s is not here", api.ErrUnknown, to)
	}
	var waits []func() error
	for _, m := range messages {
		wait, err := box.PutAhead(ctx, m, again)
		if err != nil {
			return n, all(waits), err
		}
		waits = append(waits, wait)
		n++
	}
	return n, all(waits), nil
}

func all(waits []func() error) func() error {
	return func() error {
		var errs []error
		for _, wait := range waits {
			errs = append(errs, wait())
		}
		return errors.Join(errs...)
	}
}

func (p *place) box(name string) *mailbox.Box { return p.store.Box(name) }

// consumer reads a module's mailbox and checks what comes: from each sender, all of its messages once and in order. A
// message's text is "<sender> <number>", numbers count from 1.
type consumer struct {
	mu     sync.Mutex
	last   map[string]int
	seq    uint64 // of the mailbox
	faults []string
	got    chan struct{} // capacity 1
}

func newConsumer() *consumer { return &consumer{last: map[string]int{}, got: make(chan struct{}, 1)} }

// read reads until ctx ends or the mailbox does.
func (c *consumer) read(ctx context.Context, box *mailbox.Box) {
	r := box.Open()
	for {
		m, err := r.Next(ctx)
		if err != nil {
			return
		}
		c.take(m)
		r.Ack(m.Seq)
	}
}

func (c *consumer) take(m api.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Seq <= c.seq {
		return // the mailbox gives it again: its acknowledgement was not on disk when the host was killed
	}
	c.seq = m.Seq
	sender, text, _ := strings.Cut(m.Text, " ")
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil || n != c.last[sender]+1 {
		c.faults = append(c.faults, fmt.Sprintf("after %s %d came %.40q (id %s, seq %d)", sender, c.last[sender], m.Text, m.ID, m.Seq))
	}
	c.last[sender] = n
	select {
	case c.got <- struct{}{}:
	default:
	}
}

func (c *consumer) count(sender string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[sender]
}

// await waits until so many of a sender's messages have come.
func (c *consumer) await(ctx context.Context, sender string, want int) {
	for c.count(sender) < want && ctx.Err() == nil {
		select {
		case <-c.got:
		case <-ctx.Done():
		}
	}
}

func (c *consumer) check(t *testing.T, sender string, want int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last[sender] != want || len(c.faults) > 0 {
		t.Errorf("of %s, %d of %d have arrived; faults: %q", sender, c.last[sender], want, c.faults)
	}
}

func message(to, sender string, n int) api.Message {
	return api.Message{ID: api.NewID(), From: sender, To: to, Text: fmt.Sprintf("%s %d", sender, n)}
}
