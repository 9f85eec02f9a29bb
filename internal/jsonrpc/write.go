package jsonrpc

import (
	"context"
	"time"
)

const (
	// maxBuffered bounds what waits to be written, in bytes. Callers wait above it.
	maxBuffered = 8 << 20
	// maxBatch is the size beyond which nothing is added to a batch: it would only wait for the rest.
	maxBatch = 64 << 10
	// maxSpare is the size of a buffer that is kept for the next batch; a larger one is let go.
	maxSpare = 256 << 10
	// farewell bounds the wait for the last words to a far side that is given up.
	farewell = time.Second
)

// outgoing is what waits to be written. Its fields are under Peer.mu.
type outgoing struct {
	batches []batch // the last one takes what comes
	bytes   int     // of all batches
	writing bool    // a batch has been taken and is being written
	spare   []byte
	room    chan struct{} // closed and forgotten after each write; nil while nobody waits for it
	wake    chan struct{} // capacity 1: there is something to write
}

// add is called with Peer.mu held.
func (o *outgoing) add(message []byte, batching bool) {
	n := len(o.batches)
	if n == 0 || !batching || len(o.batches[n-1].buf)+len(message) > maxBatch {
		o.batches = append(o.batches, batch{buf: o.spare})
		o.spare = nil
		n++
	}
	o.batches[n-1].add(message)
	o.bytes += len(message)
	if !o.writing {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// take takes the first batch for writing. It is called with Peer.mu held.
func (o *outgoing) take() batch {
	first := o.batches[0]
	o.batches[0] = batch{}
	if len(o.batches) == 1 {
		o.batches = o.batches[:0]
	} else {
		o.batches = o.batches[1:]
	}
	o.writing = true
	return first
}

// waitChannel returns what is closed after the next write. It is called with Peer.mu held.
func (o *outgoing) waitChannel() <-chan struct{} {
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

// send queues a message, waiting while too much is queued already.
func (p *Peer) send(ctx context.Context, what string, message []byte) error {
	for {
		p.mu.Lock()
		if p.calls == nil {
			p.mu.Unlock()
			return p.lostError(what)
		}
		if p.out.bytes < maxBuffered {
			p.out.add(message, p.batching)
			p.mu.Unlock()
			return nil
		}
		room := p.out.waitChannel()
		p.mu.Unlock()
		select {
		case <-room:
		case <-p.lost:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendNow queues a message that is small and one of few, however much is queued already.
func (p *Peer) sendNow(what string, message []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		return p.lostError(what)
	}
	p.out.add(message, p.batching)
	return nil
}

// write writes what is queued until the connection is lost.
func (p *Peer) write() {
	for {
		select {
		case <-p.out.wake:
		case <-p.lost:
			return
		}
		p.mu.Lock()
		for len(p.out.batches) > 0 && p.calls != nil {
			taken := p.out.take()
			p.mu.Unlock()
			if err := p.conn.Write(taken.frame(false)); err != nil {
				p.fail(err)
			}
			p.mu.Lock()
			p.out.writing = false
			p.out.bytes -= taken.bytes
			if cap(taken.buf) <= maxSpare {
				p.out.spare = taken.buf[:0]
			}
			if p.out.room != nil {
				close(p.out.room)
				p.out.room = nil
			}
		}
		p.mu.Unlock()
	}
}

// flush waits until all that is queued is written, for a short while.
func (p *Peer) flush() {
	late := time.NewTimer(farewell)
	defer late.Stop()
	for {
		p.mu.Lock()
		if p.calls == nil || len(p.out.batches) == 0 && !p.out.writing {
			p.mu.Unlock()
			return
		}
		room := p.out.waitChannel()
		p.mu.Unlock()
		select {
		case <-room:
		case <-p.lost:
		case <-late.C:
			return
		}
	}
}
