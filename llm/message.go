package llm

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Who speaks in a Message.
const (
	RoleSystem    = "system"    // whoever set the conversation up
	RoleUser      = "user"      // the person, or what the module perceives
	RoleAssistant = "assistant" // the model
	RoleTool      = "tool"      // what a tool that the model has called gave
)

// Message is one turn of a conversation. As JSON it can be kept (coma.Agent.Keep) and sent on.
type Message struct {
	Role       string     `json:"role"`
	Text       string     `json:"text"`
	ToolCalls  []ToolCall `json:"tool_calls,omitempty"`   // RoleAssistant: what the model wants called
	ToolCallID string     `json:"tool_call_id,omitempty"` // RoleTool: which call this answers
}

// System returns a message that tells the model what it is and how to behave.
func System(text string) Message { return Message{Role: RoleSystem, Text: text} }

// User returns a message to the model.
func User(text string) Message { return Message{Role: RoleUser, Text: text} }

// Assistant returns what the model said earlier.
func Assistant(text string) Message { return Message{Role: RoleAssistant, Text: text} }

// ToolResult returns what call gave, as text or JSON.
func ToolResult(call ToolCall, text string) Message {
	return Message{Role: RoleTool, Text: text, ToolCallID: call.ID}
}

// Tool is a function that the model may ask to have called.
type Tool struct {
	Name        string          // letters, digits, _ and -
	Description string          // for the model: what it does, when to use it
	Parameters  json.RawMessage // a JSON Schema of type object; nil for a tool without parameters
}

// ToolCall is the model's wish to have a tool called. Answer it with ToolResult.
type ToolCall struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"` // JSON, as the model wrote it: it may be invalid
}

// Decode reads the arguments into v, a pointer.
func (c ToolCall) Decode(v any) error {
	arguments := c.Arguments
	if strings.TrimSpace(arguments) == "" {
		arguments = "{}" // what some models write for a tool without parameters
	}
	if err := json.Unmarshal([]byte(arguments), v); err != nil {
		return fmt.Errorf("decode arguments of tool %s: %w", c.Name, err)
	}
	return nil
}

// Why a reply ends.
const (
	FinishStop      = "stop"           // the model had said it all
	FinishLength    = "length"         // MaxTokens, or the model's own limit, was reached
	FinishToolCalls = "tool_calls"     // the model waits for the results of ToolCalls
	FinishFilter    = "content_filter" // the server held text back
)

// Reply is the model's answer.
type Reply struct {
	Text         string
	ToolCalls    []ToolCall
	FinishReason string // one of the Finish constants, or what else the server says
	Model        string // the model that answered, by the server's account; StandIn where there was none
	Usage        Usage
}

// Usage counts the tokens of one request; zero where the server does not tell.
type Usage struct {
	Input, Output int
}

// Message returns the reply as the conversation's next message.
func (r Reply) Message() Message {
	return Message{Role: RoleAssistant, Text: r.Text, ToolCalls: r.ToolCalls}
}

// Decode reads the text, which JSON or JSONSchema has asked for, into v, a pointer. A Markdown fence around it, as some
// models add, is no hindrance.
func (r Reply) Decode(v any) error {
	text := strings.TrimSpace(r.Text)
	if strings.HasPrefix(text, "```") && strings.HasSuffix(text, "```") {
		if _, rest, ok := strings.Cut(text, "\n"); ok { // the first line is the fence and perhaps "json"
			text = strings.TrimSuffix(rest, "```")
		}
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("decode reply of %s: %w", r.Model, err)
	}
	return nil
}
