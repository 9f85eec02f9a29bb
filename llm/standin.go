package llm

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// StandIn is the Model of replies that come without a model.
const StandIn = "stand-in"

// standInStart begins the stand-in's answers. By it the stand-in sees that it has explained itself before.
const standInStart = "(No model is configured"

// standIn answers in place of a model. It does not pretend to be one: it says what is missing, how to set it (once a
// conversation) and what it was told.
func standIn(ctx context.Context, missing string, messages []Message, ask request, onPiece func(string) error) (Reply, error) {
	if err := ctx.Err(); err != nil {
		return Reply{}, fmt.Errorf("ask the stand-in: %w", err)
	}
	heard, explained := "", false
	for _, m := range messages {
		switch m.Role {
		case RoleUser:
			heard = m.Text
		case RoleAssistant:
			explained = explained || strings.HasPrefix(m.Text, standInStart)
		}
	}
	text := standInStart + ": I can only repeat.)"
	if !explained {
		text = standInStart + ": " + missing + ". For a server on this machine, such as Ollama, set\n" +
			"OPENAI_BASE_URL=http://localhost:11434/v1 and COMA_MODEL to a model that it has; for OpenAI,\n" +
			"OPENAI_API_KEY and COMA_MODEL. Then start again.)"
	}
	if heard != "" {
		text += " You said: " + heard
	}
	if ask.Format != nil {
		object, err := json.Marshal(map[string]string{"no_model": text})
		if err != nil {
			return Reply{}, fmt.Errorf("encode the stand-in's answer: %w", err)
		}
		text = string(object)
	}
	reply := Reply{Model: StandIn, FinishReason: FinishStop}
	if onPiece == nil {
		reply.Text = text
		return reply, nil
	}
	for _, piece := range strings.SplitAfter(text, " ") {
		reply.Text += piece
		if err := onPiece(piece); err != nil {
			return reply, err
		}
	}
	return reply, nil
}
