// Package ask asks the person what happened, and tells muse.
package ask

import (
	"context"
	"errors"

	"github.com/concurrent-modular-agent/coma"
)

// Run ends when the person has nothing more to say, which it tells muse by an empty message.
func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		line, err := agent.Input(ctx, "what happened? ")
		if errors.Is(err, coma.ErrNoInput) {
			return agent.Send(ctx, "muse", "")
		}
		if err != nil {
			return err
		}
		if line != "" {
			if err := agent.Send(ctx, "muse", line); err != nil {
				return err
			}
		}
	}
}
