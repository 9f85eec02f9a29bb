package transfer

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// timeKey is the metadata key that the Python framework keeps a record's time under, in seconds.
const timeKey = "timestamp"

// chromaSink puts records into a collection.
type chromaSink struct{ *collection }

// ToChroma returns a sink for the collection at http://host:8000/collection, which is made if it is not there. embedder
// names whose the vectors are, so that Chroma's clients know which function to query with.
//
// Records without a vector are left: Chroma has none. So is when a record expires. A record's time goes into its
// metadata, as "timestamp", unless something of that name is there.
func ToChroma(ctx context.Context, place, embedder string) (Sink, error) {
	s, name, err := parseCollection(place)
	if err != nil {
		return nil, err
	}
	c, err := s.create(ctx, name, functionOf(embedder))
	if err != nil {
		return nil, fmt.Errorf("open chroma collection: %w", err)
	}
	return chromaSink{c}, nil
}

// functionOf is an embedder in Chroma's words; nil: it has none for it.
func functionOf(embedder string) *function {
	kind, model, _ := strings.Cut(embedder, ":")
	switch {
	case embedder == defaultOfChroma:
		return &function{Type: "known", Name: "default", Config: map[string]any{}}
	case kind == "openai":
		return &function{Type: "known", Name: "openai", Config: map[string]any{
			"model_name": model, "api_key_env_var": "OPENAI_API_KEY", "organization_id": nil, "api_base": nil, "api_type": nil,
			"api_version": nil, "deployment_id": nil, "default_headers": nil, "dimensions": nil,
		}}
	}
	return nil
}

// embedder is the other way round.
func (f *function) embedder() string {
	if f == nil || f.Type != "known" {
		return ""
	}
	model, _ := f.Config["model_name"].(string)
	switch {
	case f.Name == "default":
		return defaultOfChroma
	case f.Name == "openai" && model != "":
		return "openai:" + model
	case f.Name == "ollama" && model != "":
		return "ollama:" + model
	}
	return ""
}

// Put implements Sink.
func (s chromaSink) Put(ctx context.Context, records []api.Record) (result Result, err error) {
	var ids []string
	var fit []api.Record
	for _, r := range records {
		if r.Vector != nil {
			ids, fit = append(ids, r.ID), append(fit, r)
		}
	}
	result.Left = len(records) - len(fit)
	if len(fit) == 0 {
		return result, nil
	}
	var there document
	if err := s.ask(ctx, "get", getQuestion{IDs: ids, Include: []string{}}, &there); err != nil {
		return Result{}, err
	}
	known := make(map[string]bool, len(there.IDs))
	for _, id := range there.IDs {
		known[id] = true
	}
	var fresh document
	for _, r := range fit {
		if known[r.ID] {
			continue
		}
		fresh.IDs = append(fresh.IDs, r.ID)
		fresh.Documents = append(fresh.Documents, &r.Text)
		fresh.Metadatas = append(fresh.Metadatas, timed(r))
		fresh.Embeddings = append(fresh.Embeddings, r.Vector)
	}
	result.There = len(fit) - len(fresh.IDs)
	if len(fresh.IDs) == 0 {
		return result, nil
	}
	if err := s.ask(ctx, "add", fresh, nil); err != nil {
		return Result{}, err
	}
	result.Carried = len(fresh.IDs)
	return result, nil
}

// timed is a record's metadata with its time.
func timed(r api.Record) api.Metadata {
	metadata := make(api.Metadata, len(r.Metadata)+1)
	metadata[timeKey] = float64(r.Time.UnixMicro()) / float64(time.Second/time.Microsecond)
	for key, value := range r.Metadata {
		metadata[key] = value
	}
	return metadata
}

// chromaSource gives a collection's records.
type chromaSource struct {
	*collection
	total   int
	offset  int
	vectors bool
	named   string
}

// FromChroma returns a source of the collection at http://host:8000/collection; with vectors, they come along, and
// embedder is whose they are where the collection does not say ("": nobody knows). What the memory has already is not
// transferred.
func FromChroma(ctx context.Context, place string, vectors bool, embedder string) (Source, error) {
	s, name, err := parseCollection(place)
	if err != nil {
		return nil, err
	}
	c, err := s.collection(ctx, name)
	if err != nil {
		return nil, err
	}
	source := &chromaSource{collection: c, vectors: vectors, named: embedder}
	if says := c.Configuration.EmbeddingFunction.embedder(); says != "" && embedder != "" && says != embedder {
		return nil, fmt.Errorf("chroma collection %q: it says that its vectors are of %s, not of %s: %w", name, says, embedder, api.ErrInvalid)
	}
	if source.total, err = c.count(ctx); err != nil {
		return nil, err
	}
	return source, nil
}

// Embedder implements Source.
func (s *chromaSource) Embedder() string {
	if !s.vectors || s.total == 0 {
		return ""
	}
	return cmp.Or(s.Configuration.EmbeddingFunction.embedder(), s.named, Given)
}

// Place implements Source.
func (s *chromaSource) Place(id string) string {
	return fmt.Sprintf("collection %s: record %q", s.Name, id)
}

func (s *chromaSource) Part() float64 { return part(s.offset, s.total) }
func (s *chromaSource) Close() error  { return nil }

// Next implements Source. It lists the IDs, and asks for those records alone that are not known.
func (s *chromaSource) Next(ctx context.Context, known func([]string) (map[string]bool, error)) ([]api.Record, int, error) {
	var listed document
	if err := s.ask(ctx, "get", getQuestion{Limit: batchRecords, Offset: s.offset, Include: []string{}}, &listed); err != nil {
		return nil, 0, err
	}
	if len(listed.IDs) == 0 {
		return nil, 0, io.EOF
	}
	s.offset += len(listed.IDs)
	have, err := known(listed.IDs)
	if err != nil {
		return nil, 0, err
	}
	question := getQuestion{Include: []string{"documents", "metadatas"}}
	if s.vectors {
		question.Include = append(question.Include, "embeddings")
	}
	for _, id := range listed.IDs {
		if !have[id] {
			question.IDs = append(question.IDs, id)
		}
	}
	there := len(listed.IDs) - len(question.IDs)
	if len(question.IDs) == 0 { // none would mean all
		return nil, there, nil
	}
	var got document
	if err := s.ask(ctx, "get", question, &got); err != nil {
		return nil, 0, err
	}
	records, err := got.records()
	if err != nil {
		return nil, 0, fmt.Errorf("chroma's answer: %w", err)
	}
	return records, there, nil
}
