// Package receiver logs what it is sent.
package receiver

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
)

// Run waits in Receive most of the time. Its error, when the module is to stop, is a clean end.
func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		agent.Log(msg.From, "says:", msg.Text)
	}
}
