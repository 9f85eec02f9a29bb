package memory

import (
	"bufio"
	"bytes"
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
	"iter"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// A backup, version 2, is a header, the records in the order of adding, and an end, all of them JSON objects:
//
//	header  {"format":"coma-memory","version":2,"name":"plant","created":"2026-11-21T07:00:00Z",
//	         "embedder":"hashing-1","dimension":256,"records":2,
//	         "declared":"minilm","settings":{"ttl":3600000000000,"limit":1000},"attributes":{"key":"…"}}
//	record  {"id":"…","time":"2026-11-21T06:59:58.000001Z","expires":"2026-11-22T06:59:58Z","text":"…","uri":"…",
//	         "metadata":{"kind":"dream","n":2,"w":2.0},"vector":"…","references":3}
//	end     {"records":2,"sha256":"…"}
//
// In metadata a number with a point or an exponent is a float64 (2.0), one without is an int64 (2). The vector is
// base64 (RFC 4648, with padding) of little endian float32. A text, metadata or anything else of a record that is not
// there is null; id and time are always there. Attributes are base64, the TTL is in nanoseconds. The checksum is hex
// SHA-256 of header and records, each without white space between its parts and followed by "\n". Unknown keys are
// refused: what adds one makes a new version.
//
// Version 1 has the records from the oldest to the newest, and neither declared, settings, attributes, expires, uri nor
// references; an empty text in it is none.
//
// The two formats differ in the frame alone:
//
//   - .jsonl.gz: gzip; one object a line. What the checksum is of is all lines but the last.
//   - .json: one document, {"memory":<header>,"records":[<record>,…],"end":<end>}. White space does not matter.
const (
	backupFormat  = "coma-memory"
	backupVersion = 2
)

// Format is a format of backup files, named as their names end.
type Format string

// The formats of backups.
const (
	JSON      Format = "json"
	JSONLines Format = "jsonl.gz"
)

// FormatOf returns the format that the name of a file asks for.
func FormatOf(path string) (Format, error) {
	for _, f := range []Format{JSON, JSONLines} {
		if strings.HasSuffix(path, "."+string(f)) {
			return f, nil
		}
	}
	return "", fmt.Errorf("backup %s: the name ends neither in .json nor in .jsonl.gz: %w", path, api.ErrInvalid)
}

// Header describes a backup.
type Header struct {
	Format    string    `json:"format"`  // "coma-memory"
	Version   int       `json:"version"` // 1 or 2
	Name      string    `json:"name"`    // of the agent
	Created   time.Time `json:"created"`
	Embedder  string    `json:"embedder"`
	Dimension int       `json:"dimension"`
	Records   int       `json:"records"`

	Declared   string            `json:"declared,omitempty"` // see Declare
	Settings   Settings          `json:"settings,omitzero"`
	Attributes map[string][]byte `json:"attributes,omitempty"`
}

type backupRecord struct {
	ID         string       `json:"id"`
	Time       time.Time    `json:"time"`
	Expires    time.Time    `json:"expires,omitzero"`
	Text       *string      `json:"text,omitempty"`
	URI        *string      `json:"uri,omitempty"`
	Metadata   api.Metadata `json:"metadata,omitzero"` // tells floats from integers
	Vector     string       `json:"vector,omitempty"`
	References uint64       `json:"references,omitempty"`
}

type backupEnd struct {
	Records int    `json:"records"`
	SHA256  string `json:"sha256"`
}

// compactJSON is json.Marshal that leaves <, > and & readable.
func compactJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Backup writes all records, as they are at this moment, to w. Reads and writes go on meanwhile and do not show in it.
func (s *Store) Backup(ctx context.Context, w io.Writer, format Format) (Header, error) {
	header, err := s.backup(ctx, w, format)
	if err != nil {
		return Header{}, fmt.Errorf("back up memory %s: %w", s.name, err)
	}
	return header, nil
}

func (s *Store) backup(ctx context.Context, w io.Writer, format Format) (Header, error) {
	if err := s.start(ctx); err != nil {
		return Header{}, err
	}
	b := s.content()
	buffered := bufio.NewWriterSize(w, 64<<10)
	var err error
	switch format {
	case JSON:
		err = writeDocument(ctx, buffered, b)
	case JSONLines:
		zip := gzip.NewWriter(buffered)
		err = errors.Join(writeLines(ctx, zip, b), zip.Close())
	default:
		err = fmt.Errorf("unknown format %q (json or jsonl.gz): %w", format, api.ErrInvalid)
	}
	if err != nil {
		return Header{}, err
	}
	return b.header, buffered.Flush()
}

// backupContent is what a backup holds.
type backupContent struct {
	header Header
	rows   iter.Seq[*table.Row]
	refs   map[uint64]uint64
}

// content is what the memory holds at this moment.
func (s *Store) content() backupContent {
	s.refsMu.RLock() // the view is loaded under it: the committer counts references first and then shows their records
	refs := maps.Clone(s.refs)
	v, now := s.view.Load(), s.now()
	s.refsMu.RUnlock()
	sp := s.spaceOf(v)
	return backupContent{refs: refs, rows: v.snap.ByAdding(v.live(table.Select{}, now)), header: Header{
		Format: backupFormat, Version: backupVersion, Name: s.name, Created: micro(now),
		Embedder: sp.Embedder, Dimension: sp.Dimension, Records: v.count(now),
		Declared: v.head.declared, Settings: v.head.settings, Attributes: v.head.attributes}}
}

func writeLines(ctx context.Context, w io.Writer, b backupContent) error {
	lines := backupWriter{w: w, sum: sha256.New()}
	lines.object(b.header)
	lines.frame("\n")
	for r := range b.rows {
		if lines.err == nil {
			lines.err = ctx.Err()
		}
		if lines.err != nil {
			return lines.err
		}
		lines.record(r, b.refs[r.Seq])
		lines.frame("\n")
	}
	lines.end(b.header.Records)
	lines.frame("\n")
	return lines.err
}

func writeDocument(ctx context.Context, w io.Writer, b backupContent) error {
	doc := backupWriter{w: w, sum: sha256.New()}
	doc.frame("{\n\"memory\": ")
	doc.object(b.header)
	doc.frame(",\n\"records\": [")
	comma := "\n"
	for r := range b.rows {
		if doc.err == nil {
			doc.err = ctx.Err()
		}
		if doc.err != nil {
			return doc.err
		}
		doc.frame(comma)
		doc.record(r, b.refs[r.Seq])
		comma = ",\n"
	}
	doc.frame("\n],\n\"end\": ")
	doc.end(b.header.Records)
	doc.frame("\n}\n")
	return doc.err
}

// backupWriter writes objects and sums them up; after the first error it does nothing.
type backupWriter struct {
	w   io.Writer
	sum hash.Hash
	err error
}

func (b *backupWriter) frame(s string) {
	if b.err == nil {
		_, b.err = io.WriteString(b.w, s)
	}
}

func (b *backupWriter) object(v any) {
	if b.err != nil {
		return
	}
	line, err := compactJSON(v)
	if err != nil {
		b.err = err
		return
	}
	addToSum(b.sum, line)
	_, b.err = b.w.Write(line)
}

func (b *backupWriter) record(r *table.Row, references uint64) {
	out := backupRecord{ID: r.ID, Time: r.Time, Expires: r.Expires, URI: r.URI, Metadata: r.Metadata,
		Vector: base64.StdEncoding.EncodeToString(appendVector(nil, r.Vector)), References: references}
	if !r.NoText {
		out.Text = &r.Text
	}
	if out.Metadata == nil && !r.NoMetadata {
		out.Metadata = api.Metadata{}
	}
	b.object(out)
}

func (b *backupWriter) end(records int) {
	b.object(backupEnd{Records: records, SHA256: hex.EncodeToString(b.sum.Sum(nil))})
}

// addToSum adds an object that has no white space.
func addToSum(sum hash.Hash, object []byte) {
	sum.Write(object) // a hash never fails
	sum.Write([]byte{'\n'})
}

// BackupFile writes a backup to the file at path, in the format that its name asks for (see FormatOf), mode 0600.
// The file is written aside and put in place once it is on disk: what is at path is the old one or the new one, whole.
func (s *Store) BackupFile(ctx context.Context, path string) (Header, error) {
	format, err := FormatOf(path)
	if err != nil {
		return Header{}, err
	}
	var header Header
	err = writeFile(path, func(w io.Writer) error {
		header, err = s.Backup(ctx, w, format)
		return err
	})
	if err != nil {
		return Header{}, fmt.Errorf("write backup %s: %w", path, err)
	}
	return header, nil
}

// writeFile writes a file atomically and durably.
func writeFile(path string, write func(io.Writer) error) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	if err := write(temp); err != nil {
		return errors.Join(err, temp.Close())
	}
	if err := errors.Join(temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
