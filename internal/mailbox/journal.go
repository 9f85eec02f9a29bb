package mailbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// spillBytes is how much the journal gathers before it calls write.
const spillBytes = 1 << 20

// file is what the journal needs of an *os.File; tests put a disk in its place that is full or fails.
type file interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

type opener func(path string, flag int) (file, error)

func openFile(path string, flag int) (file, error) { return os.OpenFile(path, flag, 0o600) }

// journal writes the file. What append gathers takes effect with commit, as a whole: where that fails, the file is cut
// back to what it was. It belongs to one goroutine.
type journal struct {
	path string
	open opener
	file file
	size int64  // of the file, as far as it is committed
	end  int64  // size and what is written of the flush under way
	buf  []byte // what is not even written
	err  error  // of the flush under way

	torn     bool // the file may be longer than size: a failed write could not be cut back
	suspect  bool // an fsync has failed: what was written before may be lost, rewrite the whole
	unsynced bool

	compactAt int64 // size from which to ask again whether a rewrite pays
}

// openJournal opens a file that replay has read, and that is good up to size. It makes one where size is 0.
func openJournal(path string, size int64, open opener) (*journal, error) {
	j := &journal{path: path, open: open}
	if size == 0 {
		if err := j.rewrite(func(*journal) {}); err != nil {
			if j.file != nil {
				err = errors.Join(err, j.file.Close())
			}
			return nil, err
		}
		return j, nil
	}
	f, err := open(path, os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	j.file, j.size, j.end = f, size, size
	return j, nil
}

// append gathers a record.
func (j *journal) append(k kind, more func([]byte) []byte, numbers ...uint64) {
	if j.err != nil {
		return
	}
	j.buf = appendRecord(j.buf, k, more, numbers...)
	if len(j.buf) >= spillBytes {
		j.spill()
	}
}

func (j *journal) spill() {
	if j.err != nil || len(j.buf) == 0 {
		return
	}
	if j.torn {
		if j.err = j.file.Truncate(j.size); j.err != nil {
			return
		}
		j.torn = false
	}
	_, j.err = j.file.WriteAt(j.buf, j.end)
	j.end += int64(len(j.buf))
	if cap(j.buf) > 2*spillBytes {
		j.buf = nil
	}
	j.buf = j.buf[:0]
}

// commit writes what was gathered and, if sync is set, fsyncs.
func (j *journal) commit(sync bool) error {
	j.spill()
	if j.end > j.size {
		j.unsynced = true
	}
	if j.err == nil && sync {
		j.sync()
	}
	err := j.err
	if err == nil {
		j.size = j.end
		return nil
	}
	j.err, j.end, j.buf = nil, j.size, nil
	j.torn = true
	if cut := j.file.Truncate(j.size); cut == nil {
		j.torn = false
	} else {
		err = errors.Join(err, cut)
	}
	return fmt.Errorf("write mailbox journal: %w", err)
}

// sync fsyncs. After a failure the system may have dropped what it could not write and says nothing the next time, so
// only a new file can be trusted.
func (j *journal) sync() {
	if !j.unsynced {
		return
	}
	if j.err = j.file.Sync(); j.err != nil {
		j.suspect = true
		return
	}
	j.unsynced = false
}

// rewrite replaces the file, atomically, by a new one with what write appends. Where it fails, the old one stays.
func (j *journal) rewrite(write func(*journal)) error {
	temp := j.path + ".new"
	f, err := j.open(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("rewrite mailbox journal: %w", err)
	}
	fresh := &journal{path: j.path, open: j.open, file: f, buf: header()}
	write(fresh)
	err = fresh.commit(true)
	if err == nil {
		err = os.Rename(temp, j.path)
	}
	if err != nil {
		return fmt.Errorf("rewrite mailbox journal: %w", errors.Join(err, f.Close(), os.Remove(temp)))
	}
	old := j.file
	*j = *fresh
	if err = syncFolder(filepath.Dir(j.path)); err != nil {
		j.suspect = true // the new name may not last
	}
	if old != nil {
		err = errors.Join(err, old.Close())
	}
	if err != nil {
		return fmt.Errorf("rewrite mailbox journal: %w", err)
	}
	return nil
}

// syncFolder makes a rename in a folder last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
