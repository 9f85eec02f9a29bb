package transfer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// JSON Lines: a record a line, and nothing else.
//
//	{"id":"…","time":"2026-11-21T06:59:58.000001Z","text":"…","metadata":{"kind":"dream","n":2,"w":2.0},
//	 "expires":"…","embedder":"minilm","vector":[0.03,…]}
//
// Only text must be there. In metadata a number with a point or an exponent is a float, one without is an integer.
// embedder says whose the vector is; without it, it is that of the one who reads. What has no id gets one that its line decides, so that the same file can be read
// again.
type line struct {
	ID       string       `json:"id,omitempty"`
	Time     time.Time    `json:"time,omitzero"`
	Text     string       `json:"text"`
	Metadata api.Metadata `json:"metadata,omitempty"`
	Expires  time.Time    `json:"expires,omitzero"`
	Embedder string       `json:"embedder,omitempty"`
	Vector   []float32    `json:"vector,omitempty"`
}

// maxLine bounds a line, in bytes: a text of 16 MiB, escaped, and the largest vector are within it.
const maxLine = 128 << 20

// Lines writes records as JSON Lines. It is a Sink; Close ends it, and leaves the file behind it open.
type Lines struct {
	embedder string
	zip      *gzip.Writer // nil: plain
	out      *bufio.Writer
}

// NewLines writes to w, compressed where the file's name ends in .gz. embedder names whose the vectors are.
func NewLines(w io.Writer, name, embedder string) *Lines {
	l := &Lines{embedder: embedder}
	if strings.HasSuffix(name, ".gz") {
		l.zip = gzip.NewWriter(w)
		w = l.zip
	}
	l.out = bufio.NewWriterSize(w, 64<<10)
	return l
}

// Put implements Sink.
func (l *Lines) Put(_ context.Context, records []api.Record) (Result, error) {
	encoder := json.NewEncoder(l.out)
	encoder.SetEscapeHTML(false)
	for i, r := range records {
		out := line{ID: r.ID, Time: r.Time, Text: r.Text, Metadata: r.Metadata, Expires: r.Expires, Vector: r.Vector}
		if r.Vector != nil {
			out.Embedder = l.embedder
		}
		if err := encoder.Encode(out); err != nil {
			return Result{Carried: i}, fmt.Errorf("write record %q: %w", r.ID, err)
		}
	}
	return Result{Carried: len(records)}, nil
}

// Close writes what is still held.
func (l *Lines) Close() error {
	err := l.out.Flush()
	if l.zip != nil {
		err = errors.Join(err, l.zip.Close())
	}
	return err
}

// lineSource reads JSON Lines.
type lineSource struct {
	file    *counted
	in      *bufio.Reader
	name    string
	unnamed string // whose the vectors are that name no embedder
	number  int    // of the line read last

	embedder string       // of the first vector
	ahead    []api.Record // read to know that
	broken   error        // what is wrong with the line after those that were given

	lines map[string]int // of records that are ahead or in the last batch, by ID
	batch []api.Record   // the last one
}

// Bounds of how far is read to the first vector: an export can begin with records that have none.
const (
	aheadRecords = 10_000
	aheadBytes   = 64 << 20 // of text
)

func openLines(file *counted, name, unnamed string) (Source, error) {
	s := &lineSource{file: file, name: name, unnamed: unnamed, lines: map[string]int{}}
	var in io.Reader = file
	if strings.HasSuffix(name, ".gz") {
		zip, err := gzip.NewReader(bufio.NewReader(file))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		in = zip
	}
	s.in = bufio.NewReaderSize(in, 64<<10)
	for held := 0; s.embedder == "" && s.broken == nil && len(s.ahead) < aheadRecords && held < aheadBytes; {
		var r api.Record
		var embedder string
		if r, embedder, s.broken = s.record(); s.broken == nil {
			s.embedder, s.ahead = embedder, append(s.ahead, r)
			held += len(r.Text)
		}
	}
	return s, nil
}

func (s *lineSource) Embedder() string { return s.embedder }
func (s *lineSource) Part() float64    { return s.file.part() }
func (s *lineSource) Close() error     { return s.file.Close() }

// Next implements Source. It ends at the first line that is wrong, behind those before it.
func (s *lineSource) Next(_ context.Context, known func([]string) (map[string]bool, error)) ([]api.Record, int, error) {
	for _, r := range s.batch {
		delete(s.lines, r.ID)
	}
	n := min(batchRecords, len(s.ahead))
	records := s.ahead[:n:n]
	s.ahead = s.ahead[n:]
	for bytes := 0; len(records) < batchRecords && bytes < batchBytes && s.broken == nil; {
		r, embedder, err := s.record()
		if err == nil && embedder != "" && embedder != s.embedder {
			err = fmt.Errorf("read %s: line %d has a vector of %s, and those before it have %s: vectors of two embedders cannot be compared; leave them behind with --no-vectors: %w",
				s.name, s.number, described(embedder), described(s.embedder), api.ErrInvalid)
		}
		if err != nil {
			s.broken = err
			break
		}
		records = append(records, r)
		bytes += size(r)
	}
	if len(records) == 0 {
		return nil, 0, s.broken
	}
	s.batch = records
	return without(records, known)
}

// Place implements Source.
func (s *lineSource) Place(id string) string { return fmt.Sprintf("%s: line %d", s.name, s.lines[id]) }

// record reads the next line that is not blank.
func (s *lineSource) record() (r api.Record, embedder string, err error) {
	var text []byte
	for len(bytes.TrimSpace(text)) == 0 {
		if text, err = s.line(); err != nil {
			return r, "", err
		}
	}
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&l)
	if err == nil && decoder.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		if bytes.Contains(text[:min(len(text), 200)], []byte(`"format":"coma-memory"`)) {
			return r, "", fmt.Errorf("read %s: %w: it is a backup; \"coma memory restore\" reads it", s.name, api.ErrInvalid)
		}
		return r, "", fmt.Errorf("read %s: line %d: %w: %w (want {\"text\": …}, and id, time, metadata, expires, embedder, vector where there are any)",
			s.name, s.number, api.ErrInvalid, err)
	}
	if l.ID == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", s.number, bytes.TrimSpace(text)))
		l.ID = "line-" + hex.EncodeToString(sum[:12])
	}
	s.lines[l.ID] = s.number
	switch {
	case l.Vector == nil:
		l.Embedder = ""
	case l.Embedder == "":
		l.Embedder = s.unnamed
	}
	return api.Record{ID: l.ID, Time: l.Time, Text: l.Text, Metadata: l.Metadata, Expires: l.Expires, Vector: l.Vector}, l.Embedder, nil
}

// line reads a line of any length up to maxLine. A last one without its end is one, too: people write such files.
func (s *lineSource) line() (text []byte, err error) {
	s.number++
	for {
		piece, err := s.in.ReadSlice('\n')
		text = append(text, piece...)
		switch {
		case len(text) > maxLine:
			return nil, fmt.Errorf("read %s: line %d: %w: more than %d MiB", s.name, s.number, api.ErrTooLarge, maxLine>>20)
		case err == nil, isEnd(err) && len(text) > 0:
			return text, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case isEnd(err):
			return nil, io.EOF
		default:
			return nil, fmt.Errorf("read %s: line %d: %w", s.name, s.number, err)
		}
	}
}

// without drops the records that are known.
func without(records []api.Record, known func([]string) (map[string]bool, error)) ([]api.Record, int, error) {
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	there, err := known(ids)
	if err != nil {
		return nil, 0, err
	}
	var fresh []api.Record
	for _, r := range records {
		if !there[r.ID] {
			fresh = append(fresh, r)
		}
	}
	return fresh, len(records) - len(fresh), nil
}

func described(embedder string) string {
	switch embedder {
	case "":
		return "none"
	case Given:
		return "an embedder that is not named"
	}
	return embedder
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }
