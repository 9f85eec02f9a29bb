package coma_test

import (
	"context"
	"fmt"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// A module that waits for messages and answers whoever sent them.
func ExampleAgent_Receive() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		for {
			msg, err := agent.Receive(ctx)
			if err != nil {
				return err // ctx has ended: a clean end
			}
			if msg.Age() > time.Minute {
				continue // it waited while the agent was away, and is of no use any more
			}
			if err := agent.Send(ctx, msg.From, "you said: "+msg.Text); err != nil {
				return err
			}
		}
	}
	_ = coma.RunFunc(run)
}

// Values cross as JSON.
func ExampleAgent_SendJSON() {
	type reading struct {
		Soil  float64
		Light float64
	}
	sensor := func(ctx context.Context, agent *coma.Agent) error {
		return agent.SendJSON(ctx, "perception", reading{Soil: 31.5, Light: 12000})
	}
	perception := func(ctx context.Context, agent *coma.Agent) error {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		var r reading
		if err := msg.Decode(&r); err != nil {
			agent.Log("ignores what it cannot read:", err)
			return nil
		}
		agent.Log("soil", r.Soil)
		return nil
	}
	_, _ = coma.RunFunc(sensor), coma.RunFunc(perception)
}

// A count that goes on after a reload, a crash and a new start.
func ExampleAgent_Keep() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		count := 0
		if _, err := agent.Kept(ctx, "count", &count); err != nil {
			return err
		}
		return agent.Every(ctx, time.Second, func(ctx context.Context) error {
			count++
			agent.Log("count is", count)
			return agent.Keep(ctx, "count", count)
		})
	}
	_ = coma.RunFunc(run)
}

// Sensors and other systems by MQTT.
func ExampleAgent_Subscribe() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		if err := agent.Subscribe(ctx, "plant/+"); err != nil {
			return err
		}
		for {
			msg, err := agent.Receive(ctx)
			if err != nil {
				return err
			}
			switch msg.Topic {
			case "plant/soil":
				agent.Log("the soil's water in percent:", msg.Text)
			case "":
				agent.Log("a message from", msg.From)
			}
		}
	}
	_ = coma.RunFunc(run)
}

// A structured log.
func ExampleAgent_Logger() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		log := agent.Logger().With("sensor", "soil")
		log.Info("read", "percent", 31.5)
		log.Warn("no answer", "tries", 3)
		return nil
	}
	_ = coma.RunFunc(run)
}

// What is remembered is found again by time, by what it says, and by its metadata.
func ExampleMemory() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		if _, err := agent.Memory.Add(ctx, "somebody watered me", coma.Metadata{"kind": "event", "day": 3}); err != nil {
			return err
		}
		near, err := agent.Memory.Query(ctx, "water", 3, coma.Key("kind").Equal("event"), coma.Key("day").Less(7))
		if err != nil {
			return err
		}
		for _, m := range near {
			agent.Log(fmt.Sprintf("%.2f %s", m.Distance, m.Text))
		}
		lastHour, err := agent.Memory.Get(ctx, 10, coma.Since(agent.Now().Add(-time.Hour)))
		if err != nil {
			return err
		}
		agent.Log("records of the last hour:", len(lastHour))
		return nil
	}
	_ = coma.RunFunc(run)
}

// Conditions join to larger ones.
func ExampleAny() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		n, err := agent.Memory.Count(ctx, coma.Any(
			coma.Contains("water"),
			coma.All(coma.Key("mood").In("thirsty", "desperate"), coma.Key("day").AtLeast(2)),
		))
		if err != nil {
			return err
		}
		agent.Log("dry days and wet ones:", n)
		return nil
	}
	_ = coma.RunFunc(run)
}
