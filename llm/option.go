package llm

import "encoding/json"

// Option says what else is asked of the model.
type Option interface {
	apply(*request)
}

type optionFunc func(*request)

func (f optionFunc) apply(r *request) { f(r) }

// Temperature sets how freely the model chooses its words: 0 is hardly at all, 1 is usual, 2 is the most. Without it
// the server decides; some models take no other value than their own.
func Temperature(t float64) Option { return optionFunc(func(r *request) { r.Temperature = &t }) }

// MaxTokens bounds the answer's length; a reply that was cut has FinishReason FinishLength.
func MaxTokens(n int) Option { return optionFunc(func(r *request) { r.MaxTokens = n }) }

// JSON asks for an answer that is one JSON object; Reply.Decode reads it. OpenAI wants the messages to say "JSON" too.
func JSON() Option {
	return optionFunc(func(r *request) { r.Format = &responseFormat{Type: "json_object"} })
}

// JSONSchema asks for an answer that follows schema, a JSON Schema, which name (letters, digits, _ and -) stands for.
func JSONSchema(name string, schema json.RawMessage) Option {
	return optionFunc(func(r *request) {
		r.Format = &responseFormat{Type: "json_schema", Schema: &namedSchema{Name: name, Schema: schema, Strict: true}}
	})
}

// Tools lets the model ask for calls of tools; see Reply.ToolCalls.
func Tools(tools ...Tool) Option {
	return optionFunc(func(r *request) {
		for _, t := range tools {
			r.Tools = append(r.Tools, wireTool{Type: "function", Function: wireToolFunction(t)})
		}
	})
}

// Stop ends the answer where one of texts would come next.
func Stop(texts ...string) Option {
	return optionFunc(func(r *request) { r.Stop = append(r.Stop, texts...) })
}
