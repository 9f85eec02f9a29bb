package memory

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// Bounds of one transaction: who comes later waits for the next one.
const (
	maxBatchWrites = 1024
	maxBatchBytes  = 16 << 20
)

const (
	// sweepDelay is how long what has expired may stay on disk, so that what expires one after the other goes together.
	// Nobody sees it meanwhile.
	sweepDelay = time.Second
	// sweepRetry is when a sweep that failed is tried again.
	sweepRetry = time.Minute
)

// write is one operation on its way through the committer: a plan, or a task that is alone with disk and view.
type write struct {
	plan  func(*batch) error // runs on the committer
	alone bool               // plan looks at all records, which it can do where nothing else is planned before it
	task  func() error       // runs on the committer, between transactions
	err   error              // to be read once done is closed
	done  chan struct{}
}

// alone says that a plan looks at all records.
func alone(w *write) { w.alone = true }

// write has plan carried out and saved. It waits for the committer as long as ctx allows; once the committer has taken
// the write it waits for the disk, so that what it returns is what happened.
func (s *Store) write(ctx context.Context, plan func(*batch) error, options ...func(*write)) error {
	w := &write{plan: plan}
	for _, option := range options {
		option(w)
	}
	return s.hand(ctx, w)
}

// exclusively runs a task on the committer, while no transaction is planned or saved.
func (s *Store) exclusively(ctx context.Context, task func() error) error {
	return s.hand(ctx, &write{task: task})
}

func (s *Store) hand(ctx context.Context, w *write) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	w.done = make(chan struct{})
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

// commitLoop is the committer: the one goroutine that changes disk and view. Close ends it.
func (s *Store) commitLoop() {
	defer close(s.done)
	debug.SetPanicOnFault(true) // a file that shrinks under the mapping becomes an error (see guard)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var held *write // taken, and left for the next transaction
	var pause time.Duration
	for {
		if held != nil {
			held = s.commit(held)
			continue
		}
		timer.Stop()
		var sweep <-chan time.Time
		if due := s.view.Load().due; !due.IsZero() {
			timer.Reset(max(0, due.Sub(s.now())) + sweepDelay + pause)
			sweep = timer.C
		}
		select {
		case w := <-s.writes:
			held = s.commit(w)
		case <-sweep:
			pause = 0
			if err := s.save(s.newBatch()); err != nil {
				pause = sweepRetry
			}
		case <-s.closing:
			return
		}
	}
}

// commit carries out first and all writes that wait with it, in one transaction: group commit. A sync to disk takes as
// long for a hundred records as for one. It returns a write that it has taken and could not carry out with the others.
func (s *Store) commit(first *write) (held *write) {
	if first.task != nil {
		first.err = first.task()
		close(first.done)
		return nil
	}
	b := s.newBatch()
	var planned []*write
	for w := first; w != nil; w = s.next(b, len(planned)) {
		if w.task != nil || w.alone && len(planned) > 0 {
			held = w
			break
		}
		if w.err = w.plan(b); w.err != nil {
			close(w.done)
			continue
		}
		planned = append(planned, w)
	}
	err := s.save(b)
	for _, w := range planned {
		w.err = err
		close(w.done)
	}
	return held
}

// newBatch begins a batch by removing what has expired: no plan sees it.
func (s *Store) newBatch() *batch {
	v := s.view.Load()
	b := &batch{base: v, now: s.now(), head: v.head, changed: make(map[string]*table.Row), count: v.snap.Len(), lastSeq: s.lastSeq,
		counted: func(seq uint64) uint64 { return s.refs[seq] }} // the committer alone changes refs
	if !v.due.IsZero() && !b.now.Before(v.due) {
		b.sweep()
	}
	return b
}

// save makes a batch durable, and then visible.
func (s *Store) save(b *batch) error {
	b.trim()
	if !b.empty() {
		if err := s.disk.save(b); err != nil {
			s.log.Error("memory could not be saved", "memory", s.path, "error", err)
			return err
		}
	}
	s.expiries.pop(b.now) // newBatch has swept these; what the batch brings may have expired already, and comes after
	if !b.empty() {
		if err := s.apply(b); err != nil {
			return fmt.Errorf("show what was saved in memory %s: %w", s.name, err)
		}
	}
	s.publish(b.head)
	return nil
}

// apply changes the table, and what stands beside it, as the batch says.
func (s *Store) apply(b *batch) error {
	change := b.change()
	s.countReferences(b, change)
	s.lastSeq = b.lastSeq
	for _, r := range change.Put {
		if old := b.stored(r.ID); old == nil || !old.Expires.Equal(r.Expires) {
			s.expiries.push(r)
		}
	}
	return s.table.Apply(change)
}

func (s *Store) countReferences(b *batch, change table.Change) {
	if len(s.refs) == 0 && len(b.refs) == 0 {
		return
	}
	s.refsMu.Lock()
	defer s.refsMu.Unlock()
	if b.cleared {
		clear(s.refs)
	}
	for _, id := range change.Delete {
		delete(s.refs, b.stored(id).Seq)
	}
	maps.Copy(s.refs, b.refs)
}

// publish lets readers see the table as it is now.
func (s *Store) publish(head header) {
	v := &view{head: head, snap: s.table.Snapshot(), due: s.expiries.first()}
	if ttl := head.settings.TTL; ttl > 0 {
		for r := range v.snap.ByTime(table.Select{}, true) {
			if due := r.Time.Add(ttl); v.due.IsZero() || due.Before(v.due) {
				v.due = due
			}
			break
		}
	}
	s.view.Store(v)
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
