package describe

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// field is a field of a JSON object.
type field struct {
	name     string
	of       reflect.Type
	in       reflect.Type // the struct that declares it
	omitted  bool         // it may be left out
	optional bool         // the host may be sent an object without it, though it never leaves it out itself
	tag      string       // what the tag "schema" says beside that: see limit
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
			tag, optional := strings.CutPrefix(f.Tag.Get("schema"), "optional")
			made := field{name, f.Type, t, strings.Contains(options, "omit"), optional, strings.TrimPrefix(tag, ",")}
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

// requires reports whether an object must have a field.
func (s *schemas) requires(f field) bool { return !f.omitted && !(s.input && f.optional) }

// value is the schema of a field's value. Where the host has nothing to tell in a field that it never leaves out, it sends
// null.
func (s *schemas) value(f field) *Schema {
	schema := s.of(f.of)
	limit(schema, f.tag)
	if kind := f.of.Kind(); !s.input && !f.omitted && (kind == reflect.Slice || kind == reflect.Map || kind == reflect.Pointer) {
		if name, ok := schema.Type.(string); ok {
			schema.Type = []string{name, "null"}
		} else {
			schema = &Schema{AnyOf: []*Schema{schema, {Type: "null"}}}
		}
	}
	return schema
}

// property is the schema of a field with its description, which may stand beside a reference since draft 2019-09. What it
// is if it is not given is said in words: of a property with a "default", generators of clients have made one that must be
// given.
func (s *schemas) property(f field) *Schema {
	schema := s.value(f)
	schema.Description = joined(s.comments.field(f), schema.Description)
	if schema.Default != nil {
		schema.Description = joined(schema.Description, fmt.Sprintf("%v if not given", schema.Default))
		schema.Default = nil
	}
	return schema
}

// joined is a comment and what is known of all values of its type, such as the unit.
func joined(comment, known string) string {
	switch {
	case comment == "":
		return known
	case known == "" || strings.Contains(comment, known):
		return comment
	}
	return comment + "; " + known
}

// limit has a schema say what its field's tag does: `schema:"minimum=0,maximum=2,default=1,enum=a|b,pattern=x+"`. A pattern
// has no comma.
func limit(schema *Schema, tag string) {
	if tag == "" {
		return
	}
	for _, part := range strings.Split(tag, ",") {
		key, text, _ := strings.Cut(part, "=")
		switch key {
		case "minimum":
			schema.Minimum = numeral(text)
		case "maximum":
			schema.Maximum = numeral(text)
		case "default":
			schema.Default = text
			if schema.Type != "string" {
				schema.Default = *numeral(text)
			}
		case "pattern":
			schema.Pattern = text
		case "enum":
			schema.Enum = strings.Split(text, "|")
		default:
			panic(fmt.Sprintf("describe: a tag says %q", part)) // found by the tests that describe everything
		}
	}
}

func numeral(text string) *float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(fmt.Sprintf("describe: a tag's number: %v", err)) // likewise
	}
	return &n
}
