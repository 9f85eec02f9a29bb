package mailbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const (
	// remembered is how many IDs of past messages PutResent knows, beside those that wait.
	remembered = 4096
	// reserveStep is how many sequence numbers one record reserves: after a crash numbering goes on behind them.
	reserveStep = 1 << 20
	// maxSeq bounds sequence numbers, so that a damaged or malicious one cannot make the count overflow.
	maxSeq = 1 << 53
)

// Box is the mailbox of one module. It is safe for concurrent use.
//
// Messages are delivered in the order in which Put accepted them. A message's Seq is its place: it grows by one per
// message and no number is given twice, even after a crash (where numbering goes on after a gap).
type Box struct {
	store *Store
	name  string
	id    uint64 // names the box in the journal

	mu      sync.Mutex
	queue   ring  // all that is not acknowledged
	fetched int   // how many of queue, from its head, the reader has
	bytes   int64 // size of queue
	next    uint64
	reader  *Reader
	senders []*sender // Puts that wait for room, first come first served
	ended   error     // ErrClosed, ErrRemoved
	full    uint64
	dropped uint64

	dead      []entry // oldest first
	deadBytes int64

	recent   []string // IDs of past messages: a ring once it has grown to the length remembered
	recentAt int      // the oldest of recent, to be overwritten next

	// What the disk has; see flush.go. Unused without a journal.
	visible  uint64 // messages up to this one may be fetched
	state    dirtiness
	written  uint64 // messages up to this one were written, unless they were acknowledged before
	reserved uint64 // numbers below this one are reserved on disk
	declared bool   // reserved is on disk
	opened   uint64 // next, when the store was opened
	acked    uint64 // highest acknowledged message
	ackDue   bool   // acked covers messages that are on disk, and is not on disk itself
	changes  []change
	round    *round // durable: what the Puts since the last flush wait for
}

// dirtiness says how soon a box must be written.
type dirtiness uint8

const (
	clean  dirtiness = iota
	dirty            // at the next interval
	urgent           // now: someone waits
)

// change is something that happened to one message that is on disk.
type change struct {
	kind   kind // kindDeath, kindDead, kindDrop
	seq    uint64
	deaths int
}

// sender is a Put that waits for room.
type sender struct {
	ctx    context.Context // of its Put; once that has ended, it is not let in
	m      *api.Message
	size   int
	resent bool

	done  chan struct{} // closed when the fields below are set
	seq   uint64
	err   error
	round *round
}

// Name returns the name under which the store keeps the box.
func (b *Box) Name() string { return b.name }

// Put appends m and returns the Seq that it got. While the box is full Put waits, in turn with the others that wait, until
// there is room, ctx ends, or the box does. In a durable store it then waits for the disk, which ctx does not cut short,
// and on an error the message is not delivered (but may be there after a crash that follows).
// The caller must not change m.Headers afterwards. A message too large for the journal is api.ErrTooLarge.
func (b *Box) Put(ctx context.Context, m api.Message) (seq uint64, err error) {
	return b.put(ctx, &m, false)
}

// PutResent is Put for a sender that does not know whether its first try arrived: where a message of the same ID was put
// before, nothing is put, and seq is 0 without an error. Known are the messages that wait, the dead letters, and the
// last 4096 IDs put (of which the last 256 are still known after a restart).
func (b *Box) PutResent(ctx context.Context, m api.Message) (seq uint64, err error) {
	return b.put(ctx, &m, true)
}

// PutAhead is Put, or PutResent, for one that puts many messages in their order and asks afterwards whether they are on
// disk: it waits for room and not for the disk. written waits for that: in a durable store for the message's own write,
// whose error means that it is not delivered; in the others, where the message is delivered already, as Store.Sync.
func (b *Box) PutAhead(ctx context.Context, m api.Message, resent bool) (written func() error, err error) {
	_, r, err := b.accept(ctx, &m, resent)
	if err != nil {
		return nil, err
	}
	if !b.store.opt.Durable {
		return b.store.Sync, nil
	}
	return r.wait, nil
}

// TryPut is Put where it has nothing to wait for: ok is false, and m is not put, in a durable store, while the box is
// full, and in all cases in which Put would return an error.
func (b *Box) TryPut(m *api.Message) (ok bool) {
	size := sizeOf(m)
	if b.store.opt.Durable || size > maxMessage {
		return false
	}
	b.mu.Lock()
	if b.ended != nil || len(b.senders) > 0 || !b.fits(size) {
		b.mu.Unlock()
		return false
	}
	b.push(m, size)
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
	return true
}

func (b *Box) put(ctx context.Context, m *api.Message, resent bool) (uint64, error) {
	seq, r, err := b.accept(ctx, m, resent)
	if err != nil {
		return 0, err
	}
	if err := r.wait(); err != nil {
		return 0, fmt.Errorf("put message into mailbox %s: %w", b.name, err)
	}
	return seq, nil
}

// accept appends m, once there is room, and returns the round to wait for. (It is another's, or none, where m was there
// already.)
func (b *Box) accept(ctx context.Context, m *api.Message, resent bool) (uint64, *round, error) {
	size := sizeOf(m)
	if size > maxMessage {
		return 0, nil, fmt.Errorf("put message of %d bytes into mailbox %s: %w: at most %d", size, b.name, api.ErrTooLarge, maxMessage)
	}
	b.mu.Lock()
	if err := b.ended; err != nil {
		b.mu.Unlock()
		return 0, nil, fmt.Errorf("put message into mailbox %s: %w", b.name, err)
	}
	if resent && b.known(m.ID) {
		r := b.round // the first try may be in it
		b.mu.Unlock()
		return 0, r, nil
	}
	if len(b.senders) > 0 || !b.fits(size) {
		// A copy, lest every Put allocates its message for the sake of those that wait.
		waiting := *m
		w := &sender{ctx: ctx, m: &waiting, size: size, resent: resent, done: make(chan struct{})}
		b.senders = append(b.senders, w)
		b.full++
		b.mu.Unlock()
		return b.await(ctx, w)
	}
	seq := b.push(m, size)
	r := b.round
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
	return seq, r, nil
}

// await waits for w's turn.
func (b *Box) await(ctx context.Context, w *sender) (uint64, *round, error) {
	select {
	case <-w.done:
	case <-ctx.Done():
		b.mu.Lock()
		i := slices.Index(b.senders, w)
		if i >= 0 {
			b.senders = slices.Delete(b.senders, i, i+1)
			b.admit() // the one behind may be smaller
			b.mu.Unlock()
			return 0, nil, fmt.Errorf("put message into mailbox %s, which is full: %w", b.name, ctx.Err())
		}
		b.mu.Unlock()
		<-w.done // accepted, or refused, in the meantime
	}
	if w.err != nil {
		return 0, nil, fmt.Errorf("put message into mailbox %s: %w", b.name, w.err)
	}
	return w.seq, w.round, nil
}

// PutOverwriting is for messages that subscriptions bring, where the newest matter most. It never waits: while the box is
// full, the oldest message with a Topic that is not fetched yet is dropped, and where there is none, m is. It returns
// how many were dropped; they count in Dropped. In a durable store m is delivered once it is on disk.
func (b *Box) PutOverwriting(m api.Message) (dropped int) {
	size := sizeOf(&m)
	b.mu.Lock()
	for b.ended == nil && size <= maxMessage && !b.fits(size) && b.dropOldest() {
		dropped++
	}
	if b.ended != nil || size > maxMessage || !b.fits(size) {
		dropped++
		b.dropped += uint64(dropped)
		b.mu.Unlock()
		return dropped
	}
	b.dropped += uint64(dropped)
	b.push(&m, size)
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
	return dropped
}

// dropOldest drops the oldest message with a Topic that is not fetched.
func (b *Box) dropOldest() bool {
	for i := b.fetched; i < b.queue.n; i++ {
		if e := b.queue.at(i); e.m.Topic != "" {
			b.forget(e.m.Seq)
			b.bytes -= int64(e.size)
			b.queue.remove(i)
			return true
		}
	}
	return false
}

// forget notes that the message seq has gone, should the disk have it.
func (b *Box) forget(seq uint64) {
	if b.store.journal != nil && seq <= b.written {
		b.changes = append(b.changes, change{kind: kindDrop, seq: seq})
		b.touch(dirty)
	}
}

// fits reports whether there is room for a message of that size.
func (b *Box) fits(size int) bool {
	return b.queue.n == 0 || b.queue.n < b.store.opt.Limit && b.bytes+int64(size) <= b.store.opt.MaxBytes
}

// push appends m. The caller has made sure that it fits.
func (b *Box) push(m *api.Message, size int) (seq uint64) {
	seq = b.next
	b.next++
	e := b.queue.push()
	e.m = *m
	e.m.Seq = seq
	e.size = size
	b.bytes += int64(size)
	b.remember(m.ID)
	if b.store.journal != nil {
		if b.store.opt.Durable && b.round == nil {
			b.round = newRound()
		}
		if seq > b.visible {
			b.touch(urgent)
		} else {
			b.touch(dirty)
		}
	}
	return seq
}

// makeRoom admits the senders that wait, after messages have left. It does so once an eighth of the box is free or the
// reader has nothing left to fetch, rather than one by one: waking a goroutine costs more than the rest of a Put.
func (b *Box) makeRoom() {
	if len(b.senders) > 0 && (b.fetched == b.queue.n || b.queue.n <= b.store.opt.Limit-b.store.opt.Limit/8) {
		b.admit()
	}
}

// admit lets senders in, first come first served, while they fit. They must not overtake each other, so the first one
// that does not fit ends it.
func (b *Box) admit() {
	for len(b.senders) > 0 && b.fits(b.senders[0].size) {
		w := b.senders[0]
		b.senders[0] = nil
		b.senders = b.senders[1:]
		if w.err = w.ctx.Err(); w.err == nil {
			if !w.resent || !b.known(w.m.ID) {
				w.seq = b.push(w.m, w.size)
			}
			w.round = b.round
		}
		close(w.done)
	}
}

// end ends the box for good.
func (b *Box) end(err error) {
	b.mu.Lock()
	b.ended = err
	for _, w := range b.senders {
		w.err = err
		close(w.done)
	}
	b.senders = nil
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
}

// touch asks the flusher to look at the box.
func (b *Box) touch(state dirtiness) {
	if state <= b.state || b.store.journal == nil {
		return
	}
	s := b.store
	s.mu.Lock()
	if b.state == clean {
		s.dirty = append(s.dirty, b)
	}
	if state == urgent {
		s.urgent = true
	}
	if state == urgent || len(s.dirty) == 1 {
		s.signal()
	}
	s.mu.Unlock()
	b.state = state
}

// remember notes the ID of a message that was put.
func (b *Box) remember(id string) {
	switch {
	case id == "":
	case len(b.recent) < remembered:
		b.recent = append(b.recent, id)
	default:
		b.recent[b.recentAt] = id
		b.recentAt = (b.recentAt + 1) % remembered
	}
}

// known reports whether a message of that ID was put before. It searches in line: only PutResent asks.
func (b *Box) known(id string) bool {
	if id == "" {
		return false
	}
	if slices.Contains(b.recent, id) {
		return true
	}
	for i := range b.queue.n {
		if b.queue.at(i).m.ID == id {
			return true
		}
	}
	return slices.ContainsFunc(b.dead, func(e entry) bool { return e.m.ID == id })
}

// lastIDs returns up to n of the IDs remembered, the newest of them, oldest first.
func (b *Box) lastIDs(n int) []string {
	ids := append(slices.Clone(b.recent[b.recentAt:]), b.recent[:b.recentAt]...)
	return ids[max(0, len(ids)-n):]
}

// Pending counts the messages that wait to be fetched: those in the reader's hands do not count.
func (b *Box) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.n - b.fetched
}

// InHand counts the messages that the reader has fetched and not acknowledged.
func (b *Box) InHand() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fetched
}

// Waiting returns copies of all messages that are not acknowledged, those in the reader's hands first.
func (b *Box) Waiting() []api.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages := make([]api.Message, b.queue.n)
	for i := range messages {
		messages[i] = b.queue.at(i).copy()
	}
	return messages
}

// Full counts the Puts that had to wait since the store was opened.
func (b *Box) Full() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

// Dropped counts the messages that PutOverwriting dropped since the store was opened.
func (b *Box) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

func (e *entry) copy() api.Message {
	m := e.m
	m.Headers = maps.Clone(m.Headers)
	return m
}

// sizeOf counts what a message takes: the bytes of its strings.
func sizeOf(m *api.Message) int {
	n := len(m.ID) + len(m.From) + len(m.To) + len(m.Topic) + len(m.Text) + len(m.ContentType) + len(m.ReplyTo) + len(m.CorrelationID)
	for key, value := range m.Headers {
		n += len(key) + len(value) + 2*maxVarint32
	}
	return n
}

// round is one group commit: all that wait for the same write share its result.
type round struct {
	done chan struct{}
	err  error
}

func newRound() *round { return &round{done: make(chan struct{})} }

// wait waits for the round's end. There is nothing to wait for in a nil one.
func (r *round) wait() error {
	if r == nil {
		return nil
	}
	<-r.done
	return r.err
}

func (r *round) finish(err error) {
	if r != nil {
		r.err = err
		close(r.done)
	}
}
