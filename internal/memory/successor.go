package memory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// successor is a memory that is built beside the one in use, in RAM and in a file of its own, to take its place in one
// step. Until then nothing of it is seen, and a crash leaves the old one as it was; load removes what is left behind.
// Its transactions are small, so that the size of a memory is no matter.
type successor struct {
	disk  *disk
	table *table.Table // nil: that of the memory in use goes on
}

const successorSuffix = ".new"

func (d *disk) successorPath() string { return d.path + successorSuffix }

// removeSuccessor removes what a process has left that ended while it built one.
func (d *disk) removeSuccessor() error {
	if err := os.Remove(d.successorPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what an ended process has left: %w", err)
	}
	return nil
}

// newSuccessor begins a successor. One at a time: the caller holds rewriting.
func (s *Store) newSuccessor() (*successor, error) {
	// Not s.disk: that is the committer's. Its path is the store's.
	old := &disk{path: s.path}
	if err := old.removeSuccessor(); err != nil {
		return nil, err
	}
	d, err := openDisk(old.successorPath(), diskOptions{timeout: time.Second, aside: true})
	if err != nil {
		return nil, errors.Join(err, old.removeSuccessor()) // an empty file may have been made before the disk was full
	}
	d.db.NoSync, d.db.NoGrowSync = true, true // until all is there
	return &successor{disk: d}, nil
}

// put writes rows, in the place of those with the same Seq.
func (n *successor) put(rows []*table.Row) error {
	for len(rows) > 0 {
		taken, bytes := 0, 0
		err := n.disk.update(func(tx *bbolt.Tx) error {
			records, err := recordBucket(tx)
			if err != nil {
				return err
			}
			for ; taken < len(rows) && bytes < maxBatchBytes; taken++ {
				value := encodeRecord(rows[taken])
				bytes += len(value)
				if err := records.Put(seqKey(rows[taken].Seq), value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write %s: %w", n.disk.path, err)
		}
		rows = rows[taken:]
	}
	return nil
}

// remove removes rows by Seq.
func (n *successor) remove(seqs []uint64) error {
	if len(seqs) == 0 {
		return nil
	}
	err := n.disk.update(func(tx *bbolt.Tx) error {
		records, err := recordBucket(tx)
		if err != nil {
			return err
		}
		for _, seq := range seqs {
			if err := deleteRecord(tx, records, seq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", n.disk.path, err)
	}
	return nil
}

// sync makes what was written durable.
func (n *successor) sync() (err error) {
	defer guard(&err)()
	if err := n.disk.db.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", n.disk.path, err)
	}
	return nil
}

// discard ends a successor that does not take the place.
func (n *successor) discard() error {
	return errors.Join(n.disk.close(), os.Remove(n.disk.path))
}

// succeed puts a successor in the place of what the memory holds. It runs on the committer. After an error all is as it
// was, and the successor is to be discarded. Where c has no rows, they are the memory's own in another form.
func (s *Store) succeed(n *successor, c contents) error {
	err := n.disk.update(func(tx *bbolt.Tx) error {
		if _, err := recordBucket(tx); err != nil {
			return err
		}
		return errors.Join(saveHeader(tx, c.head), saveReferences(tx, c.refs))
	})
	if err == nil {
		err = n.sync()
	}
	if err == nil {
		err = os.Rename(n.disk.path, s.path)
	}
	if err != nil {
		return fmt.Errorf("put the new file in the place of memory %s: %w", s.path, err)
	}
	old := s.disk
	n.disk.path, n.disk.current = s.path, true
	n.disk.db.NoSync, n.disk.db.NoGrowSync = false, false
	s.disk = n.disk
	if n.table != nil {
		s.table = n.table
	}
	if c.rows != nil {
		s.take(c)
	}
	s.publish(c.head)
	// From here on the new memory is in use. If the name is not durable, a power cut may bring the old one back.
	return errors.Join(syncFolder(filepath.Dir(s.path)), old.close())
}

// rewrite has one successor at a time built. It waits as long as ctx allows.
func (s *Store) rewrite(ctx context.Context, build func(*successor) error) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	select {
	case s.rewriting <- struct{}{}:
		defer func() { <-s.rewriting }()
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return s.closed()
	}
	n, err := s.newSuccessor()
	if err != nil {
		return err
	}
	if err := build(n); err != nil {
		if n.disk.path == s.path {
			return err // it is in use
		}
		return errors.Join(err, n.discard())
	}
	return nil
}

// follower keeps a successor in step with the memory in use.
type follower struct {
	*successor
	convert func(context.Context, []*table.Row) ([]*table.Row, error) // nil: rows stay as they are
	done    map[uint64]*table.Row                                     // by Seq: what of the memory in use is in the successor
	told    func(done, total int)                                     // may be nil
	options table.Options
}

// Bounds of what is converted at a time, and of what may be left when writers are made to wait.
const (
	convertRecords = 256
	leftRecords    = 64
	maxRounds      = 8
)

// follow brings the successor up to what view holds, and returns how many records that concerned.
func (f *follower) follow(ctx context.Context, v *view) (n int, err error) {
	var todo []*table.Row
	for r := range v.snap.ByAdding(table.Select{}) {
		if f.done[r.Seq] != r {
			todo = append(todo, r)
		}
	}
	var gone []uint64
	if len(f.done) > v.snap.Len()-len(todo) {
		for seq, r := range f.done {
			if now := v.snap.Get(r.ID); now == nil || now.Seq != seq {
				gone = append(gone, seq)
			}
		}
	}
	n = len(todo) + len(gone)
	change := table.Change{}
	for _, seq := range gone {
		change.Delete = append(change.Delete, f.done[seq].ID)
		delete(f.done, seq)
	}
	if err := f.remove(gone); err != nil {
		return 0, err
	}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rows := todo[:min(convertRecords, len(todo))]
		todo = todo[len(rows):]
		made := rows
		if f.convert != nil {
			if made, err = f.convert(ctx, rows); err != nil {
				return 0, err
			}
			change.Put = append(change.Put, made...)
		}
		if err := f.put(made); err != nil {
			return 0, err
		}
		for _, r := range rows {
			f.done[r.Seq] = r
		}
		if f.told != nil {
			f.told(len(f.done), v.snap.Len())
		}
	}
	switch {
	case f.convert == nil:
	case f.table == nil:
		f.table, err = table.New(f.options, change.Put)
	case n > 0:
		err = f.table.Apply(change)
	}
	return n, err
}

// rebuild builds a successor of what the memory holds, every record as convert makes it, while reads and writes go on,
// and puts it in place. Only for the last few records are writers made to wait. finish says what the header becomes.
func (s *Store) rebuild(ctx context.Context, f *follower, finish func(header) header) error {
	// A batch of nothing removes what has expired: it is not worth the work.
	if err := s.write(ctx, func(*batch) error { return nil }); err != nil {
		return err
	}
	return s.rewrite(ctx, func(n *successor) error {
		f.successor, f.done, f.options = n, make(map[uint64]*table.Row), s.tableOptions()
		for range maxRounds {
			left, err := f.follow(ctx, s.view.Load())
			if err != nil {
				return err
			}
			if left <= leftRecords {
				break
			}
		}
		if err := n.sync(); err != nil {
			return err
		}
		return s.exclusively(ctx, func() error {
			v := s.view.Load()
			if _, err := f.follow(ctx, v); err != nil {
				return err
			}
			return s.succeed(n, contents{head: finish(v.head), refs: s.refs})
		})
	})
}
