package describe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Operation is a method on a path of a REST API.
type Operation struct {
	Method, Path string // as net/http's ServeMux takes them: /v1/agents/{agent}
	ID, Summary  string
	Names        reflect.Type // a struct, which has a field for each name in braces
	Query        reflect.Type // a struct: each field is a parameter; nil: none
	Body         reflect.Type // nil: none
	Result       reflect.Type // nil: none, the status is 204
	Stream       bool         // the result comes again and again, as server-sent events
	Status       int          // of success
	Example      Example
}

// Example is a request that was made, and its answer.
type Example struct {
	Parameters map[string]any  `json:"parameters,omitempty"` // in the path and in the query, by name
	Body       json.RawMessage `json:"body,omitempty"`
	Answer     json.RawMessage `json:"answer,omitempty"` // the first event of a stream
}

type openAPI struct {
	OpenAPI    string                             `json:"openapi"`
	Info       info                               `json:"info"`
	Servers    []server                           `json:"servers"`
	Security   []map[string][]string              `json:"security"`
	Paths      map[string]map[string]apiOperation `json:"paths"`
	Components apiComponents                      `json:"components"`
}

type server struct {
	URL string `json:"url"`
}

type apiOperation struct {
	ID         string                 `json:"operationId"`
	Summary    string                 `json:"summary"`
	Tags       []string               `json:"tags"`
	Parameters []parameter            `json:"parameters,omitempty"`
	Body       *content               `json:"requestBody,omitempty"`
	Responses  map[string]apiResponse `json:"responses"`
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Description string  `json:"description,omitempty"`
	Required    bool    `json:"required,omitempty"`
	Schema      *Schema `json:"schema"`
	Example     any     `json:"example,omitempty"`
}

type content struct {
	Required bool             `json:"required,omitempty"`
	Content  map[string]media `json:"content"`
}

type media struct {
	Schema  *Schema         `json:"schema"`
	Example json.RawMessage `json:"example,omitempty"`
}

type apiResponse struct {
	Ref         string           `json:"$ref,omitempty"`
	Description string           `json:"description,omitempty"`
	Content     map[string]media `json:"content,omitempty"`
}

type apiComponents struct {
	Schemas   map[string]*Schema     `json:"schemas"`
	Responses map[string]apiResponse `json:"responses"`
	Security  map[string]any         `json:"securitySchemes"`
}

// problemRef refers to what all errors look like.
var problemRef = apiResponse{Ref: "#/components/responses/problem"}

// Media types of what is no plain JSON.
const (
	EventStream = "text/event-stream"
	ProblemJSON = "application/problem+json" // RFC 9457
)

var inBraces = regexp.MustCompile(`\{(\w+)\}`)

// OpenAPI returns the OpenAPI document (3.1) of operations, as JSON. problem is the form of their errors, and failed one.
func OpenAPI(version, description string, operations []Operation, problem reflect.Type, failed json.RawMessage) ([]byte, error) {
	comments, err := readComments()
	if err != nil {
		return nil, err
	}
	answers := newSchemas(comments)
	asked := answers.inputs()
	document := openAPI{
		OpenAPI: "3.1.0", Info: info{Title: "coma", Version: version, Description: description},
		Servers: []server{{URL: "/"}}, Security: []map[string][]string{{"token": {}}}, Paths: map[string]map[string]apiOperation{},
	}
	successes := make([]apiResponse, len(operations))
	for i, o := range operations { // all of them first: see schemas
		successes[i] = success(answers, o)
	}
	problems := map[string]media{ProblemJSON: {answers.of(problem), failed}}
	for i, o := range operations {
		described := apiOperation{
			ID: o.ID, Summary: o.Summary, Tags: []string{tagOf(o.Path)}, Parameters: parameters(asked, o),
			Responses: map[string]apiResponse{strconv.Itoa(o.Status): successes[i], "4XX": problemRef, "5XX": problemRef},
		}
		if o.Body != nil {
			described.Body = &content{Required: true, Content: map[string]media{"application/json": {asked.of(o.Body), o.Example.Body}}}
		}
		if document.Paths[o.Path] == nil {
			document.Paths[o.Path] = map[string]apiOperation{}
		}
		document.Paths[o.Path][strings.ToLower(o.Method)] = described
	}
	document.Components = apiComponents{
		Responses: map[string]apiResponse{"problem": {Description: "what went wrong (RFC 9457)", Content: problems}},
		Security:  map[string]any{"token": map[string]string{"type": "http", "scheme": "bearer"}},
	}
	document.Components.Schemas = answers.named
	text, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	return text, nil
}

// tagOf groups operations by the first word of their path behind the version.
func tagOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	return parts[min(1, len(parts)-1)]
}

func parameters(asked *schemas, o Operation) (all []parameter) {
	add := func(in string, f field) {
		all = append(all, parameter{
			Name: f.name, In: in, Description: asked.comments.field(f), Required: asked.requires(f),
			Schema: inURL(asked, f), Example: o.Example.Parameters[f.name],
		})
	}
	in := map[string]bool{}
	for _, name := range inBraces.FindAllStringSubmatch(o.Path, -1) {
		in[name[1]] = true
	}
	for _, f := range fields(o.Names) {
		if in[f.name] {
			add("path", f)
		}
	}
	if o.Query == nil {
		return all
	}
	for _, f := range fields(o.Query) {
		add("query", f)
	}
	return all
}

// inURL is the schema of a value in a URL, which has durations as Go writes them.
func inURL(asked *schemas, f field) *Schema {
	if f.of != reflect.TypeFor[time.Duration]() {
		return asked.value(f)
	}
	schema := &Schema{Type: "string", Pattern: `^(\d+(\.\d+)?(ms|s|m|h))+$`}
	limit(schema, f.tag)
	return schema
}

func success(answers *schemas, o Operation) apiResponse {
	r := apiResponse{Description: strings.ToLower(http.StatusText(o.Status))}
	switch {
	case o.Stream:
		r.Content = map[string]media{EventStream: {answers.of(o.Result), o.Example.Answer}}
	case o.Result != nil:
		r.Content = map[string]media{"application/json": {answers.of(o.Result), o.Example.Answer}}
	}
	return r
}
