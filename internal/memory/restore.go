package memory

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// RestoreOptions says how Restore restores.
type RestoreOptions struct {
	Replace  bool  // in the place of what the memory holds; without it only an empty memory is restored into
	MaxBytes int64 // the most to read, uncompressed; 0: 64 GiB
}

const (
	defaultMaxRestore = 64 << 30
	// maxObjectBytes bounds one object of a backup: the largest record, with every byte of text written as \u00XX.
	maxObjectBytes = 6*(maxTextBytes+maxMetadataBytes+maxIDBytes+maxURIBytes) + 6*maxDimension + 1<<20
)

// Restore makes the memory what the backup in r holds (either format; see backup.go), its embedder and settings included.
// Attributes come along where the memory has none of that key and the backup is of a memory of the same name: they say
// which one it is.
//
// The backup is read and checked to its end, and built up beside the memory, before anything is changed. It is put in
// place in one step: after an error, or a crash, the memory is the old one or the new one. Damaged and truncated backups
// are refused with what is wrong and where; such errors wrap api.ErrInvalid (api.ErrTooLarge past MaxBytes). What is
// restored is held in RAM, as all records are; while it replaces others, both are.
func (s *Store) Restore(ctx context.Context, r io.Reader, opt RestoreOptions) (Header, error) {
	free := func(v *view) error {
		if n := v.count(s.now()); n > 0 && !opt.Replace {
			return fmt.Errorf("it holds %d records: ask for their replacement (coma memory restore --replace): %w", n, api.ErrInvalid)
		}
		return nil
	}
	if err := errors.Join(s.start(ctx), free(s.view.Load())); err != nil {
		return Header{}, fmt.Errorf("restore memory %s: %w", s.name, err)
	}
	var backup *backupReader
	err := s.rewrite(ctx, func(n *successor) error {
		var c contents
		c.rows, c.refs = []*table.Row{}, make(map[uint64]uint64)
		saved := 0
		backup = newBackupReader(cmp.Or(opt.MaxBytes, defaultMaxRestore), func(row *table.Row, references uint64) error {
			c.rows = append(c.rows, row)
			row.Seq = uint64(len(c.rows))
			if references > 0 {
				c.refs[row.Seq] = references
			}
			if len(c.rows)-saved < convertRecords {
				return nil
			}
			saved = len(c.rows)
			return n.put(c.rows[saved-convertRecords:])
		})
		if err := backup.read(ctx, r); err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		err := n.put(c.rows[saved:])
		if err == nil {
			n.table, err = table.New(s.tableOptions(), c.rows)
		}
		if err == nil {
			err = n.sync()
		}
		if err != nil {
			return err
		}
		return s.exclusively(ctx, func() error {
			v := s.view.Load()
			if err := free(v); err != nil {
				return err
			}
			c.head = backup.head(v.head, s.name)
			return s.succeed(n, c)
		})
	})
	if err != nil {
		return Header{}, fmt.Errorf("restore memory %s: %w", s.name, err)
	}
	return backup.header, nil
}

// head is the header of a memory that the backup is restored into.
func (b *backupReader) head(old header, name string) header {
	h := header{space: space{Embedder: b.header.Embedder, Dimension: b.header.Dimension},
		declared: b.header.Declared, settings: b.header.Settings, attributes: maps.Clone(old.attributes)}
	if h.attributes == nil {
		h.attributes = make(map[string][]byte)
	}
	for key, value := range b.header.Attributes {
		if _, has := h.attributes[key]; !has && b.header.Name == name {
			h.attributes[key] = value
		}
	}
	return h
}

// RestoreFile restores the backup in the file at path.
func (s *Store) RestoreFile(ctx context.Context, path string, opt RestoreOptions) (Header, error) {
	file, err := os.Open(path)
	if err != nil {
		return Header{}, fmt.Errorf("restore memory %s: %w", s.name, err)
	}
	defer file.Close() // read only
	header, err := s.Restore(ctx, file, opt)
	if err != nil {
		return Header{}, fmt.Errorf("%w (backup %s)", err, path)
	}
	return header, nil
}

// Inspect reads the header of the backup in the file at path. The rest is not checked.
func Inspect(path string) (Header, error) {
	file, err := os.Open(path)
	if err != nil {
		return Header{}, fmt.Errorf("inspect backup: %w", err)
	}
	defer file.Close() // read only
	backup := newBackupReader(maxObjectBytes, nil)
	backup.headerOnly = true
	if err := backup.read(context.Background(), file); err != nil {
		return Header{}, fmt.Errorf("inspect backup %s: %w", path, err)
	}
	return backup.header, nil
}

// backupReader reads a backup of either format and checks all of it.
type backupReader struct {
	limit      int64 // bytes, uncompressed
	headerOnly bool
	take       func(row *table.Row, references uint64) error

	header  Header
	records int // read so far
	ids     map[string]bool
	sum     hash.Hash
	objects int // read so far: the header is 1
}

// newBackupReader reads up to limit bytes, uncompressed, and hands each record on as it comes: it is checked, but it is
// not known yet whether the backup is whole.
func newBackupReader(limit int64, take func(row *table.Row, references uint64) error) *backupReader {
	return &backupReader{limit: limit, take: take, ids: make(map[string]bool), sum: sha256.New()}
}

func (b *backupReader) read(ctx context.Context, r io.Reader) error {
	buffered := bufio.NewReaderSize(r, 64<<10)
	start, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read backup: %w", err)
	}
	if len(start) == 0 {
		return fmt.Errorf("the backup is empty: %w", api.ErrInvalid)
	}
	if !bytes.Equal(start, []byte{0x1f, 0x8b}) {
		return b.locate(b.readDocument(ctx, buffered))
	}
	zip, err := gzip.NewReader(buffered)
	if err != nil {
		return b.locate(err)
	}
	zip.Multistream(false) // so that what follows is seen
	if err := b.readLines(ctx, zip); err != nil || b.headerOnly {
		return b.locate(err)
	}
	if _, err := buffered.Peek(1); err == nil {
		return fmt.Errorf("something follows after the end of the backup: %w", api.ErrInvalid)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read backup: %w", err)
	}
	return nil
}

// locate says where reading stopped.
func (b *backupReader) locate(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the backup is cut off")
	}
	where := "at the header"
	if b.objects > 0 {
		where = fmt.Sprintf("after record %d of %d", b.records, b.header.Records)
	}
	if errors.As(err, new(*os.PathError)) {
		return fmt.Errorf("read backup: %w", err) // the disk failed, not the backup
	}
	if !errors.Is(err, api.ErrInvalid) && !errors.Is(err, api.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", err, api.ErrInvalid)
	}
	return fmt.Errorf("backup is damaged %s: %w", where, err)
}

// readLines reads the lines of a .jsonl.gz.
func (b *backupReader) readLines(ctx context.Context, r io.Reader) error {
	scanner := bufio.NewScanner(&meter{r: r, total: b.limit, object: b.limit})
	scanner.Buffer(make([]byte, 0, 64<<10), maxObjectBytes)
	next := func() ([]byte, error) {
		more := scanner.Scan()
		switch err := scanner.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return nil, fmt.Errorf("a line is longer than %d bytes: %w", maxObjectBytes, api.ErrTooLarge)
		case err != nil: // even where there is a line: it is what was read of one before the error
			return nil, err
		case !more:
			return nil, io.ErrUnexpectedEOF
		}
		return scanner.Bytes(), ctx.Err()
	}
	line, err := next()
	if err != nil {
		return err
	}
	if err := b.readHeader(line); err != nil || b.headerOnly {
		return err
	}
	for range b.header.Records {
		line, err := next()
		if err != nil {
			return err
		}
		if err := b.readRecord(line); err != nil {
			return err
		}
	}
	if line, err = next(); err != nil {
		return err
	}
	if err := b.readEnd(line); err != nil {
		return err
	}
	if scanner.Scan() {
		return fmt.Errorf("something follows after its end: %w", api.ErrInvalid)
	}
	return scanner.Err() // gzip's own checksum is wrong
}

// readDocument reads a .json.
func (b *backupReader) readDocument(ctx context.Context, r io.Reader) error {
	meter := &meter{r: r, total: b.limit}
	dec := json.NewDecoder(meter)
	token := func(want ...any) error {
		for _, want := range want {
			meter.object = readAhead
			if got, err := dec.Token(); err != nil {
				return err
			} else if got != want {
				return fmt.Errorf("found %v instead of %v: %w", got, want, api.ErrInvalid)
			}
		}
		return nil
	}
	object := func(read func([]byte) error) error {
		var raw json.RawMessage
		meter.object = readAhead
		if err := cmp.Or(ctx.Err(), dec.Decode(&raw)); err != nil {
			return err
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return err
		}
		return read(compact.Bytes())
	}

	if err := token(json.Delim('{'), "memory"); err != nil {
		return err
	}
	if err := object(b.readHeader); err != nil || b.headerOnly {
		return err
	}
	if err := token("records", json.Delim('[')); err != nil {
		return err
	}
	for range b.header.Records {
		if err := object(b.readRecord); err != nil {
			return err
		}
	}
	if err := token(json.Delim(']'), "end"); err != nil {
		return err
	}
	if err := object(b.readEnd); err != nil {
		return err
	}
	if err := token(json.Delim('}')); err != nil {
		return err
	}
	if got, err := dec.Token(); err == nil {
		return fmt.Errorf("%v follows after its end: %w", got, api.ErrInvalid)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (b *backupReader) readHeader(object []byte) error {
	// Format and version first, so that a newer backup is told as that, whatever else has changed.
	var kind struct {
		Format  string
		Version int
	}
	if err := json.Unmarshal(object, &kind); err != nil {
		return err
	}
	if kind.Format != backupFormat {
		return fmt.Errorf("it says format %q, not %q: %w", kind.Format, backupFormat, api.ErrInvalid)
	}
	if kind.Version > backupVersion {
		return fmt.Errorf("it has version %d, this coma knows up to %d (use a newer coma): %w", kind.Version, backupVersion, api.ErrInvalid)
	}
	if err := b.decode(object, &b.header); err != nil {
		return err
	}
	switch h := b.header; {
	case h.Version < 1:
		return fmt.Errorf("it has version %d: %w", h.Version, api.ErrInvalid)
	case h.Records < 0:
		return fmt.Errorf("it has %d records: %w", h.Records, api.ErrInvalid)
	case h.Embedder == "" || h.Dimension < 0 || h.Dimension > maxDimension:
		return fmt.Errorf("it has embedder %q with %d dimensions: %w", h.Embedder, h.Dimension, api.ErrInvalid)
	case h.Settings.TTL < 0 || h.Settings.Limit < 0:
		return fmt.Errorf("it has ttl %v and limit %d: %w", h.Settings.TTL, h.Settings.Limit, api.ErrInvalid)
	}
	for key, value := range b.header.Attributes {
		if key == "" || len(key)+len(value) > maxAttributeBytes {
			return fmt.Errorf("attribute %q has %d bytes: %w", key, len(value), api.ErrInvalid)
		}
	}
	return nil
}

func (b *backupReader) readRecord(object []byte) error {
	var in backupRecord
	if err := b.decode(object, &in); err != nil {
		return err
	}
	if b.ids[in.ID] {
		return fmt.Errorf("the ID %q comes twice: %w", in.ID, api.ErrInvalid)
	}
	meta, err := metadata(in.Metadata)
	if err != nil {
		return err
	}
	vector, err := base64.StdEncoding.Strict().DecodeString(in.Vector)
	if err != nil {
		return fmt.Errorf("read vector: %w", err)
	}
	if len(vector) != 0 && len(vector) != 4*b.header.Dimension {
		return fmt.Errorf("vector has %d bytes, not 4 for each of %d dimensions: %w", len(vector), b.header.Dimension, api.ErrInvalid)
	}
	r := &table.Row{Record: api.Record{ID: in.ID, Time: micro(in.Time), Expires: micro(in.Expires), Metadata: meta, Vector: vectorFrom(vector)},
		URI: in.URI, NoText: in.Text == nil, NoMetadata: in.Metadata == nil}
	if in.Text != nil {
		r.Text = *in.Text
	}
	if b.header.Version == 1 {
		r.NoText = r.Text == ""
	}
	if err := checkRow(r); err != nil {
		return err
	}
	b.ids[in.ID] = true
	b.records++
	return b.take(r, in.References)
}

func (b *backupReader) readEnd(object []byte) error {
	sum := hex.EncodeToString(b.sum.Sum(nil))
	var end backupEnd
	if err := b.decode(object, &end); err != nil {
		return err
	}
	if end.Records != b.records {
		return fmt.Errorf("its end says %d records, there are %d: %w", end.Records, b.records, api.ErrInvalid)
	}
	if end.SHA256 != sum {
		return fmt.Errorf("its checksum is %s, of what is there %s: %w", end.SHA256, sum, api.ErrInvalid)
	}
	return nil
}

// decode reads one object without white space and adds it to the sum.
func (b *backupReader) decode(object []byte, v any) error {
	if !utf8.Valid(object) {
		return fmt.Errorf("it is not valid UTF-8: %w", api.ErrInvalid)
	}
	addToSum(b.sum, object)
	b.objects++
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber() // integers and floats stay apart
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.InputOffset() != int64(len(object)) {
		return fmt.Errorf("something follows on the line: %w", api.ErrInvalid)
	}
	return nil
}

// readAhead is what a JSON decoder may read for one object: its buffer doubles.
const readAhead = 4 * maxObjectBytes

// meter reads up to total bytes, and up to object bytes until that is set again.
type meter struct {
	r      io.Reader
	total  int64
	object int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.total -= int64(n)
	m.object -= int64(n)
	if m.total < 0 || m.object < 0 {
		return 0, fmt.Errorf("it is larger than may be read: %w", api.ErrTooLarge)
	}
	return n, err
}
