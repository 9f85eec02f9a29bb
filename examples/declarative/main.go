// Command declarative is an agent in one Go program: two modules that are functions, and no project folder.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/host"
)

func main() {
	host.Main(host.Agent{
		Name: "declarative",
		Modules: host.Modules{
			"clock":  clock,
			"keeper": keeper,
		},
	})
}

// clock tells the keeper the time, once a second.
func clock(ctx context.Context, agent *coma.Agent) error {
	return agent.Every(ctx, time.Second, func(ctx context.Context) error {
		return agent.Send(ctx, "keeper", agent.Now().Format(time.TimeOnly))
	})
}

// keeper remembers what it hears, and says how much it has heard in all its lives.
func keeper(ctx context.Context, agent *coma.Agent) error {
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if _, err := agent.Memory.Add(ctx, fmt.Sprintf("%s said it was %s", msg.From, msg.Text)); err != nil {
			return err
		}
		n, err := agent.Memory.Count(ctx)
		if err != nil {
			return err
		}
		agent.Log("it is", msg.Text, "and I remember", n, "times")
	}
}
