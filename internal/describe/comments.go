package describe

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

//go:generate go run ./gen comments.json

// written is what the doc comments of all described types say, as command gen has found them in the source.
//
//go:embed comments.json
var written string

// Comment is what the source says of a type.
type Comment struct {
	Text   string            `json:"text,omitempty"`
	Fields map[string]string `json:"fields,omitempty"` // by their names in JSON
	Values []Value           `json:"values,omitempty"` // of a type of strings: its constants
}

// Value is one of the values that a type can have, and what the source says of it.
type Value struct {
	Value string `json:"value"`
	Text  string `json:"text,omitempty"`
}

// comments are the comments of types by their names, as "api.Message".
type comments map[string]Comment

// readComments reads those in the binary. That takes a millisecond: it is done when a document is asked for.
func readComments() (comments, error) {
	var all comments
	if err := json.Unmarshal([]byte(written), &all); err != nil {
		return nil, fmt.Errorf("read comments: %w", err)
	}
	return all, nil
}

func (c comments) of(t reflect.Type) Comment { return c[t.String()] }

func (c comments) field(f field) string { return c.of(f.in).Fields[f.name] }

// withValues is the comment and below it, as a list in Markdown, what its values mean.
func (c Comment) withValues() string {
	text := c.Text
	for i, v := range c.Values {
		if i == 0 {
			text += "\n"
		}
		text += fmt.Sprintf("\n- `%q`: %s", v.Value, v.Text)
	}
	return text
}

func (c Comment) values() (all []string) {
	for _, v := range c.Values {
		all = append(all, v.Value)
	}
	return all
}

// Module is what the paths of coma's own packages begin with.
const Module = "github.com/concurrent-modular-agent/coma/"

// Types returns the types of which something is told when roots are described (nil ones are none): all structs and types of
// strings in them, by name.
func Types(roots []reflect.Type) []reflect.Type {
	seen := map[reflect.Type]bool{}
	var all []reflect.Type
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		if t == nil || seen[t] {
			return
		}
		seen[t] = true
		if strings.HasPrefix(t.PkgPath(), Module) {
			all = append(all, t)
		}
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(t.Elem())
		case reflect.Struct:
			for _, f := range fields(t) {
				walk(f.in)
				walk(f.of)
			}
		}
	}
	for _, t := range roots {
		walk(t)
	}
	slices.SortFunc(all, func(a, b reflect.Type) int { return strings.Compare(a.String(), b.String()) })
	return all
}
