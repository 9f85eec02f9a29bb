// Package pong sends everything back.
package pong

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if msg.Text == "done" {
			return nil
		}
		if err := agent.Send(ctx, "ping", msg.Text); err != nil {
			return err
		}
	}
}
