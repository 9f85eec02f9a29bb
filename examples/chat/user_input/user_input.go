// Package userinput is the agent's ear: it asks the person at the terminal, hands each line to chat, and asks again when
// chat has answered.
package userinput

import (
	"context"
	"errors"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

// Run ends when there is nobody (left) to ask, and tells chat so by an empty message.
func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		line, err := agent.Input(ctx, "you: ")
		if errors.Is(err, coma.ErrNoInput) {
			agent.Print("\n") // the line of the prompt that nobody answered
			return agent.Send(ctx, "chat", "")
		}
		if err != nil {
			return err
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if err := ask(ctx, agent, line); err != nil {
			return err
		}
	}
}

// ask hands line to chat and waits until chat says that it has answered. An answer that came while this module was
// being reloaded is cleared away first, or each later question would be taken for answered by the one before.
func ask(ctx context.Context, agent *coma.Agent, line string) error {
	for {
		_, stale, err := agent.TryReceive(ctx)
		if err != nil {
			return err
		}
		if !stale {
			break
		}
	}
	if err := agent.Send(ctx, "chat", line); err != nil {
		return err
	}
	_, err := agent.Receive(ctx)
	return err
}
