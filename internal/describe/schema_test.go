package describe

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

type inner struct {
	Name string `json:"name"`
	Kind int    `json:"kind" schema:"optional,minimum=1,maximum=3,default=2"`
}

type colour string

type sample struct {
	inner
	Name   string            `json:"name,omitempty"` // hides the embedded one
	Plain  int               // without a tag
	Count  uint64            `json:"count"`
	At     time.Time         `json:"at,omitzero"`
	Wait   time.Duration     `json:"wait,omitempty" schema:"minimum=0"`
	Bytes  []byte            `json:"bytes,omitempty"`
	List   []inner           `json:"list"`
	Maybe  *sample           `json:"maybe"`
	Map    map[string]string `json:"map,omitempty"`
	Meta   api.Metadata      `json:"meta,omitempty"`
	Any    any               `json:"any,omitempty"`
	Colour colour            `json:"colour,omitempty"`
	Kinds  string            `json:"kinds,omitempty" schema:"enum=a|b,default=b"`
	Never  func()            `json:"-"`
	lower  int
}

var said = comments{
	"describe.inner":  {Text: "Inner is inside.", Fields: map[string]string{"name": "the inner one", "kind": "1 to 3"}},
	"describe.sample": {Fields: map[string]string{"wait": "how long", "list": "all of them", "maybe": "another"}},
	"describe.colour": {Text: "Colour is one of two.", Values: []Value{{"red", "as roses"}, {"", "none"}}},
}

// TestSchemas: what encoding/json does with a struct is what its schema says.
func TestSchemas(t *testing.T) {
	told := newSchemas(said)
	asked := told.inputs()
	if ref := told.of(reflect.TypeFor[sample]()); ref.Ref != "#/components/schemas/Sample" {
		t.Errorf("reference %q", ref.Ref)
	}
	if ref := asked.of(reflect.TypeFor[sample]()); ref.Ref != "#/components/schemas/SampleInput" {
		t.Errorf("reference %q of what the host is sent", ref.Ref)
	}
	// %s is where what is told and what is asked differ.
	const whole = `{"type":"object","properties":{` +
		`"Plain":{"type":"integer"},` +
		`"any":{},` +
		`"at":{"type":"string","format":"date-time"},` +
		`"bytes":{"type":"string","contentEncoding":"base64"},` +
		`"colour":{"$ref":"#/components/schemas/Colour"},` +
		`"count":{"type":"integer","format":"uint64","minimum":0},` +
		`"kind":{"type":"integer","description":"1 to 3; 2 if not given","minimum":1,"maximum":3},` +
		`"kinds":{"type":"string","description":"b if not given","enum":["a","b"]},` +
		`"list":%s,` +
		`"map":{"type":"object","additionalProperties":{"type":"string"}},` +
		`"maybe":%s,` +
		`"meta":{"$ref":"#/components/schemas/Metadata"},` +
		`"name":{"type":"string"},` +
		`"wait":{"type":"integer","format":"int64","description":"how long; nanoseconds","minimum":0}` +
		`},"required":[%s]%s}`
	for name, want := range map[string]string{
		"Sample": fmt.Sprintf(whole,
			`{"type":["array","null"],"description":"all of them","items":{"$ref":"#/components/schemas/Inner"}}`,
			`{"description":"another","anyOf":[{"$ref":"#/components/schemas/Sample"},{"type":"null"}]}`,
			`"kind","Plain","count","list","maybe"`, ``),
		"SampleInput": fmt.Sprintf(whole,
			`{"type":"array","description":"all of them","items":{"$ref":"#/components/schemas/InnerInput"}}`,
			`{"$ref":"#/components/schemas/SampleInput","description":"another"}`,
			`"Plain","count","list","maybe"`, `,"additionalProperties":false`),
		"Inner":    `{"type":"object","description":"Inner is inside.","properties":{"kind":{"type":"integer","description":"1 to 3; 2 if not given","minimum":1,"maximum":3},"name":{"type":"string","description":"the inner one"}},"required":["name","kind"]}`,
		"Colour":   `{"type":"string","description":"Colour is one of two.\n\n- ` + "`\\\"red\\\"`: as roses\\n- `\\\"\\\"`: none" + `","enum":["red",""]}`,
		"Metadata": `{"type":"object","additionalProperties":{"anyOf":[{"type":"string"},{"type":"number"},{"type":"boolean"}]}}`,
	} {
		got, err := json.Marshal(told.named[name])
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s\n%s\nwant\n%s", name, got, want)
		}
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
		if told.named["Sample"].Properties[name] == nil {
			t.Errorf("encoding/json writes %q, which the schema does not have", name)
		}
	}
	for _, name := range told.named["Sample"].Required {
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
	made := newSchemas(nil)
	made.of(reflect.TypeFor[inner]())
	type Inner struct{ Other int }
	made.of(reflect.TypeFor[Inner]())
}
