// Package sink counts what arrives, and how fast, from the first message on.
package sink

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	total, err := strconv.Atoi(os.Getenv("MESSAGES"))
	if err != nil {
		return err
	}
	senders, err := strconv.Atoi(os.Getenv("SENDERS"))
	if err != nil {
		return err
	}
	total -= total % senders
	var start time.Time
	for i := 0; i < total; i++ {
		if _, err := agent.Receive(ctx); err != nil {
			return err
		}
		if i == 0 {
			start = time.Now()
		}
	}
	agent.Logger().Info("result", "per_second", float64(total-1)/time.Since(start).Seconds())
	return nil
}
