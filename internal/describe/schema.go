// Package describe makes the descriptions of coma's API that programs read: JSON Schemas from the Go types that the code
// decodes and encodes, and from them an OpenRPC document of the link's methods (openrpc.go) and an OpenAPI document of the
// REST routes (openapi.go). What the types say is said by nobody else: there is no second copy that could differ.
package describe

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Schema is a JSON Schema (draft 2020-12), as far as Go's types can say it.
type Schema struct {
	Ref         string             `json:"$ref,omitempty"`
	Type        any                `json:"type,omitempty"` // a name, or a list of them
	Format      string             `json:"format,omitempty"`
	Encoding    string             `json:"contentEncoding,omitempty"`
	Description string             `json:"description,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Minimum     *int               `json:"minimum,omitempty"`
	Items       *Schema            `json:"items,omitempty"`
	AnyOf       []*Schema          `json:"anyOf,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  *Schema            `json:"additionalProperties,omitempty"`
}

// schemas makes schemas, and gathers those of structs under their names.
type schemas struct {
	prefix string // of references, as "#/components/schemas/"
	named  map[string]*Schema
	types  map[string]reflect.Type
}

func newSchemas() *schemas {
	return &schemas{prefix: "#/components/schemas/", named: map[string]*Schema{}, types: map[string]reflect.Type{}}
}

// special are the types that write their JSON themselves.
func special(t reflect.Type) *Schema {
	switch t {
	case reflect.TypeFor[time.Time]():
		return &Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[time.Duration]():
		return &Schema{Type: "integer", Description: "nanoseconds"}
	case reflect.TypeFor[json.RawMessage]():
		return &Schema{}
	case reflect.TypeFor[api.Metadata]():
		value := &Schema{Type: []string{"string", "number", "boolean"}}
		return &Schema{Type: "object", Additional: value, Description: "a number written with a point or an exponent is a float, another one an integer"}
	case reflect.TypeFor[api.Outcome]():
		return &Schema{Type: "string", Enum: []string{string(api.Finished), string(api.Stopped), string(api.Died)}}
	}
	return nil
}

// of returns the schema of a type, as encoding/json reads and writes it.
func (s *schemas) of(t reflect.Type) *Schema {
	if known := special(t); known != nil {
		return known
	}
	switch t.Kind() {
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.String:
		return &Schema{Type: "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &Schema{Type: "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Schema{Type: "integer", Minimum: new(int)}
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: "number"}
	case reflect.Interface:
		return &Schema{}
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &Schema{Type: "string", Encoding: "base64"}
		}
		return &Schema{Type: "array", Items: s.of(t.Elem())}
	case reflect.Map:
		return &Schema{Type: "object", Additional: s.of(t.Elem())}
	case reflect.Struct:
		return s.reference(t)
	}
	panic(fmt.Sprintf("describe: no JSON for %s", t)) // found by the test that describes everything
}

// reference names a struct's schema, and makes it if it is the first to do so.
func (s *schemas) reference(t reflect.Type) *Schema {
	name := typeName(t)
	if other, ok := s.types[name]; ok && other != t {
		panic(fmt.Sprintf("describe: %s and %s have the same name", other, t)) // likewise
	}
	if s.types[name] == nil {
		s.types[name] = t
		object := &Schema{Type: "object", Properties: map[string]*Schema{}}
		s.named[name] = object // before its fields: they may be of its own type
		for _, f := range fields(t) {
			object.Properties[f.name] = s.field(f)
			if f.required {
				object.Required = append(object.Required, f.name)
			}
		}
	}
	return &Schema{Ref: s.prefix + name}
}

// field is the schema of a field, with its tag "doc" as the description. What may be nil and is not left out then is null.
func (s *schemas) field(f field) *Schema {
	schema := s.of(f.of)
	if f.doc != "" {
		schema.Description = f.doc // beside a reference, too: draft 2020-12 allows it
	}
	if kind := f.of.Kind(); f.required && (kind == reflect.Slice || kind == reflect.Map || kind == reflect.Pointer) {
		if name, ok := schema.Type.(string); ok {
			schema.Type = []string{name, "null"}
		} else {
			schema = &Schema{AnyOf: []*Schema{schema, {Type: "null"}}}
		}
	}
	return schema
}

func typeName(t reflect.Type) string {
	name := []rune(t.Name())
	if len(name) == 0 {
		panic(fmt.Sprintf("describe: %s has no name", t))
	}
	name[0] = unicode.ToUpper(name[0])
	return string(name)
}

// field is a field of a JSON object.
type field struct {
	name     string
	of       reflect.Type
	required bool // it is never left out
	doc      string
}

// fields returns the fields of a struct as encoding/json sees them: those of embedded structs are its own, and the
// outermost counts where names are the same.
func fields(t reflect.Type) (all []field) {
	at := map[string]int{}
	depth := map[string]int{}
	var add func(t reflect.Type, level int)
	add = func(t reflect.Type, level int) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
				add(f.Type, level+1)
				continue
			}
			if !f.IsExported() || name == "-" {
				continue
			}
			if name == "" {
				name = f.Name
			}
			made := field{name, f.Type, !strings.Contains(options, "omit"), f.Tag.Get("doc")}
			if old, ok := at[name]; !ok {
				at[name], depth[name] = len(all), level
				all = append(all, made)
			} else if level < depth[name] {
				all[old], depth[name] = made, level
			}
		}
	}
	add(t, 0)
	return all
}
