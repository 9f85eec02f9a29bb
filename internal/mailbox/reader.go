package mailbox

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Reader is the one reader of a box: a module's session. It is safe for concurrent use.
//
// A message goes through it in three steps. Next fetches it: it is in hand, and the box gives it to nobody else. Begin says
// that the module's code now has it. Ack says that the module has finished with it. What was fetched and not acknowledged
// when the reader ends is first in the next one.
type Reader struct {
	box   *Box
	begun atomic.Uint64
	ready chan struct{}          // capacity 1: there may be something for Next
	call  atomic.Pointer[func()] // see OnReadable

	// Under box.mu:
	waiting int   // calls of Next that wait
	ended   error // api.ErrReplaced, api.ErrClosed
}

// Open returns a reader that takes over from the current one, if any: that one's calls end with api.ErrReplaced, and what
// it has not acknowledged is first in the new one.
func (b *Box) Open() *Reader {
	b.mu.Lock()
	r, ended := b.takeOver()
	b.mu.Unlock()
	notify(ended)
	return r
}

// Resume is Open for a module that lived on while its host was restarted, and has the message seq in hand: those before
// it are acknowledged, it is fetched and begun, and Next goes on behind it. Later messages get numbers above seq even
// if the box had forgotten it. A seq of 0 means that the module has nothing in hand.
func (b *Box) Resume(seq uint64) *Reader {
	b.mu.Lock()
	r, ended := b.takeOver()
	if seq > 0 && seq < maxSeq {
		b.resume(r, seq)
	}
	b.mu.Unlock()
	notify(ended)
	return r
}

func (b *Box) resume(r *Reader, seq uint64) {
	for b.queue.n > 0 && b.queue.at(0).m.Seq < seq {
		b.finish()
	}
	if b.queue.n > 0 && b.queue.at(0).m.Seq == seq {
		b.fetched = 1
		r.begun.Store(seq)
	}
	if b.next <= seq {
		b.next = seq + 1
		b.declared = false
		b.touch(dirty)
	}
	b.makeRoom()
}

// takeOver makes a new reader. The old one, if it waits, is to be notified.
func (b *Box) takeOver() (r, ended *Reader) {
	if old := b.reader; old != nil {
		old.ended = fmt.Errorf("read mailbox %s: %w", b.name, api.ErrReplaced)
		ended = b.awaited()
	}
	b.fetched = 0
	b.reader = &Reader{box: b, ready: make(chan struct{}, 1)}
	return b.reader, ended
}

// Next returns the next message that this reader has not fetched. It waits for one until ctx or the reader ends. It does
// not acknowledge: many can be fetched ahead.
func (r *Reader) Next(ctx context.Context) (m api.Message, err error) {
	for {
		ok, err := r.take(&m, true)
		if ok || err != nil {
			return m, err
		}
		select {
		case <-r.ready:
			err = nil
		case <-ctx.Done():
			err = ctx.Err()
		}
		r.box.mu.Lock()
		r.waiting--
		r.box.mu.Unlock()
		if err != nil {
			return m, err
		}
	}
}

// TryNext is Next that does not wait: ok is false where nothing is there.
func (r *Reader) TryNext() (m api.Message, ok bool, err error) {
	ok, err = r.take(&m, false)
	return m, ok, err
}

// take fetches the next message. Where there is none and wait is set, it counts the caller among those that wait.
func (r *Reader) take(m *api.Message, wait bool) (ok bool, err error) {
	b := r.box
	b.mu.Lock()
	if err = r.ended; err == nil && b.ended != nil {
		err = fmt.Errorf("read mailbox %s: %w", b.name, b.ended)
	}
	switch {
	case err != nil:
	case b.readable():
		*m = b.queue.at(b.fetched).m
		b.fetched++
		if b.fetched == b.queue.n {
			b.makeRoom()
		}
		ok = true
	case wait:
		r.waiting++
		b.mu.Unlock()
		return false, nil
	}
	// ready holds one token: whoever took it passes it on where others wait.
	var wake *Reader
	if r.waiting > 0 && (err != nil || b.readable()) {
		wake = r
	}
	b.mu.Unlock()
	notify(wake)
	return ok, err
}

// readable reports whether there is a message that the reader may fetch.
func (b *Box) readable() bool {
	return b.fetched < b.queue.n && b.queue.at(b.fetched).m.Seq <= b.visible
}

// awaited returns the reader, if it waits and would find something.
func (b *Box) awaited() *Reader {
	if r := b.reader; r != nil && (r.waiting > 0 || r.call.Load() != nil) && (r.ended != nil || b.ended != nil || b.readable()) {
		return r
	}
	return nil
}

// notify wakes a call of Next, or makes the call of OnReadable. Nobody is woken for nil. It is called without b.mu held.
func notify(r *Reader) {
	if r == nil {
		return
	}
	if call := r.call.Load(); call != nil {
		(*call)()
	}
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// Begin says that the module's code now has the message seq: should the reader close with Died, that message has died
// with it.
func (r *Reader) Begin(seq uint64) { r.begun.Store(seq) }

// InHand returns the message that the module's code has, by its seq; 0 if it has none.
func (r *Reader) InHand() uint64 {
	b := r.box
	b.mu.Lock()
	defer b.mu.Unlock()
	seq := r.begun.Load()
	if i, ok := b.queue.find(seq); !ok || i >= b.fetched || b.reader != r {
		return 0
	}
	return seq
}

// Ack says that all messages up to and including seq, as far as this reader has fetched them, are finished with.
// It does nothing on a reader that has ended.
func (r *Reader) Ack(seq uint64) {
	b := r.box
	b.mu.Lock()
	if b.reader == r && b.ended == nil {
		b.ack(seq)
	}
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
}

func (b *Box) ack(seq uint64) {
	for b.fetched > 0 && b.queue.at(0).m.Seq <= seq {
		b.fetched--
		b.finish()
	}
	b.makeRoom()
}

// finish takes the first message out of the queue: it is acknowledged.
func (b *Box) finish() {
	e := b.queue.at(0)
	b.acked = e.m.Seq
	b.bytes -= int64(e.size)
	if e.m.Seq <= b.written && !b.ackDue {
		b.ackDue = true
		b.touch(dirty)
	}
	b.queue.pop()
}

// Halt lets no message be fetched any more: calls end with api.ErrClosed. What has been fetched can still be acknowledged.
func (r *Reader) Halt() {
	b := r.box
	b.mu.Lock()
	if r.ended == nil {
		r.ended = fmt.Errorf("read mailbox %s: %w", b.name, api.ErrClosed)
	}
	var ended *Reader
	if b.reader == r {
		ended = b.awaited()
	}
	b.mu.Unlock()
	notify(ended)
}

// Close ends the reader. Unacknowledged messages stay, first in line for the next reader, and the one begun last
// is treated as outcome says: Finished acknowledges it (and those before it), Stopped leaves it as it is, Died adds one to
// its Deaths and, when those reach MaxDeaths, moves it to the dead letters. Close does nothing on a reader that has ended
// before: who took over has its messages.
func (r *Reader) Close(outcome api.Outcome) {
	b := r.box
	b.mu.Lock()
	if b.reader != r {
		b.mu.Unlock()
		return
	}
	if seq := r.begun.Load(); seq > 0 && b.ended == nil {
		switch outcome {
		case api.Finished:
			b.ack(seq)
		case api.Died:
			b.die(seq)
		}
	}
	r.ended = fmt.Errorf("read mailbox %s: %w", b.name, api.ErrClosed)
	ended := b.awaited()
	b.reader = nil
	b.fetched = 0
	b.mu.Unlock()
	notify(ended)
}
