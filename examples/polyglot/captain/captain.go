// Package captain (Go) hears what the others do, and answers whoever asks, from the memory that the whole crew shares.
package captain

import (
	"context"
	"fmt"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

// recalled is how many records an answer is made of.
const recalled = 3

// Run takes reports from the crew, and takes any other message for a question.
func Run(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if crew(agent, msg.From) {
			agent.Print("⚓ ", msg.Text, "\n")
			continue
		}
		answer, err := recall(ctx, agent, msg.Text)
		if err != nil {
			return err
		}
		agent.Print("⚓ ", answer, "\n")
	}
}

// crew reports whether a message is from a module of this ship.
func crew(agent *coma.Agent, from string) bool { return strings.HasPrefix(from, agent.Name+"/") }

// recall is what the crew remembers that says most to a question, and nothing twice.
func recall(ctx context.Context, agent *coma.Agent, question string) (string, error) {
	found, err := agent.Memory.Retrieve(ctx, coma.MarginalRelevance{}, question, recalled)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "The log is empty.", nil
	}
	var lines []string
	for _, m := range found {
		lines = append(lines, fmt.Sprintf("%s (%v, %s)", m.Text, m.Metadata["by"], m.Time.Local().Format("15:04:05")))
	}
	return strings.Join(lines, "; "), nil
}
