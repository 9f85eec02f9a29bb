// Package ping measures the way there and back, in a thousand turns after a thousand for warming up.
package ping

import (
	"context"
	"sort"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

const turns = 5000

func Run(ctx context.Context, agent *coma.Agent) error {
	times := make([]float64, 0, turns)
	for i := 0; i < 2*turns; i++ {
		start := time.Now()
		if err := agent.Send(ctx, "pong", "ping"); err != nil {
			return err
		}
		if _, err := agent.Receive(ctx); err != nil {
			return err
		}
		if i >= turns {
			times = append(times, float64(time.Since(start).Nanoseconds())/1000)
		}
	}
	sort.Float64s(times)
	agent.Logger().Info("result", "p50_us", times[turns/2], "p99_us", times[turns*99/100])
	return agent.Send(ctx, "pong", "done")
}
