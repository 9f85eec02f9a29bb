package llm

import (
	"encoding/json"
	"fmt"
)

// request is the body of POST /chat/completions
// (https://platform.openai.com/docs/api-reference/chat/create), as far as it is used here.
type request struct {
	Model               string          `json:"model"`
	Messages            []wireMessage   `json:"messages"`
	Temperature         *float64        `json:"temperature,omitempty"`
	MaxTokens           int             `json:"max_tokens,omitempty"`
	MaxCompletionTokens int             `json:"max_completion_tokens,omitempty"`
	Format              *responseFormat `json:"response_format,omitempty"`
	Tools               []wireTool      `json:"tools,omitempty"`
	Stop                []string        `json:"stop,omitempty"`
	Stream              bool            `json:"stream,omitempty"`
	StreamOptions       *streamOptions  `json:"stream_options,omitempty"`
}

type responseFormat struct {
	Type   string       `json:"type"`
	Schema *namedSchema `json:"json_schema,omitempty"`
}

type namedSchema struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Strict bool            `json:"strict"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type wireTool struct {
	Type     string           `json:"type"`
	Function wireToolFunction `json:"function"`
}

type wireToolFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

type wireMessage struct {
	Role       string         `json:"role"`
	Content    *string        `json:"content"` // null beside tool calls
	ToolCalls  []wireToolCall `json:"tool_calls,omitempty"`
	ToolCallID string         `json:"tool_call_id,omitempty"`
}

type wireToolCall struct {
	Index    int    `json:"index"` // in a stream: which call this is a part of
	ID       string `json:"id,omitempty"`
	Type     string `json:"type,omitempty"`
	Function struct {
		Name      string `json:"name,omitempty"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// answer is a whole answer (Message is set) or, in a stream, one chunk of it (Delta is set).
type answer struct {
	Model   string `json:"model"`
	Choices []struct {
		Message      wireMessage `json:"message"`
		Delta        wireMessage `json:"delta"`
		FinishReason string      `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		Input  int `json:"prompt_tokens"`
		Output int `json:"completion_tokens"`
	} `json:"usage"`
}

// encode makes the body of a request out of what was asked for.
func (c *Client) encode(messages []Message, ask request, stream bool) ([]byte, error) {
	ask.Model = c.config.Model
	ask.Stream = stream
	if c.config.BaseURL == openAI {
		// OpenAI's newer models refuse max_tokens; other servers often know nothing else. The same goes for usage in
		// streams: OpenAI sends it only if asked, and some others refuse a field that they do not know.
		ask.MaxTokens, ask.MaxCompletionTokens = 0, ask.MaxTokens
		if stream {
			ask.StreamOptions = &streamOptions{IncludeUsage: true}
		}
	}
	ask.Messages = make([]wireMessage, len(messages))
	for i, m := range messages {
		ask.Messages[i] = wire(m)
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, fmt.Errorf("encode request (is a tool's or answer's JSON Schema valid JSON?): %w", err)
	}
	return body, nil
}

func wire(m Message) wireMessage {
	w := wireMessage{Role: m.Role, ToolCallID: m.ToolCallID}
	if m.Text != "" || len(m.ToolCalls) == 0 {
		w.Content = &m.Text
	}
	for i, call := range m.ToolCalls {
		part := wireToolCall{Index: i, ID: call.ID, Type: "function"}
		part.Function.Name, part.Function.Arguments = call.Name, call.Arguments
		w.ToolCalls = append(w.ToolCalls, part)
	}
	return w
}
