package mailbox

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Recovery says what Open has read.
type Recovery struct {
	Boxes    int
	Messages int // that wait
	Dead     int // dead letters
	// A damaged tail, where Cut is not 0: its bytes, where in the journal they were, what is wrong there, and the file that
	// has them now.
	Cut    int64
	Offset int64
	Damage error
	Kept   string
}

// replay reads the journal at path into the boxes and cuts off a damaged tail. It returns the good size, 0 where there is
// no journal yet.
func (s *Store) replay(path string) (r Recovery, size int64, err error) {
	// What a crash in the middle of a rewrite leaves behind.
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return r, 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return r, 0, nil
	}
	if err != nil {
		return r, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return r, 0, err
	}

	byID := map[uint64]*Box{}
	size, damage, err := readRecords(f, info.Size(), func(k kind, d *decoder) error { return s.apply(byID, k, d) })
	if err != nil {
		return r, 0, err
	}
	for _, b := range s.boxes {
		b.reserved, b.opened = b.next, b.next
		b.visible = b.next - 1
		b.written = b.next - 1
		r.Boxes++
		r.Messages += b.queue.n
		r.Dead += len(b.dead)
	}
	if damage == nil {
		return r, size, nil
	}
	r.Offset, r.Cut, r.Damage = size, info.Size()-size, damage
	r.Kept, err = cut(f, size)
	return r, size, err
}

// cut moves what stands behind size in f to a file beside it.
func cut(f *os.File, size int64) (kept string, err error) {
	base := fmt.Sprintf("%s.damaged-%d", f.Name(), size)
	kept = base
	for n := 2; exists(kept); n++ {
		kept = fmt.Sprintf("%s.%d", base, n)
	}
	tail, err := os.OpenFile(kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("keep damaged tail: %w", err)
	}
	_, err = f.Seek(size, io.SeekStart)
	if err == nil {
		_, err = io.Copy(tail, f)
	}
	if err == nil {
		err = tail.Sync()
	}
	if err = errors.Join(err, tail.Close()); err != nil {
		return "", fmt.Errorf("keep damaged tail: %w", errors.Join(err, os.Remove(kept)))
	}
	if err := f.Truncate(size); err != nil {
		return "", fmt.Errorf("cut damaged tail: %w", err)
	}
	return kept, nil
}

// readRecords hands each record of a journal of that size to apply and returns how far the journal is good. Where it does
// not reach the end, damage says why. An error is for what is no journal, or cannot be read.
func readRecords(f io.Reader, size int64, apply func(kind, *decoder) error) (good int64, damage, err error) {
	in := bufio.NewReaderSize(f, 1<<16)
	head := make([]byte, min(size, int64(headerLength)))
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, nil, err
	}
	switch {
	case size == 0:
		return 0, nil, nil
	case strings.HasPrefix(string(header()), string(head)) && len(head) < headerLength:
		return 0, errors.New("header is torn"), nil
	case !strings.HasPrefix(string(head), magic):
		return 0, nil, errors.New("this is not a mailbox journal: move it away or choose another path")
	}
	if v := binary.LittleEndian.Uint32(head[len(magic):]); v != version {
		return 0, nil, fmt.Errorf("the journal has version %d, this program knows version %d: use a newer one", v, version)
	}

	good = int64(headerLength)
	var record []byte
	for good < size {
		left := size - good
		if left < prefixLength {
			return good, errors.New("record is torn"), nil
		}
		prefix, err := in.Peek(prefixLength)
		if err != nil {
			return 0, nil, err
		}
		length := int64(binary.LittleEndian.Uint32(prefix))
		switch {
		case length < 1 || length > maxRecord:
			return good, fmt.Errorf("record of impossible length %d", length), nil
		case length > left-prefixLength:
			return good, errors.New("record is torn"), nil
		}
		if total := int(prefixLength + length); cap(record) < total {
			record = make([]byte, total)
		} else {
			record = record[:total]
		}
		if _, err := io.ReadFull(in, record); err != nil {
			return 0, nil, err
		}
		if binary.LittleEndian.Uint32(record[4:]) != checksum(record) {
			return good, errors.New("record has a wrong checksum"), nil
		}
		if err := apply(kind(record[prefixLength]), &decoder{rest: record[prefixLength+1:]}); err != nil {
			return good, err, nil
		}
		good += prefixLength + length
	}
	return good, nil, nil
}

// apply does to the boxes what a record says. It changes nothing where the record is malformed.
func (s *Store) apply(byID map[uint64]*Box, k kind, d *decoder) error {
	id := d.bounded(maxSeq)
	b := byID[id]
	if b == nil {
		// Nothing that such a record says is kept, but it must be well-formed.
		b = &Box{store: s}
	}
	switch k {
	case kindBox:
		name, next := d.string(), d.seq()
		if err := d.end(); err != nil || id == 0 || next == 0 {
			return errMalformed
		}
		if byID[id] == nil {
			if old := s.boxes[name]; old != nil {
				delete(byID, old.id) // its removal was not written
			}
			b.name, b.id = name, id
			byID[id], s.boxes[name] = b, b
			s.lastID = max(s.lastID, id)
		}
		b.next, b.declared = next, true
	case kindPut, kindLetter:
		m := d.message()
		if err := d.end(); err != nil || m.Seq == 0 {
			return errMalformed
		}
		b.load(m, k == kindLetter)
	case kindAck:
		seq := d.seq()
		if err := d.end(); err != nil {
			return err
		}
		for b.queue.n > 0 && b.queue.at(0).m.Seq <= seq {
			b.unload(b.queue.at(0).m.Seq)
		}
	case kindDeath, kindDead:
		seq, deaths := d.seq(), d.deaths()
		if err := d.end(); err != nil {
			return err
		}
		if i, ok := b.queue.find(seq); ok {
			b.queue.at(i).m.Deaths = deaths
			if k == kindDead {
				b.load(b.queue.at(i).m, true)
			}
		}
	case kindDrop:
		seq := d.seq()
		if err := d.end(); err != nil {
			return err
		}
		b.unload(seq)
	case kindRemoved:
		if err := d.end(); err != nil {
			return err
		}
		if byID[id] != nil {
			delete(byID, id)
			delete(s.boxes, b.name)
		}
	case kindIDs:
		var ids []string
		for n := d.count(); len(ids) < n && !d.malformed; {
			ids = append(ids, d.string())
		}
		if err := d.end(); err != nil {
			return err
		}
		for _, id := range ids {
			b.remember(id)
		}
	default:
		return fmt.Errorf("%w: kind %d is unknown", errMalformed, k)
	}
	return nil
}

// load puts a message that was read into its place, instead of what stands there.
func (b *Box) load(m api.Message, letter bool) {
	b.unload(m.Seq)
	e := entry{m: m, size: sizeOf(&m), stored: letter}
	if letter {
		b.dead = append(b.dead, e)
		b.deadBytes += int64(e.size)
	} else {
		b.queue.insert(e)
		b.bytes += int64(e.size)
		b.remember(m.ID)
	}
	b.next = max(b.next, m.Seq+1)
}

// unload takes out the message seq, waiting or dead.
func (b *Box) unload(seq uint64) {
	if i, ok := b.queue.find(seq); ok {
		b.bytes -= int64(b.queue.at(i).size)
		b.queue.remove(i)
	}
	for i := range b.dead {
		if b.dead[i].m.Seq == seq {
			b.deadBytes -= int64(b.dead[i].size)
			b.dead = append(b.dead[:i], b.dead[i+1:]...)
			return
		}
	}
}

// exists reports whether there is a file at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
