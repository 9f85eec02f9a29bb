// Package mood is how the plant feels: a state machine fed by perception. When the mood changes, speech and memory hear
// of it.
package mood

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

// Run keeps the state for its next generation: a plant that is thirsty is thirsty after a reload, too.
func Run(ctx context.Context, agent *coma.Agent) error {
	now := state{Mood: "content"}
	if _, err := agent.Kept(ctx, "state", &now); err != nil {
		return err
	}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		before := now.Mood
		now = now.after(msg.Text)
		if err := agent.Keep(ctx, "state", now); err != nil {
			return err
		}
		if now.Mood == before {
			continue
		}
		agent.Log(before, "→", now.Mood)
		if err := agent.Send(ctx, "speech", now.Mood); err != nil {
			return err
		}
		if err := agent.Send(ctx, "memory", "I felt "+now.Mood); err != nil {
			return err
		}
	}
}
