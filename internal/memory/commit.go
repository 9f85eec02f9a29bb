package memory

import (
	"context"
	"runtime"
	"runtime/debug"
)

// Bounds of one transaction: who comes later waits for the next one.
const (
	maxBatchWrites = 1024
	maxBatchBytes  = 16 << 20
)

// write is one operation on its way through the committer.
type write struct {
	plan func(*batch) error // runs on the committer
	err  error              // to be read once done is closed
	done chan struct{}
}

// write has plan carried out and saved. It waits for the committer as long as ctx allows; once the committer has taken
// the write it waits for the disk, so that what it returns is what happened.
func (s *Store) write(ctx context.Context, plan func(*batch) error) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	w := &write{plan: plan, done: make(chan struct{})}
	select {
	case s.writes <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return s.closed()
	}
	<-w.done
	return w.err
}

// commitLoop is the committer: the one goroutine that changes disk and state. Close ends it.
func (s *Store) commitLoop() {
	defer close(s.done)
	debug.SetPanicOnFault(true) // a file that shrinks under the mapping becomes an error (see guard)
	for {
		select {
		case w := <-s.writes:
			s.commit(w)
		case <-s.closing:
			return
		}
	}
}

// commit carries out first and all writes that wait with it, in one transaction: group commit. A sync to disk takes as
// long for a hundred records as for one.
func (s *Store) commit(first *write) {
	b := newBatch(s.state)
	var planned []*write
	for w := first; w != nil; w = s.next(b, len(planned)) {
		if w.err = w.plan(b); w.err != nil {
			close(w.done)
			continue
		}
		planned = append(planned, w)
	}
	var err error
	if !b.empty() {
		err = s.save(b)
	}
	for _, w := range planned {
		w.err = err
		close(w.done)
	}
}

func (s *Store) save(b *batch) error {
	if err := s.disk.save(b); err != nil {
		s.log.Error("memory could not be saved", "memory", s.path, "error", err)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.apply(b)
}

// next returns a write that waits already, if there is one and the batch has room.
func (s *Store) next(b *batch, planned int) *write {
	if planned >= maxBatchWrites || b.bytes >= maxBatchBytes {
		return nil
	}
	for try := 0; ; try++ {
		select {
		case w := <-s.writes:
			return w
		default:
		}
		if try == 2 {
			return nil
		}
		runtime.Gosched() // writers that the last commit has just released come back with their next write
	}
}
