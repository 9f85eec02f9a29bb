// Package muse thinks of what it remembers when it hears something: first of what matters for it, then of whatever comes
// to its mind, which is more often what came to its mind before.
package muse

import (
	"context"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// Two ways to choose memories; change the numbers while it runs.
var (
	// What matters: near, recent (a memory counts half after a day), important, and nothing twice.
	matters = coma.MarginalRelevance{HalfLife: 24 * time.Hour, Importance: "importance"}
	// What comes to mind: by chance, half by how often it did before, half by nearness.
	drifts = coma.AlphaBeta{Alpha: 20, Beta: -3, Pi: 0.5, All: true}
)

// Run ends when ask has nothing more to tell.
func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if msg.Text == "" {
			return nil
		}
		for _, way := range []struct {
			says      string
			retriever coma.Retriever
			count     int
		}{{"what matters for it", matters, 2}, {"what comes to mind", drifts, 1}} {
			found, err := agent.Memory.Retrieve(ctx, way.retriever, msg.Text, way.count)
			if err != nil {
				return err
			}
			for _, memory := range found {
				agent.Log(way.says+":", memory.Text)
			}
		}
		// Who shouts means it. Nothing is remembered for more than a year.
		importance := 1 + strings.Count(msg.Text, "!")
		if _, err := agent.Memory.Add(ctx, msg.Text, coma.Metadata{"importance": importance}, coma.TTL(365*24*time.Hour)); err != nil {
			return err
		}
	}
}
