package mailbox

import "fmt"

const (
	// compactBytes is the size from which the journal is rewritten when less than half of it is live.
	compactBytes = 1 << 20
	// keptIDs is how many of the remembered IDs of each box a rewrite or Close keeps.
	keptIDs = 256
)

// compact rewrites the journal when most of it is garbage. A failure is no harm: the journal goes on as it is.
func (s *Store) compact() {
	if s.journal.suspect || s.journal.size < max(compactBytes, s.journal.compactAt) {
		return
	}
	if 2*s.live() >= s.journal.size {
		s.journal.compactAt = s.journal.size + compactBytes/4
		return
	}
	if err := s.rewrite(); err != nil {
		s.opt.Log.Warn("mailbox journal could not be compacted", "journal", s.journal.path, "error", err)
		s.journal.compactAt = s.journal.size + compactBytes
	}
}

// live estimates the size of a journal without garbage.
func (s *Store) live() (bytes int64) {
	const perMessage, perID = 48, 32
	s.mu.Lock()
	boxes := s.sortedBoxes()
	s.mu.Unlock()
	for _, b := range boxes {
		b.mu.Lock()
		bytes += b.bytes + b.deadBytes + int64(perMessage*(1+b.queue.n+len(b.dead))) + int64(perID*min(keptIDs, len(b.recent)))
		b.mu.Unlock()
	}
	return bytes
}

// rewrite replaces the journal by one that holds just what the boxes hold now. It leaves alone what the next flush is going
// to write: that is then there twice, which does no harm.
func (s *Store) rewrite() error {
	s.mu.Lock()
	boxes := s.sortedBoxes()
	s.mu.Unlock()
	return s.journal.rewrite(func(j *journal) {
		for _, b := range boxes {
			p, ids := b.snapshot()
			p.write(j)
			writeIDs(j, b.id, ids)
		}
	})
}

// snapshot returns the whole content of the box.
func (b *Box) snapshot() (p batch, ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p = batch{box: b, declare: true, next: max(b.next, b.reserved)}
	for i := range b.queue.n {
		p.messages = append(p.messages, b.queue.at(i).m)
	}
	for i := range b.dead {
		p.letters = append(p.letters, b.dead[i].m)
	}
	return p, b.lastIDs(keptIDs)
}

func writeIDs(j *journal, box uint64, ids []string) {
	if len(ids) == 0 {
		return
	}
	j.append(kindIDs, func(buf []byte) []byte {
		for _, id := range ids {
			buf = appendString(buf, id)
		}
		return buf
	}, box, uint64(len(ids)))
}

// farewell writes what is left, gives back the numbers that were reserved and not given, and closes the journal.
func (s *Store) farewell() error {
	err := s.flush()
	if err == nil {
		s.mu.Lock()
		boxes := s.sortedBoxes()
		s.mu.Unlock()
		for _, b := range boxes {
			p, ids := b.snapshot()
			p.messages, p.letters = nil, nil
			p.next = b.next
			p.declare = b.reserved != b.next
			p.write(s.journal)
			if b.next != b.opened {
				writeIDs(s.journal, b.id, ids)
			}
		}
		err = s.journal.commit(true)
	}
	if closed := s.journal.file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("close mailboxes: unread messages may be lost: %w", err)
	}
	return nil
}
