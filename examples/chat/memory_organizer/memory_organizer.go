// Package memoryorganizer turns what was said into memories. chat tells it each turn; every few turns it asks the model
// what of them is worth keeping, and writes that into the memory that all modules share.
package memoryorganizer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/llm"
)

const (
	every    = 3 // turns that make a batch
	patience = 2 * time.Minute
)

// Run ends when chat says, by an empty message, that the conversation is over; what was said by then is kept.
func Run(ctx context.Context, agent *coma.Agent) error {
	prompt, err := os.ReadFile(filepath.Join(agent.Dir, "prompt.txt"))
	if err != nil {
		return err
	}
	client := llm.FromEnv()
	var said []string // turns since the last batch; kept, so that a reload forgets none
	if _, err := agent.Kept(ctx, "said", &said); err != nil {
		return err
	}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		over := msg.Text == ""
		if !over {
			said = append(said, msg.Text)
		}
		if len(said) >= every || over && len(said) > 0 {
			if err := organize(ctx, agent, client, string(prompt), said); err != nil {
				return err
			}
			said = nil
		}
		if err := agent.Keep(ctx, "said", said); err != nil {
			return err
		}
		if over {
			return nil
		}
	}
}

// organize writes what is worth keeping of said, a memory a line.
func organize(ctx context.Context, agent *coma.Agent, client *llm.Client, prompt string, said []string) error {
	lines := wordsOfPerson(said)
	if client.Configured() {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		reply, err := client.Chat(limited, []llm.Message{llm.System(prompt), llm.User(strings.Join(said, "\n"))})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			agent.Log("keeps the words as they were, since the model failed:", err)
		} else {
			lines = facts(reply.Text)
		}
	}
	for _, line := range lines {
		if _, err := agent.Memory.Add(ctx, line, coma.Metadata{"by": agent.Module}); err != nil {
			return err
		}
	}
	agent.Log("turns:", len(said), "new memories:", len(lines))
	return nil
}

// wordsOfPerson is what is kept without a model: what the person said, word for word.
func wordsOfPerson(said []string) []string {
	var lines []string
	for _, turn := range said {
		first, _, _ := strings.Cut(turn, "\nAgent: ")
		lines = append(lines, "The person said: "+strings.TrimPrefix(first, "Person: "))
	}
	return lines
}

// facts are the lines of a model's answer, without the marks that models put before them.
func facts(text string) []string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(strings.TrimLeft(line, "-*• \t"))
		if line != "" && line != "NOTHING" {
			lines = append(lines, line)
		}
	}
	return lines
}
