// Package sender says hello to receiver once a second, and counts.
package sender

import (
	"context"
	"fmt"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// Run counts on where the module's last version stopped: what is kept outlives reloads and crashes.
func Run(ctx context.Context, agent *coma.Agent) error {
	count := 0
	if _, err := agent.Kept(ctx, "count", &count); err != nil {
		return err
	}
	return agent.Every(ctx, time.Second, func(ctx context.Context) error {
		count++
		if err := agent.Send(ctx, "receiver", fmt.Sprint("hello ", count)); err != nil {
			return err
		}
		return agent.Keep(ctx, "count", count)
	})
}
