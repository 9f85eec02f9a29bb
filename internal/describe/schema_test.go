package describe

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

type inner struct {
	Name string `json:"name" doc:"the inner one"`
	Kind int    `json:"kind"`
}

type sample struct {
	inner
	Name  string            `json:"name,omitempty"` // hides the embedded one
	Plain int               // without a tag
	Count uint64            `json:"count"`
	At    time.Time         `json:"at,omitzero"`
	Wait  time.Duration     `json:"wait,omitempty"`
	Bytes []byte            `json:"bytes,omitempty"`
	List  []inner           `json:"list"`
	Maybe *sample           `json:"maybe"`
	Map   map[string]string `json:"map,omitempty"`
	Meta  api.Metadata      `json:"meta,omitempty"`
	Any   any               `json:"any,omitempty"`
	Never func()            `json:"-"`
	lower int
}

// TestSchemas: what encoding/json does with a struct is what its schema says.
func TestSchemas(t *testing.T) {
	made := newSchemas()
	if ref := made.of(reflect.TypeFor[sample]()); ref.Ref != "#/components/schemas/Sample" {
		t.Errorf("reference %q", ref.Ref)
	}
	got, err := json.Marshal(made.named["Sample"])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"type":"object","properties":{` +
		`"Plain":{"type":"integer"},` +
		`"any":{},` +
		`"at":{"type":"string","format":"date-time"},` +
		`"bytes":{"type":"string","contentEncoding":"base64"},` +
		`"count":{"type":"integer","minimum":0},` +
		`"kind":{"type":"integer"},` +
		`"list":{"type":["array","null"],"items":{"$ref":"#/components/schemas/Inner"}},` +
		`"map":{"type":"object","additionalProperties":{"type":"string"}},` +
		`"maybe":{"anyOf":[{"$ref":"#/components/schemas/Sample"},{"type":"null"}]},` +
		`"meta":{"type":"object","description":"a number written with a point or an exponent is a float, another one an integer","additionalProperties":{"type":["string","number","boolean"]}},` +
		`"name":{"type":"string"},` +
		`"wait":{"type":"integer","description":"nanoseconds"}` +
		`},"required":["kind","Plain","count","list","maybe"]}`
	if string(got) != want {
		t.Errorf("schema\n%s\nwant\n%s", got, want)
	}
	if doc := made.named["Inner"].Properties["name"].Description; doc != "the inner one" {
		t.Errorf("description %q", doc)
	}
	// And encoding/json agrees on the names.
	text, err := json.Marshal(sample{lower: 1})
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	for name := range object {
		if made.named["Sample"].Properties[name] == nil {
			t.Errorf("encoding/json writes %q, which the schema does not have", name)
		}
	}
	for _, name := range made.named["Sample"].Required {
		if _, ok := object[name]; !ok {
			t.Errorf("the schema requires %q, which encoding/json does not write", name)
		}
	}
}

func TestSchemasOfTheSameName(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two types went by one name")
		}
	}()
	made := newSchemas()
	made.of(reflect.TypeFor[inner]())
	type Inner struct{ Other int }
	made.of(reflect.TypeFor[Inner]())
}
