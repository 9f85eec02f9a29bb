package transfer

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Open opens a file to import: JSON Lines (.jsonl, .jsonl.gz, .ndjson), or the JSON document (.json) that the Python
// framework's "coma backup" writes. The name "-" is standard input, with JSON Lines. embedder is whose the vectors are
// where the file does not say; "": nobody knows.
func Open(path, embedder string) (Source, error) {
	unnamed := cmp.Or(embedder, Given)
	if path == "-" {
		return openLines(&counted{ReadCloser: io.NopCloser(os.Stdin)}, "standard input", unnamed)
	}
	if strings.HasSuffix(path, ".pkl") || strings.HasSuffix(path, ".pickle") {
		return nil, fmt.Errorf("read %s: %w: only Python can read a pickle, and reading one runs what is in it; make JSON of your own with\n"+
			"  python3 -c 'import json, pickle; d = pickle.load(open(%q, \"rb\"))\n"+
			"json.dump({k: d[k].tolist() if hasattr(d[k], \"tolist\") else d[k] for k in (\"ids\", \"documents\", \"metadatas\", \"embeddings\")}, open(\"memory.json\", \"w\"))'",
			path, api.ErrInvalid, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read file to import: %w", err)
	}
	file := &counted{ReadCloser: f}
	if info, err := f.Stat(); err == nil {
		file.size = info.Size()
	}
	var s Source
	if strings.HasSuffix(path, ".json") {
		s, err = openDocument(file, path, embedder)
	} else {
		s, err = openLines(file, path, unnamed)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// counted is a file that knows how much of it was read.
type counted struct {
	io.ReadCloser
	size, read int64 // bytes; size 0: not known
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read += int64(n)
	return n, err
}

func (c *counted) part() float64 {
	if c.size == 0 {
		return -1
	}
	return min(float64(c.read)/float64(c.size), 1)
}

// document is what Chroma's get answers, which the Python framework keeps as its backup: lists of equal length.
type document struct {
	IDs        []string       `json:"ids"`
	Documents  []*string      `json:"documents"`
	Metadatas  []api.Metadata `json:"metadatas"`
	Embeddings [][]float32    `json:"embeddings"`
}

// defaultOfChroma is the embedder of Chroma's "default" function, which is the Python framework's default.
const (
	defaultOfChroma    = "minilm"
	dimensionOfDefault = 384
)

// records makes records of the lists. Their times are left to the memory, which finds them in the metadata.
func (d *document) records() ([]api.Record, error) {
	n := len(d.IDs)
	for name, length := range map[string]int{"documents": len(d.Documents), "metadatas": len(d.Metadatas), "embeddings": len(d.Embeddings)} {
		if length != 0 && length != n {
			return nil, fmt.Errorf("%w: %d ids and %d %s", api.ErrInvalid, n, length, name)
		}
	}
	records := make([]api.Record, n)
	for i, id := range d.IDs {
		r := &records[i]
		r.ID = id
		if len(d.Documents) > 0 && d.Documents[i] != nil {
			r.Text = *d.Documents[i]
		}
		if len(d.Metadatas) > 0 {
			r.Metadata = d.Metadatas[i]
		}
		for key, value := range r.Metadata {
			if value == nil {
				delete(r.Metadata, key) // what Python has as None
			}
		}
		if len(d.Embeddings) > 0 {
			r.Vector = d.Embeddings[i]
		}
	}
	return records, nil
}

// documentSource gives a document's records. It holds all of them: the document has them by columns.
type documentSource struct {
	*counted
	name     string
	records  []api.Record
	total    int
	embedder string
}

func openDocument(file *counted, name, embedder string) (Source, error) {
	var d struct {
		document
		Memory json.RawMessage `json:"memory"` // of a backup of ours
	}
	if err := json.NewDecoder(bufio.NewReader(file)).Decode(&d); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", name, api.ErrInvalid, err)
	}
	switch {
	case d.Memory != nil:
		return nil, fmt.Errorf("read %s: %w: it is a backup; \"coma memory restore\" reads it", name, api.ErrInvalid)
	case d.IDs == nil:
		return nil, fmt.Errorf("read %s: %w: no \"ids\" in it: a .json file is what the Python framework's backup writes; name a file of one record a line .jsonl", name, api.ErrInvalid)
	}
	records, err := d.records()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	s := &documentSource{counted: file, name: name, records: records, total: len(records)}
	switch {
	case len(d.Embeddings) == 0:
	case embedder != "":
		s.embedder = embedder
	case len(d.Embeddings[0]) == dimensionOfDefault:
		s.embedder = defaultOfChroma // the framework's own, unless its user chose another: the document does not say
	default:
		s.embedder = Given
	}
	return s, nil
}

func (s *documentSource) Embedder() string       { return s.embedder }
func (s *documentSource) Place(id string) string { return fmt.Sprintf("%s: record %q", s.name, id) }

func (s *documentSource) Part() float64 { return part(s.total-len(s.records), s.total) }

func (s *documentSource) Next(_ context.Context, known func([]string) (map[string]bool, error)) ([]api.Record, int, error) {
	if len(s.records) == 0 {
		return nil, 0, io.EOF
	}
	n := min(batchRecords, len(s.records))
	batch := s.records[:n]
	s.records = s.records[n:]
	return without(batch, known)
}
