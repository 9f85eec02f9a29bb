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
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// A backup, version 1, is a header, the records from the oldest to the newest, and an end, all of them JSON objects:
//
//	header  {"format":"coma-memory","version":1,"name":"plant","created":"2026-11-21T07:00:00Z",
//	         "embedder":"hashing-1","dimension":256,"records":2}
//	record  {"id":"…","time":"2026-11-21T06:59:58.000001Z","text":"…","metadata":{"kind":"dream","n":2,"w":2.0},"vector":"…"}
//	end     {"records":2,"sha256":"…"}
//
// In metadata a number with a point or an exponent is a float64 (2.0), one without is an int64 (2). The vector is
// base64 (RFC 4648, with padding) of little endian float32, and is not there where the record has none; neither are
// empty metadata. The checksum is hex SHA-256 of header and records, each without white space between its parts and
// followed by "\n". Unknown keys are refused: what adds one makes a new version.
//
// The two formats differ in the frame alone:
//
//   - .jsonl.gz: gzip; one object a line. What the checksum is of is all lines but the last.
//   - .json: one document, {"memory":<header>,"records":[<record>,…],"end":<end>}. White space does not matter.
const (
	backupFormat  = "coma-memory"
	backupVersion = 1
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
	Version   int       `json:"version"` // 1
	Name      string    `json:"name"`    // of the agent
	Created   time.Time `json:"created"`
	Embedder  string    `json:"embedder"`
	Dimension int       `json:"dimension"`
	Records   int       `json:"records"`
}

type backupRecord struct {
	ID       string       `json:"id"`
	Time     time.Time    `json:"time"`
	Text     string       `json:"text"`
	Metadata api.Metadata `json:"metadata,omitempty"` // tells floats from integers
	Vector   string       `json:"vector,omitempty"`
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
	s.mu.RLock()
	sp := s.space()
	records := append(timeline(nil), s.state.line...) // records never change: this is a snapshot
	s.mu.RUnlock()

	header := Header{Format: backupFormat, Version: backupVersion, Name: s.name, Created: micro(s.now()),
		Embedder: sp.Embedder, Dimension: sp.Dimension, Records: len(records)}
	buffered := bufio.NewWriterSize(w, 64<<10)
	var err error
	switch format {
	case JSON:
		err = writeDocument(ctx, buffered, header, records)
	case JSONLines:
		zip := gzip.NewWriter(buffered)
		err = errors.Join(writeLines(ctx, zip, header, records), zip.Close())
	default:
		err = fmt.Errorf("unknown format %q (json or jsonl.gz): %w", format, api.ErrInvalid)
	}
	if err != nil {
		return Header{}, err
	}
	return header, buffered.Flush()
}

func writeLines(ctx context.Context, w io.Writer, header Header, records timeline) error {
	lines := backupWriter{w: w, sum: sha256.New()}
	lines.object(header)
	lines.frame("\n")
	for _, r := range records {
		if lines.err == nil {
			lines.err = ctx.Err()
		}
		lines.record(r)
		lines.frame("\n")
	}
	lines.end(len(records))
	lines.frame("\n")
	return lines.err
}

func writeDocument(ctx context.Context, w io.Writer, header Header, records timeline) error {
	doc := backupWriter{w: w, sum: sha256.New()}
	doc.frame("{\n\"memory\": ")
	doc.object(header)
	doc.frame(",\n\"records\": [")
	for i, r := range records {
		if doc.err == nil {
			doc.err = ctx.Err()
		}
		if i > 0 {
			doc.frame(",")
		}
		doc.frame("\n")
		doc.record(r)
	}
	doc.frame("\n],\n\"end\": ")
	doc.end(len(records))
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

func (b *backupWriter) record(r *record) {
	b.object(backupRecord{ID: r.ID, Time: r.Time, Text: r.Text, Metadata: r.Metadata,
		Vector: base64.StdEncoding.EncodeToString(appendVector(nil, r.Vector))})
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
