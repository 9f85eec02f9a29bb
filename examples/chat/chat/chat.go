// Package chat answers the person, with a language model and what the agent remembers.
//
// Each message from user_input becomes one request: the character in prompt.txt, memories that the words call up, the
// last turns of the conversation. The answer goes to the terminal as it comes; then memory_organizer is told what was
// said, and user_input that it may ask again.
package chat

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/llm"
)

const (
	turns    = 10              // of the conversation that the model sees
	memories = 3               // that it is reminded of
	patience = 2 * time.Minute // with the model, for one answer
)

// Run ends when user_input says, by an empty message, that the person has left.
func Run(ctx context.Context, agent *coma.Agent) error {
	prompt, err := os.ReadFile(filepath.Join(agent.Dir, "prompt.txt"))
	if err != nil {
		return err
	}
	client := llm.FromEnv()
	agent.Log("answers by", client)
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if msg.Text == "" {
			return agent.Send(ctx, "memory_organizer", "")
		}
		if err := answer(ctx, agent, client, string(prompt), msg.Text); err != nil {
			return err
		}
		if err := agent.Send(ctx, "user_input", "answered"); err != nil {
			return err
		}
	}
}

// answer prints the model's answer to text and passes it on. A model that fails is the person's to know, not a reason
// to fall over.
func answer(ctx context.Context, agent *coma.Agent, client *llm.Client, prompt, text string) error {
	key := "conversation"
	if !client.Configured() {
		key = "rehearsal" // a model that comes later should not take the stand-in's words for its own
	}
	var conversation []llm.Message
	if _, err := agent.Kept(ctx, key, &conversation); err != nil {
		return err
	}
	system, err := remind(ctx, agent, prompt, text)
	if err != nil {
		return err
	}
	conversation = append(conversation, llm.User(text))
	messages := append([]llm.Message{llm.System(system)}, conversation...)

	agent.Print("agent: ")
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := client.Stream(limited, messages, func(piece string) error {
		agent.Print(piece)
		return nil
	})
	agent.Print("\n")
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		agent.Print("(no answer: ", err, ")\n")
		return nil
	}

	conversation = append(conversation, reply.Message())
	if extra := len(conversation) - 2*turns; extra > 0 {
		conversation = conversation[extra:]
	}
	if err := agent.Keep(ctx, key, conversation); err != nil {
		return err
	}
	return agent.Send(ctx, "memory_organizer", fmt.Sprintf("Person: %s\nAgent: %s", text, reply.Text))
}

// remind adds to prompt the memories that are nearest to text. Memories are what memory_organizer wrote.
func remind(ctx context.Context, agent *coma.Agent, prompt, text string) (string, error) {
	found, err := agent.Memory.Query(ctx, text, memories, coma.Key("by").Equal("memory_organizer"))
	if err != nil || len(found) == 0 {
		return prompt, err
	}
	var b strings.Builder
	b.WriteString(prompt)
	b.WriteString("\nYou remember:\n")
	for _, m := range found {
		fmt.Fprintf(&b, "- %s: %s\n", m.Time.Format("2 January 15:04"), m.Text)
	}
	return b.String(), nil
}
