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
	// credit is how much is written without asking whether it might have to wait, since the far side was last heard of: it
	// fits into a socket's buffer, even if the far side reads nothing. Each write counts for overhead more.
	credit   = 48 << 10
	overhead = 1 << 10
	// few is how many calls may wait for their answers for the next message to leave at once. Where more do, the far side
	// is busy, and what the writer takes together costs less.
	few = 4
	// farewell bounds the wait for the last words to a far side that is given up.
	farewell = time.Second
)

// outgoing is what waits to be written. Its fields are under Peer.mu.
type outgoing struct {
	batches []batch // the last one takes what comes
	bytes   int     // of all batches
	queued  uint64  // messages, since the beginning
	written uint64  // of those
	writing bool    // a batch has been taken and is being written
	owing   int     // written by senders themselves, since the far side was last heard of
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
	o.queued++
}

// signal has the writer write what is queued. It is called with Peer.mu held.
func (o *outgoing) signal() {
	if o.writing {
		return // and will look again
	}
	select {
	case o.wake <- struct{}{}:
	default:
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
			if len(p.calls) <= few {
				p.leave()
			} else {
				p.out.signal()
			}
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

// queue queues a message however much is queued already. It is written with the next that is sent, or by Flush.
func (p *Peer) queue(what string, message []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		return p.lostError(what)
	}
	p.out.add(message, p.batching)
	return nil
}

// leave has what is queued leave: at once, in this goroutine, if nobody is writing and the far side reads, which saves
// waking the writer; else by the writer. It is called with mu held, which it gives up meanwhile.
func (p *Peer) leave() {
	for !p.out.writing && len(p.out.batches) > 0 && p.calls != nil {
		cost := p.out.batches[0].bytes + overhead
		if p.out.owing+cost > credit {
			break
		}
		p.out.owing += cost
		p.writeNext()
	}
	if len(p.out.batches) > 0 {
		p.out.signal()
	}
}

// Flush returns when all that is queued by now has been handed to the system: it reaches the far side even if this
// process dies right after. Where nobody is writing it writes itself, which ctx does not cut short: but then the last
// write has just gone through.
func (p *Peer) Flush(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for target := p.out.queued; p.out.written < target; {
		if p.calls == nil {
			return p.lostError("write")
		}
		if !p.out.writing {
			p.writeNext()
			if len(p.out.batches) > 0 {
				p.out.signal() // others wait for more than this goroutine does
			}
			continue
		}
		room := p.out.waitChannel()
		p.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-p.lost:
		case <-ctx.Done():
			err = ctx.Err()
		}
		p.mu.Lock()
		if err != nil {
			return err
		}
	}
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
		for len(p.out.batches) > 0 && !p.out.writing && p.calls != nil {
			p.writeNext()
		}
		p.mu.Unlock()
	}
}

// writeNext writes the first batch. It is called with mu held, which it gives up meanwhile, by one goroutine at a time:
// out.writing is not set.
func (p *Peer) writeNext() {
	taken := p.out.take()
	p.mu.Unlock()
	if err := p.conn.Write(taken.frame(false)); err != nil {
		p.fail(err)
	}
	p.mu.Lock()
	p.out.writing = false
	p.out.bytes -= taken.bytes
	p.out.written += uint64(taken.count)
	if cap(taken.buf) <= maxSpare {
		p.out.spare = taken.buf[:0]
	}
	if p.out.room != nil {
		close(p.out.room)
		p.out.room = nil
	}
}
