// Package describe makes the descriptions of coma's API that programs read: JSON Schemas from the Go types that the code
// decodes and encodes, and from them an OpenRPC document of the link's methods (openrpc.go) and an OpenAPI document of the
// REST routes (openapi.go). What the types say is said by nobody else: there is no second copy that could differ.
//
// schema.go makes the schemas and field.go those of a struct's fields. The words beside them are the doc comments of those
// types and fields, which command gen takes from the source to comments.json (comments.go).
package describe

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
	"unicode"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Schema is a JSON Schema (draft 2020-12), as far as Go's types and their tags can say it.
type Schema struct {
	Ref         string             `json:"$ref,omitempty"`
	Type        any                `json:"type,omitempty"` // a name, or a list of them
	Format      string             `json:"format,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Encoding    string             `json:"contentEncoding,omitempty"`
	Description string             `json:"description,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Default     any                `json:"default,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	Items       *Schema            `json:"items,omitempty"`
	AnyOf       []*Schema          `json:"anyOf,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // a *Schema, or false: there are no others
}

// schemas makes the schemas of what one side sends. Those that have a name are gathered under it, for both sides together.
//
// What the host sends may have more properties one day, and has all those that are not marked as left out; what it is sent
// has no others than it knows. A type that goes both ways has two schemas therefore. The host's are made first: they have
// the type's name, and the others that name with "Input" behind it.
type schemas struct {
	input    bool // these are of what the host is sent
	comments comments
	named    map[string]*Schema
	types    map[string]made
}

// made is what a named schema was made of.
type made struct {
	of    reflect.Type
	input bool
}

func newSchemas(c comments) *schemas {
	return &schemas{comments: c, named: map[string]*Schema{}, types: map[string]made{}}
}

// inputs returns the maker of the schemas of what the host is sent.
func (s *schemas) inputs() *schemas {
	other := *s
	other.input = true
	return &other
}

// refersTo is where a named schema is, in both kinds of documents.
const refersTo = "#/components/schemas/"

// of returns the schema of a type, as encoding/json reads and writes it.
func (s *schemas) of(t reflect.Type) *Schema {
	switch t { // those that write their JSON themselves
	case reflect.TypeFor[time.Time]():
		return &Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[time.Duration]():
		return &Schema{Type: "integer", Format: "int64", Description: "nanoseconds"}
	case reflect.TypeFor[json.RawMessage]():
		return &Schema{}
	case reflect.TypeFor[api.Metadata]():
		value := &Schema{AnyOf: []*Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}} // more generators know it than a list of types
		return s.plain(t, &Schema{Type: "object", Additional: value})
	}
	switch t.Kind() {
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.String:
		if t.PkgPath() != "" {
			return s.plain(t, &Schema{Type: "string"})
		}
		return &Schema{Type: "string"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32:
		return &Schema{Type: "integer"}
	case reflect.Int64:
		return &Schema{Type: "integer", Format: "int64"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return &Schema{Type: "integer", Minimum: new(float64)}
	case reflect.Uint64:
		return &Schema{Type: "integer", Format: "uint64", Minimum: new(float64)}
	case reflect.Float32:
		return &Schema{Type: "number", Format: "float"}
	case reflect.Float64:
		return &Schema{Type: "number", Format: "double"}
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
		return s.object(t)
	}
	panic(fmt.Sprintf("describe: no JSON for %s", t)) // found by the test that describes everything
}

// plain names the schema of a type that is the same both ways, and says what the type's comment and its constants do.
func (s *schemas) plain(t reflect.Type, schema *Schema) *Schema {
	name := Name(t)
	if known, ok := s.types[name]; !ok {
		said := s.comments.of(t)
		schema.Description, schema.Enum = said.withValues(), said.values()
		s.types[name], s.named[name] = made{of: t}, schema
	} else if known.of != t {
		panic(sameName(known.of, t))
	}
	return &Schema{Ref: refersTo + name}
}

// object names a struct's schema, and makes it if it is the first to do so.
func (s *schemas) object(t reflect.Type) *Schema {
	name := Name(t)
	if s.input && s.types[name] == (made{of: t}) {
		name += "Input"
	}
	known, ok := s.types[name]
	if ok && known != (made{t, s.input}) {
		panic(sameName(known.of, t))
	}
	if !ok {
		s.types[name] = made{t, s.input}
		object := &Schema{Type: "object", Description: s.comments.of(t).Text, Properties: map[string]*Schema{}}
		s.named[name] = object // before its fields: they may be of its own type
		if s.input {
			object.Additional = false
		}
		for _, f := range fields(t) {
			object.Properties[f.name] = s.property(f)
			if s.requires(f) {
				object.Required = append(object.Required, f.name)
			}
		}
	}
	return &Schema{Ref: refersTo + name}
}

// sameName is found by the tests that describe everything.
func sameName(one, other reflect.Type) string {
	return fmt.Sprintf("describe: %s and %s have the same name", one, other)
}

// Name is the name of a type's schema.
func Name(t reflect.Type) string {
	name := []rune(t.Name())
	if len(name) == 0 {
		panic(fmt.Sprintf("describe: %s has no name", t))
	}
	name[0] = unicode.ToUpper(name[0])
	return string(name)
}
