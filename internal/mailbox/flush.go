package mailbox

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const (
	// syncInterval bounds how long a store that writes behind leaves written data to the system's own pace.
	syncInterval = time.Second
	// maxRetry bounds the pause between attempts to write while writes fail.
	maxRetry = time.Second
)

// run is the flusher: the one goroutine that writes. It sleeps, without a timer, while there is nothing to write.
func (s *Store) run() {
	defer close(s.done)
	var flushAt, syncAt time.Time // zero: not due
	retry := s.opt.FlushInterval
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.wake:
		case <-timer.C:
		case <-s.quit:
			s.closing = s.farewell()
			return
		}
		now := time.Now()
		s.mu.Lock()
		pending := len(s.dirty) > 0 || len(s.removed) > 0
		hurry := s.urgent
		s.mu.Unlock()
		if pending && flushAt.IsZero() {
			flushAt = now.Add(s.opt.FlushInterval)
		}
		if hurry || !flushAt.IsZero() && !now.Before(flushAt) {
			flushAt = time.Time{}
			if s.flush() == nil {
				retry = s.opt.FlushInterval
			} else {
				retry = min(2*retry, max(maxRetry, s.opt.FlushInterval))
				flushAt = time.Now().Add(retry)
			}
			s.compact()
		}
		if s.journal.unsynced && syncAt.IsZero() {
			syncAt = now.Add(syncInterval)
		}
		if !syncAt.IsZero() && !now.Before(syncAt) {
			syncAt = time.Time{}
			if err := s.journal.commit(true); err != nil {
				s.report(err)
				flushAt = time.Now().Add(retry)
			}
		}
		due := flushAt
		if due.IsZero() || !syncAt.IsZero() && syncAt.Before(due) {
			due = syncAt
		}
		if due.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(0, time.Until(due)))
		}
	}
}

// batch is what one flush writes of one box.
type batch struct {
	box      *Box
	declare  bool
	next     uint64 // with declare
	messages []api.Message
	letters  []api.Message
	changes  []change
	ack      uint64 // 0: none
	from     uint64 // Box.written before
	upto     uint64 // and after
	round    *round
}

// flush writes what has changed since the last one. What cannot be written is written again the next time, but the Puts
// of a durable store get the error, and their messages go.
func (s *Store) flush() error {
	if s.journal.suspect {
		if err := s.rewrite(); err != nil {
			s.report(err)
			s.refuse(err)
			return err
		}
	}

	s.mu.Lock()
	boxes, removed, syncs := s.dirty, s.removed, s.syncs
	s.dirty, s.removed, s.syncs, s.urgent = nil, nil, nil, false
	s.mu.Unlock()

	sync := len(syncs) > 0
	batches := make([]batch, 0, len(boxes))
	for _, b := range boxes {
		if batch, ok := b.collect(); ok {
			batches = append(batches, batch)
			sync = sync || batch.round != nil
		}
	}
	for i := range batches {
		batches[i].write(s.journal)
	}
	for _, id := range removed {
		s.journal.append(kindRemoved, nil, id)
	}
	err := s.journal.commit(sync)
	for i := range batches {
		if err == nil {
			batches[i].done()
		} else {
			batches[i].undo(err)
		}
	}
	if err != nil {
		s.mu.Lock()
		s.removed = append(removed, s.removed...)
		s.mu.Unlock()
	}
	s.report(err)
	for _, r := range syncs {
		r.finish(err)
	}
	return err
}

// refuse fails all that waits for the disk, where nothing can be written at all.
func (s *Store) refuse(err error) {
	s.mu.Lock()
	boxes, syncs := s.dirty, s.syncs
	s.dirty, s.syncs, s.urgent = nil, nil, false
	s.mu.Unlock()
	for _, b := range boxes {
		if batch, ok := b.collect(); ok {
			batch.undo(err)
		}
	}
	for _, r := range syncs {
		r.finish(err)
	}
}

// report keeps and logs the first of a row of write failures, and their end.
func (s *Store) report(err error) {
	s.mu.Lock()
	before := s.failure
	if err == nil || before == nil {
		s.failure = err
	}
	s.mu.Unlock()
	switch {
	case err != nil && before == nil && s.opt.Durable:
		s.opt.Log.Error("mailbox journal cannot be written: messages are refused until it can", "journal", s.journal.path, "error", err)
	case err != nil && before == nil:
		s.opt.Log.Error("mailbox journal cannot be written: messages are kept in memory alone until it can", "journal", s.journal.path, "error", err)
	case err == nil && before != nil:
		s.opt.Log.Info("mailbox journal can be written again", "journal", s.journal.path)
	}
}

// collect takes what is to be written of the box. Messages are copied, so that they are encoded without holding up the box.
func (b *Box) collect() (batch, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = clean
	p := batch{box: b, from: b.written, upto: b.written, round: b.round}
	b.round = nil
	if b.ended == ErrRemoved {
		p.round.finish(fmt.Errorf("write message: %w", ErrRemoved))
		return p, false
	}
	for i := b.queue.after(b.written); i < b.queue.n; i++ {
		p.messages = append(p.messages, b.queue.at(i).m)
		p.upto = p.messages[len(p.messages)-1].Seq
	}
	b.written = p.upto
	for i := range b.dead {
		if !b.dead[i].stored {
			b.dead[i].stored = true
			p.letters = append(p.letters, b.dead[i].m)
		}
	}
	p.changes, b.changes = b.changes, nil
	if b.ackDue {
		p.ack, b.ackDue = b.acked, false
	}
	// In a durable store a number is on disk before anyone sees it. In the others, numbers are reserved ahead.
	if !b.store.opt.Durable && b.next > 1 && b.reserved < b.next+reserveStep/2 {
		b.reserved = b.next + reserveStep
		b.declared = false
	}
	if !b.declared {
		p.declare, b.declared = true, true
		p.next = max(b.next, b.reserved)
		if b.store.opt.Durable {
			p.next = b.next
		}
	}
	b.queue.release()
	return p, p.declare || len(p.messages) > 0 || len(p.letters) > 0 || len(p.changes) > 0 || p.ack > 0 || p.round != nil
}

// write appends the batch: first what adds, then what takes away, so that a torn write may double but never lose a message.
func (p *batch) write(j *journal) {
	id := p.box.id
	if p.declare {
		j.append(kindBox, func(buf []byte) []byte {
			return binary.AppendUvarint(appendString(buf, p.box.name), p.next)
		}, id)
	}
	for i := range p.messages {
		j.append(kindPut, func(buf []byte) []byte { return appendMessage(buf, &p.messages[i]) }, id)
	}
	for i := range p.letters {
		j.append(kindLetter, func(buf []byte) []byte { return appendMessage(buf, &p.letters[i]) }, id)
	}
	for _, c := range p.changes {
		if c.kind == kindDrop {
			j.append(c.kind, nil, id, c.seq)
		} else {
			j.append(c.kind, nil, id, c.seq, uint64(c.deaths))
		}
	}
	if p.ack > 0 {
		j.append(kindAck, nil, id, p.ack)
	}
}

// done lets the reader see what is written.
func (p *batch) done() {
	b := p.box
	b.mu.Lock()
	b.show(p.upto)
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
	p.round.finish(nil)
}

// show moves the watermark.
func (b *Box) show(upto uint64) {
	if b.store.opt.Durable {
		b.visible = max(b.visible, upto)
	} else {
		b.visible = b.reserved - 1
	}
}

// undo takes back a batch that could not be written, so that it is written again, except for the messages that a durable
// store then refuses.
func (p *batch) undo(err error) {
	b := p.box
	b.mu.Lock()
	b.written = min(b.written, p.from)
	for i := range b.dead {
		if b.dead[i].m.Seq > p.from {
			b.dead[i].stored = false
		}
	}
	for _, m := range p.letters {
		for i := range b.dead {
			if b.dead[i].m.Seq == m.Seq {
				b.dead[i].stored = false
			}
		}
	}
	b.changes = append(p.changes, b.changes...)
	if p.ack > 0 {
		b.ackDue = true
	}
	if p.declare {
		b.declared = false
	}
	if b.store.opt.Durable {
		b.withdraw(p.from, p.upto)
	} else {
		b.show(p.upto) // go on in memory
	}
	b.touch(dirty)
	b.makeRoom()
	wake := b.awaited()
	b.mu.Unlock()
	notify(wake)
	p.round.finish(err)
}

// withdraw takes back messages that could not be made durable.
func (b *Box) withdraw(from, upto uint64) {
	for i := b.queue.n - 1; i >= 0; i-- {
		e := b.queue.at(i)
		switch {
		case e.m.Seq > upto || e.stays:
			continue
		case e.m.Seq <= from:
			return
		case e.m.Topic != "":
			b.dropped++
		}
		if at := slices.Index(b.recent, e.m.ID); at >= 0 {
			b.recent[at] = "" // it may be put again
		}
		// A rewrite may have caught it.
		b.changes = append(b.changes, change{kind: kindDrop, seq: e.m.Seq})
		b.bytes -= int64(e.size)
		b.queue.remove(i)
	}
}
