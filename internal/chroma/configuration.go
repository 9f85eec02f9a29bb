package chroma

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/table"
)

// configuration is how a collection measures distances, and whose vectors it holds. The numbers are those of Chroma's
// HNSW index: they are kept and answered, but mean nothing here, where the index is exact.
type configuration struct {
	Space          table.Metric    `json:"space"`
	EFConstruction int             `json:"ef_construction"`
	EFSearch       int             `json:"ef_search"`
	MaxNeighbors   int             `json:"max_neighbors"`
	NumThreads     int             `json:"num_threads"`
	BatchSize      int             `json:"batch_size"`
	SyncThreshold  int             `json:"sync_threshold"`
	ResizeFactor   float64         `json:"resize_factor"`
	Embedding      json.RawMessage `json:"embedding_function,omitempty"` // as given; nil: null
}

func defaultConfiguration() configuration {
	return configuration{
		Space: "l2", EFConstruction: 100, EFSearch: 100, MaxNeighbors: 16, NumThreads: runtime.NumCPU(),
		BatchSize: 100, SyncThreshold: 1000, ResizeFactor: 1.2,
	}
}

// defaultEmbedding is the configuration of Chroma's own default embedder, all-MiniLM-L6-v2, as its clients write it.
const defaultEmbedding = `{"type":"known","name":"default","config":{}}`

// readConfiguration reads the configuration of a new collection over c; null leaves it as it is.
func (r *reader) readConfiguration(c *configuration) error {
	if null, err := r.null(); null || err != nil {
		return err
	}
	indexes := 0
	return r.object("a configuration", func(key string) error {
		switch key {
		case "hnsw", "spann":
			if null, err := r.null(); null || err != nil {
				return err
			}
			if indexes++; indexes > 1 {
				return invalid("Multiple vector index configurations provided")
			}
			if key == "spann" {
				return r.readSpann(c)
			}
			return r.readIndex(c, "space", "ef_construction", "ef_search", "max_neighbors", "num_threads", "resize_factor", "sync_threshold", "batch_size")
		case "embedding_function":
			return r.readEmbedding(&c.Embedding)
		}
		return r.skip()
	})
}

// readUpdate reads a change of a configuration: the space stays what it is.
func (r *reader) readUpdate(c *configuration) error {
	if null, err := r.null(); null || err != nil {
		return err
	}
	return r.object("a configuration", func(key string) error {
		if null, err := r.null(); null || err != nil {
			return err
		}
		switch key {
		case "hnsw":
			return r.readIndex(c, "ef_search", "max_neighbors", "num_threads", "resize_factor", "sync_threshold", "batch_size")
		case "embedding_function":
			return r.readEmbedding(&c.Embedding)
		}
		return r.skip()
	})
}

// readIndex reads the fields of an HNSW index, of which those named may be there.
func (r *reader) readIndex(c *configuration, fields ...string) error {
	return r.object("an HNSW configuration", func(key string) error {
		if !slices.Contains(fields, key) {
			return &typeError{fmt.Sprintf("unknown field `%s`, expected one of %s", key, strings.Join(fields, ", "))}
		}
		if null, err := r.null(); null || err != nil {
			return err
		}
		return r.readIndexField(c, key)
	})
}

func (r *reader) readIndexField(c *configuration, key string) (err error) {
	switch key {
	case "space":
		err = r.readSpace(&c.Space)
	case "ef_construction":
		c.EFConstruction, err = r.whole()
	case "ef_search":
		c.EFSearch, err = r.whole()
	case "max_neighbors":
		c.MaxNeighbors, err = r.whole()
	case "num_threads":
		c.NumThreads, err = r.whole()
	case "batch_size":
		c.BatchSize, err = r.whole()
	case "sync_threshold":
		c.SyncThreshold, err = r.whole()
	case "resize_factor":
		c.ResizeFactor, err = r.float("a number")
	}
	return err
}

// readSpann takes the space of a configuration of Chroma's other index, as the real one does on a single machine.
func (r *reader) readSpann(c *configuration) error {
	return r.object("a SPANN configuration", func(key string) error {
		if null, err := r.null(); null || err != nil {
			return err
		}
		if key == "space" {
			return r.readSpace(&c.Space)
		}
		return r.skip()
	})
}

func (r *reader) readSpace(space *table.Metric) error {
	name, err := r.text("a space")
	if err != nil {
		return err
	}
	switch name {
	case "l2", "cosine", "ip":
		*space = table.Metric(name)
		return nil
	}
	return &typeError{fmt.Sprintf("unknown variant `%s`, expected one of `l2`, `cosine`, `ip`", name)}
}

// readEmbedding reads and checks an embedding function's configuration, which is kept as it is.
func (r *reader) readEmbedding(embedding *json.RawMessage) error {
	if null, err := r.null(); null || err != nil {
		return err
	}
	text, err := r.between()
	if err != nil {
		return err
	}
	inner := &reader{data: text, depth: r.depth}
	kind, has := "", map[string]bool{}
	err = inner.object("an embedding function", func(key string) (err error) {
		has[key] = true
		switch key {
		case "type":
			kind, err = inner.text("a type")
		case "name":
			_, err = inner.text("a name")
		default:
			err = inner.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	switch kind {
	case "known":
		for _, field := range []string{"name", "config"} {
			if !has[field] {
				return &typeError{fmt.Sprintf("missing field `%s`", field)}
			}
		}
	case "legacy", "unknown":
	default:
		if !has["type"] {
			return &typeError{"missing field `type`"}
		}
		return &typeError{fmt.Sprintf("unknown variant `%s`, expected one of `legacy`, `known`, `unknown`", kind)}
	}
	*embedding = slices.Clone(text)
	return nil
}

// fromMetadata takes what older clients say of the index in a collection's metadata.
func (c *configuration) fromMetadata(metadata map[string]any) error {
	wrong := invalid("Failed to parse hnsw parameters from segment metadata")
	for key, field := range map[string]*int{
		"hnsw:construction_ef": &c.EFConstruction, "hnsw:search_ef": &c.EFSearch, "hnsw:M": &c.MaxNeighbors,
		"hnsw:num_threads": &c.NumThreads, "hnsw:batch_size": &c.BatchSize, "hnsw:sync_threshold": &c.SyncThreshold,
	} {
		switch v := metadata[key].(type) {
		case nil:
		case int64:
			if v < 0 || v > 1<<31 {
				return wrong
			}
			*field = int(v)
		default:
			return wrong
		}
	}
	switch v := metadata["hnsw:resize_factor"].(type) {
	case nil:
	case int64:
		c.ResizeFactor = float64(v)
	case float64:
		c.ResizeFactor = v
	default:
		return wrong
	}
	switch v := metadata["hnsw:space"]; v {
	case nil:
	case "l2", "cosine", "ip":
		c.Space = table.Metric(v.(string))
	default:
		return wrong
	}
	return nil
}

// fromSchema takes what a schema, the newer way to configure a collection, says of the vectors. What else it says, which
// metadata are to be indexed, means nothing here: all are.
func (c *configuration) fromSchema(text []byte) error {
	type part struct {
		FloatList struct {
			VectorIndex struct {
				Config struct {
					Space     json.RawMessage `json:"space"`
					HNSW      json.RawMessage `json:"hnsw"`
					Embedding json.RawMessage `json:"embedding_function"`
				} `json:"config"`
			} `json:"vector_index"`
		} `json:"float_list"`
	}
	var schema struct {
		Defaults part            `json:"defaults"`
		Keys     map[string]part `json:"keys"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		return &typeError{"schema: " + err.Error()}
	}
	for _, p := range []part{schema.Defaults, schema.Keys["#embedding"]} {
		config := p.FloatList.VectorIndex.Config
		for text, read := range map[*json.RawMessage]func(*reader) error{
			&config.Space: func(r *reader) error { return r.readSpace(&c.Space) },
			&config.HNSW: func(r *reader) error {
				return r.readIndex(c, "ef_construction", "ef_search", "max_neighbors", "num_threads", "resize_factor", "sync_threshold", "batch_size")
			},
			&config.Embedding: func(r *reader) error { return r.readEmbedding(&c.Embedding) },
		} {
			if len(*text) == 0 || string(*text) == "null" {
				continue
			}
			if err := read(&reader{data: *text}); err != nil {
				return err
			}
		}
	}
	return nil
}

// embedder returns the name of the embedder that makes vectors like this collection's, as memories remember it; "given"
// where only the client knows.
func (c configuration) embedder() string {
	var e struct {
		Type   string
		Name   string
		Config struct {
			Model   string `json:"model_name"`
			APIBase string `json:"api_base"`
		}
	}
	if len(c.Embedding) == 0 || json.Unmarshal(c.Embedding, &e) != nil || e.Type != "known" {
		return "given"
	}
	switch {
	case e.Name == "default", e.Name == "onnx_mini_lm_l6_v2", e.Name == "default-embed":
		return "minilm"
	case e.Name == "openai" && e.Config.Model != "" && e.Config.APIBase == "":
		return "openai:" + e.Config.Model
	}
	return "given"
}

// json returns the configuration as collections are answered with it, in its two forms: configuration_json and schema.
func (c configuration) json() (config, schema map[string]any) {
	var embedding any
	if len(c.Embedding) > 0 {
		embedding = c.Embedding
	}
	config = map[string]any{
		"hnsw": map[string]any{
			"space": c.Space, "ef_construction": c.EFConstruction, "ef_search": c.EFSearch,
			"max_neighbors": c.MaxNeighbors, "resize_factor": pointed(c.ResizeFactor), "sync_threshold": c.SyncThreshold,
		},
		"spann":              nil,
		"embedding_function": embedding,
	}
	index := map[string]any{
		"space": c.Space, "source_key": documentKey,
		"hnsw": map[string]any{
			"ef_construction": c.EFConstruction, "max_neighbors": c.MaxNeighbors, "ef_search": c.EFSearch,
			"num_threads": c.NumThreads, "batch_size": c.BatchSize, "sync_threshold": c.SyncThreshold,
			"resize_factor": pointed(c.ResizeFactor),
		},
	}
	if embedding != nil {
		index["embedding_function"] = embedding
	}
	enabled := func(name string, on bool, config map[string]any) map[string]any {
		return map[string]any{name: map[string]any{"enabled": on, "config": config}}
	}
	none := map[string]any{}
	text := func(search, equal bool) map[string]any {
		return map[string]any{
			"fts_index":             map[string]any{"enabled": search, "config": none},
			"string_inverted_index": map[string]any{"enabled": equal, "config": none},
		}
	}
	schema = map[string]any{
		"defaults": map[string]any{
			"string":     text(false, true),
			"float_list": enabled("vector_index", false, index),
			"sparse_vector": enabled("sparse_vector_index", false,
				map[string]any{"embedding_function": map[string]any{"type": "unknown"}, "bm25": false}),
			"int":   enabled("int_inverted_index", true, none),
			"float": enabled("float_inverted_index", true, none),
			"bool":  enabled("bool_inverted_index", true, none),
		},
		"keys": map[string]any{
			documentKey:  map[string]any{"string": text(true, false)},
			"#embedding": map[string]any{"float_list": enabled("vector_index", true, index)},
		},
	}
	return config, schema
}

// pointed is a number that keeps its point in JSON.
func pointed(f float64) json.RawMessage { return appendFloat(nil, f, 64) }
