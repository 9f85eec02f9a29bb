// Package toolloop answers with a language model that may call tools: arithmetic, notes and a table of plants.
package toolloop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/llm"
)

// maxRounds bounds how often the model may ask for tools before it has to answer.
const maxRounds = 6

// Run answers each message to "out".
func Run(ctx context.Context, agent *coma.Agent) error {
	notes := &notebook{lines: map[string][]string{}}
	box := newToolbox(calculator{}, notes, plants(table))
	loop := &loop{client: llm.FromEnv(), box: box}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		answer, err := loop.answer(ctx, msg.Text)
		if err != nil {
			answer = "error: " + err.Error()
			var unknown *unknownTool
			if errors.As(err, &unknown) {
				answer += fmt.Sprintf(" (there are %s)", strings.Join(unknown.Known, ", "))
			}
		}
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}

// tool is something that the model may call.
type tool interface {
	Spec() spec
	Call(arguments json.RawMessage) (any, error)
}

type spec struct {
	Name, About string
	Params      map[string]param
}

type param struct {
	Type  string   `json:"type"`
	About string   `json:"description,omitempty"`
	Enum  []string `json:"enum,omitempty"`
}

// schema is the parameters as a JSON Schema.
func (s spec) schema() (json.RawMessage, error) {
	required := make([]string, 0, len(s.Params))
	for name := range s.Params {
		required = append(required, name)
	}
	slices.Sort(required)
	return json.Marshal(struct {
		Type       string           `json:"type"`
		Properties map[string]param `json:"properties"`
		Required   []string         `json:"required"`
	}{"object", s.Params, required})
}

type toolbox struct {
	tools map[string]tool
	names []string
}

func newToolbox(tools ...tool) *toolbox {
	b := &toolbox{tools: make(map[string]tool, len(tools))}
	for _, t := range tools {
		name := t.Spec().Name
		b.tools[name] = t
		b.names = append(b.names, name)
	}
	slices.Sort(b.names)
	return b
}

type unknownTool struct {
	Name  string
	Known []string
}

func (e *unknownTool) Error() string { return fmt.Sprintf("no tool %q", e.Name) }

// call runs one call; what a tool does not understand is told to the model, an unknown tool ends the loop.
func (b *toolbox) call(c llm.ToolCall) (result string, err error) {
	t, ok := b.tools[c.Name]
	if !ok {
		return "", &unknownTool{c.Name, b.names}
	}
	defer func() {
		if r := recover(); r != nil {
			result, err = encode(map[string]string{"panic": fmt.Sprint(r)}), nil
		}
	}()
	value, err := t.Call(json.RawMessage(c.Arguments))
	if err != nil {
		return encode(map[string]string{"error": err.Error()}), nil
	}
	return encode(value), nil
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%q", err)
	}
	return string(text)
}

func (b *toolbox) offered() ([]llm.Tool, error) {
	var offered []llm.Tool
	for _, name := range b.names {
		s := b.tools[name].Spec()
		schema, err := s.schema()
		if err != nil {
			return nil, fmt.Errorf("schema of %s: %w", name, err)
		}
		offered = append(offered, llm.Tool{Name: s.Name, Description: s.About, Parameters: schema})
	}
	return offered, nil
}

type loop struct {
	client *llm.Client
	box    *toolbox
}

func (l *loop) answer(ctx context.Context, text string) (string, error) {
	offered, err := l.box.offered()
	if err != nil {
		return "", err
	}
	conversation := []llm.Message{llm.System("Use the tools."), llm.User(text)}
	for round := range maxRounds {
		reply, err := l.client.Chat(ctx, conversation, llm.Tools(offered...), llm.Temperature(0))
		if err != nil {
			return "", fmt.Errorf("round %d: %w", round, err)
		}
		if len(reply.ToolCalls) == 0 {
			return fmt.Sprintf("%s [%d rounds, %s]", reply.Text, round, reply.FinishReason), nil
		}
		conversation = append(conversation, llm.Message{Role: llm.RoleAssistant, Text: reply.Text, ToolCalls: reply.ToolCalls})
		for _, c := range reply.ToolCalls {
			result, err := l.box.call(c)
			if err != nil {
				return "", fmt.Errorf("round %d: %w", round, err)
			}
			conversation = append(conversation, llm.ToolResult(c, result))
		}
	}
	return "", fmt.Errorf("no answer after %d rounds", maxRounds)
}

type calculator struct{}

func (calculator) Spec() spec {
	return spec{"calc", "Calculates.", map[string]param{
		"op": {Type: "string", Enum: []string{"add", "mul", "div"}}, "a": {Type: "number"}, "b": {Type: "number"},
	}}
}

func (calculator) Call(arguments json.RawMessage) (any, error) {
	var in struct {
		Op   string
		A, B float64
	}
	if err := json.Unmarshal(arguments, &in); err != nil {
		return nil, err
	}
	switch in.Op {
	case "add":
		return in.A + in.B, nil
	case "mul":
		return in.A * in.B, nil
	case "div":
		return int(in.A) / int(in.B), nil // by zero panics
	}
	return nil, fmt.Errorf("unknown operation %q", in.Op)
}

type notebook struct{ lines map[string][]string }

func (n *notebook) Spec() spec {
	return spec{Name: "note", About: "Keeps notes.", Params: map[string]param{"page": {Type: "string"}, "text": {Type: "string", About: "empty: read"}}}
}

func (n *notebook) Call(arguments json.RawMessage) (any, error) {
	in := struct{ Page, Text string }{Page: "main"}
	if err := json.Unmarshal(arguments, &in); err != nil {
		return nil, fmt.Errorf("note: %w", err)
	}
	if in.Text != "" {
		n.lines[in.Page] = append(n.lines[in.Page], in.Text)
	}
	return struct {
		Pages int      `json:"pages"`
		Lines []string `json:"lines"`
	}{len(n.lines), n.lines[in.Page]}, nil
}

type plant struct {
	Name  string  `json:"name"`
	Water float64 `json:"water"`
	Light string  `json:"light,omitempty"`
}

type plants []plant

var table = []plant{{"fern", 0.5, "shade"}, {"cactus", 0.05, "sun"}, {Name: "moss", Water: 0.8}}

func (plants) Spec() spec {
	return spec{"plant", "Looks a plant up.", map[string]param{"name": {Type: "string"}}}
}

func (p plants) Call(arguments json.RawMessage) (any, error) {
	var in struct{ Name string }
	if err := json.Unmarshal(arguments, &in); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p, func(x plant) bool { return strings.EqualFold(x.Name, in.Name) })
	if i < 0 {
		return nil, fmt.Errorf("no plant %q", in.Name)
	}
	return p[i], nil
}
