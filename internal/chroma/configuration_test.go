package chroma

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWhoseVectors(t *testing.T) {
	tests := []struct{ embedding, want string }{
		{``, "given"},
		{`{"type":"legacy"}`, "given"},
		{`{"type":"unknown"}`, "given"},
		{defaultEmbedding, "minilm"},
		{`{"type":"known","name":"onnx_mini_lm_l6_v2","config":{}}`, "minilm"},
		{`{"type":"known","name":"openai","config":{"model_name":"text-embedding-3-small"}}`, "openai:text-embedding-3-small"},
		{`{"type":"known","name":"openai","config":{"model_name":"m","api_base":"http://elsewhere"}}`, "given"},
		{`{"type":"known","name":"openai","config":{}}`, "given"},
		{`{"type":"known","name":"cohere","config":{"model_name":"m"}}`, "given"},
	}
	for _, test := range tests {
		c := defaultConfiguration()
		c.Embedding = json.RawMessage(test.embedding)
		if got := c.embedder(); got != test.want {
			t.Errorf("%s is %q, not %q", test.embedding, got, test.want)
		}
	}
	for _, name := range []string{"minilm", "openai:text-embedding-3-large"} {
		c := configuration{Embedding: embeddingOf(name)}
		if got := c.embedder(); got != name {
			t.Errorf("%s shows as %s, which is %s", name, c.Embedding, got)
		}
	}
	if e := embeddingOf("hashing-1"); e != nil {
		t.Errorf("hashing-1 shows as %s: no client can embed like it", e)
	}
}

func TestSchema(t *testing.T) {
	const key = `{"keys":{"#embedding":{"float_list":{"vector_index":{"enabled":true,"config":%}}}}}`
	tests := []struct{ config, wrong string }{
		{config: `{"space":"cosine","hnsw":{"ef_search":7},"embedding_function":{"type":"legacy"}}`},
		{config: `{"space":"cosine","hnsw":{"ef_search":7},"embedding_function":{"type":"legacy"},"spann":null,"source_key":"#document"}`},
		{config: `{"space":"manhattan"}`, wrong: "unknown variant"},
		{config: `{"hnsw":{"space":"l2"}}`, wrong: "unknown field"},
		{config: `7`, wrong: "schema"},
	}
	for _, test := range tests {
		c := defaultConfiguration()
		err := c.fromSchema([]byte(strings.Replace(key, "%", test.config, 1)))
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%s: %v, not %q", test.config, err, test.wrong)
			}
			continue
		}
		if err != nil || c.Space != "cosine" || c.EFSearch != 7 || string(c.Embedding) != `{"type":"legacy"}` {
			t.Errorf("%s: %+v, %v", test.config, c, err)
		}
	}
}

func TestNameOfACollection(t *testing.T) {
	for _, test := range []struct {
		c    collection
		want string
	}{
		{collection{Name: "n", Tenant: defaultTenant, Database: defaultDatabase}, "n"},
		{collection{Name: "n", Tenant: "lab", Database: "db"}, "lab/db/n"},
	} {
		data, err := test.c.encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Name(data); err != nil || got != test.want {
			t.Errorf("%s is %q, %v", data, got, err)
		}
	}
	if _, err := Name(nil); err == nil {
		t.Error("a memory that is no collection has a name")
	}
}
