package exchange

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/folders"
)

const (
	// forgetAfter is how long a stream that brings nothing is known. A sender that is away for longer and then repeats what
	// was acknowledged in its last moment is believed once more.
	forgetAfter = 90 * 24 * time.Hour
	// tableGarbage is how many outdated lines the table's file holds before it is written anew.
	tableGarbage = 4096
)

// stream names one sequence of messages: all from one host's outbox to one module.
type stream struct {
	Host  string `json:"host"`
	Epoch string `json:"epoch"`
	To    string `json:"to"`
}

// received is the table of what has arrived of each stream, kept in a file.
//
// A line of the file is a checksum (CRC-32C, 8 hexadecimal digits), a space, and a JSON object; the last line about a
// stream counts. Lines are appended without an fsync: a process that is killed loses none of them, and what a power cut
// takes is repeated by the senders, if it was not acknowledged, and known by the mailboxes.
type received struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	file    *os.File // nil once closed
	entries map[stream]entry
	lines   int
	torn    bool // half a line may stand at the file's end, behind which nothing would be read
	buf     []byte
}

type entry struct {
	had  uint64
	seen time.Time
}

// line is an entry as it stands in the file.
type line struct {
	stream
	Had  uint64 `json:"had"`
	Seen int64  `json:"seen"` // seconds since 1970
}

func openReceived(path string, now func() time.Time) (*received, error) {
	r := &received{path: path, now: now, entries: map[stream]entry{}}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open table of received messages: %w", err)
	}
	r.read(data)
	oldest := now().Add(-forgetAfter)
	for s, e := range r.entries {
		if e.seen.Before(oldest) {
			delete(r.entries, s)
		}
	}
	if err := r.rewrite(); err != nil {
		return nil, fmt.Errorf("open table of received messages: %w", err)
	}
	return r, nil
}

// read takes in lines up to the first damaged one: a process that was killed may have left half a line at the end.
func (r *received) read(data []byte) {
	for len(data) > 0 {
		text, rest, whole := bytes.Cut(data, []byte{'\n'})
		sum, object, spaced := bytes.Cut(text, []byte{' '})
		want, err := strconv.ParseUint(string(sum), 16, 32)
		var l line
		if !whole || !spaced || err != nil || crc32.Checksum(object, castagnoli) != uint32(want) || json.Unmarshal(object, &l) != nil {
			return
		}
		r.entries[l.stream] = entry{l.Had, time.Unix(l.Seen, 0)}
		data = rest
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendLine(buf []byte, s stream, e entry) ([]byte, error) {
	object, err := json.Marshal(line{s, e.had, e.seen.Unix()})
	if err != nil {
		return buf, err
	}
	return fmt.Appendf(buf, "%08x %s\n", crc32.Checksum(object, castagnoli), object), nil
}

// rewrite writes the file anew, with one line a stream. The caller holds mu, or is the only one that knows r.
func (r *received) rewrite() error {
	var buf []byte
	for s, e := range r.entries {
		var err error
		if buf, err = appendLine(buf, s, e); err != nil {
			return err
		}
	}
	if err := folders.WriteFile(r.path, buf); err != nil {
		return err
	}
	file, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if r.file != nil {
		err = r.file.Close()
	}
	r.file, r.lines, r.torn = file, len(r.entries), false
	return err
}

// had returns up to where a stream has arrived.
func (r *received) had(s stream) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[s].had
}

// record notes that all of a stream up to had has arrived. When it returns, a killed process does not forget it.
func (r *received) record(s stream, had uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return fmt.Errorf("note what has arrived: %w", os.ErrClosed)
	}
	if r.entries[s].had >= had {
		return nil
	}
	if r.torn {
		if err := r.rewrite(); err != nil {
			return fmt.Errorf("note what has arrived: %w", err)
		}
	}
	e := entry{had, r.now()}
	var err error
	if r.buf, err = appendLine(r.buf[:0], s, e); err == nil {
		_, err = r.file.Write(r.buf)
		r.torn = err != nil
	}
	if err != nil {
		return fmt.Errorf("note what has arrived: %w", err)
	}
	r.entries[s] = e
	if r.lines++; r.lines > 2*len(r.entries)+tableGarbage {
		if err := r.rewrite(); err != nil {
			return fmt.Errorf("note what has arrived: %w", err)
		}
	}
	return nil
}

func (r *received) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	file := r.file
	r.file = nil
	if file == nil {
		return nil
	}
	return file.Close()
}
