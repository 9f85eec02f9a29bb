package exchange

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

// TestModel lets three hosts send to each other through a broker that loses, doubles, reorders and forgets, while
// connections are cut, hosts are killed and started from what their disks have, and mailboxes fill up. All that was accepted must
// arrive once, and in order. The walk depends on the seed alone.
func TestModel(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { (&walk{}).run(t, seed) })
		})
	}
}

type walk struct {
	rand   *rand.Rand
	broker *unreliable
	hosts  map[string]*walker
	names  []string
}

// walker is a host of the walk. Its modules are <name>/in, which reads what comes, and <name>/out, which sends to the others.
type walker struct {
	name string
	dir  string
	host *testHost // nil while it is down
	in   *consumer
	stop func()                   // ends the senders, and waits for them
	sent map[string]*atomic.Int64 // accepted, by the host that it was for
}

func (w *walk) run(t *testing.T, seed uint64) {
	w.rand = rand.New(rand.NewPCG(seed, 2))
	w.broker = newUnreliable(seed)
	w.hosts = map[string]*walker{}
	w.names = []string{"a", "b", "c"}
	for _, name := range w.names {
		w.hosts[name] = &walker{name: name, dir: t.TempDir(), in: newConsumer(), sent: map[string]*atomic.Int64{}}
		for _, to := range w.names {
			w.hosts[name].sent[to] = &atomic.Int64{}
		}
		w.start(t, w.hosts[name])
	}
	time.Sleep(time.Second) // they know each other
	w.broker.faults(0.05, 0.1, 30*time.Millisecond)
	for range 60 {
		w.step(t)
		time.Sleep(time.Duration(w.rand.Int64N(int64(3 * time.Second))))
	}

	// All is well again: what was accepted arrives.
	for _, name := range w.names {
		h := w.hosts[name]
		if h.host == nil {
			w.start(t, h)
		}
		h.host.connect()
	}
	w.broker.faults(0, 0, 30*time.Millisecond)
	time.Sleep(10 * time.Second)
	for _, h := range w.hosts {
		h.stop()
	}
	time.Sleep(5 * time.Minute)
	total := 0
	for _, to := range w.names {
		for _, from := range w.names {
			if from != to {
				n := int(w.hosts[from].sent[to].Load())
				w.hosts[to].in.check(t, from, n)
				total += n
			}
		}
	}
	if total < 100 {
		t.Errorf("only %d messages were accepted: the walk shows nothing", total)
	}
	for _, h := range w.hosts {
		h.host.stop(t)
	}
}

// start starts a host from its folder, with a goroutine that reads and one for each other host that sends.
func (w *walk) start(t *testing.T, h *walker) {
	h.host = startHost(t, w.broker, h.name, h.dir, mailbox.Options{Durable: true, Limit: 20}, h.name+"/in")
	ctx, cancel := context.WithCancel(t.Context())
	box := h.host.box(t, h.name+"/in")
	x := h.host.Exchange
	var sending sync.WaitGroup
	go h.in.read(t.Context(), box) // until the mailboxes are closed
	for i, to := range w.names {
		if to == h.name {
			continue
		}
		chance := rand.New(rand.NewPCG(uint64(i), w.rand.Uint64()))
		sending.Go(func() { h.send(ctx, x, to, chance) })
	}
	h.stop = func() {
		cancel()
		sending.Wait()
	}
}

// send sends numbered messages in bursts. What Send has not accepted is sent again, under its number.
func (h *walker) send(ctx context.Context, x *Exchange, to string, chance *rand.Rand) {
	for ctx.Err() == nil {
		for range chance.IntN(40) {
			m := message(to+"/in", h.name, int(h.sent[to].Load())+1)
			m.ID = m.Text + " to " + to
			if err := x.Send(ctx, m, true, true); err != nil {
				break
			}
			h.sent[to].Add(1)
		}
		select {
		case <-time.After(time.Duration(chance.Int64N(int64(10 * time.Second)))):
		case <-ctx.Done():
		}
	}
}

func (w *walk) step(t *testing.T) {
	h := w.hosts[w.names[w.rand.IntN(len(w.names))]]
	switch w.rand.IntN(8) {
	case 0:
		w.broker.kill()
	case 1:
		if h.host != nil {
			h.host.conn.cut()
		}
	case 2:
		if h.host != nil {
			w.kill(t, h)
		}
	case 3:
		if h.host != nil {
			h.stop()
			h.host.stop(t)
			h.host = nil
		}
	default:
		if h.host == nil {
			w.start(t, h)
		} else if !h.host.conn.connected() {
			h.host.connect()
		}
	}
}

// kill ends a host as kill -9 does: what its folder holds at that moment is all that the next one finds.
func (w *walk) kill(t *testing.T, h *walker) {
	h.host.conn.cut()
	h.stop()
	dir := t.TempDir()
	// In the order in which a host writes them: the table is never ahead of the mailboxes.
	for _, part := range []string{"exchange/received", "."} {
		if err := copyTree(filepath.Join(dir, part), filepath.Join(h.dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(h.host.Close(), h.host.place.store.Close()); err != nil {
		t.Error(err)
	}
	h.host, h.dir = nil, dir
}

// copyTree copies a file or folder; files that are there already stay.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if _, err := os.Stat(target); err == nil {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	})
}
