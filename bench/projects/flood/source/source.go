// Package source sends as fast as it can, from as many goroutines as SENDERS says.
package source

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	senders, err := strconv.Atoi(os.Getenv("SENDERS"))
	if err != nil {
		return err
	}
	total, err := strconv.Atoi(os.Getenv("MESSAGES"))
	if err != nil {
		return err
	}
	text := strings.Repeat("x", 100)
	results := make(chan error, senders)
	for i := 0; i < senders; i++ {
		go send(ctx, agent, text, total/senders, results)
	}
	for i := 0; i < senders; i++ {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

func send(ctx context.Context, agent *coma.Agent, text string, n int, results chan error) {
	for i := 0; i < n; i++ {
		if err := agent.Send(ctx, "sink", text); err != nil {
			results <- err
			return
		}
	}
	results <- nil
}
