package coma_test

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// A retriever weighs more than nearness: here what is recent, what was marked as important, and nothing twice.
func ExampleMemory_Retrieve() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		_, err := agent.Memory.Add(ctx, "the soil has been dry for two days", coma.Metadata{"importance": 8})
		if err != nil {
			return err
		}
		inMind, err := agent.Memory.Retrieve(ctx,
			coma.MarginalRelevance{HalfLife: 24 * time.Hour, Importance: "importance"},
			"do I need water?", 5)
		if err != nil {
			return err
		}
		for _, m := range inMind {
			agent.Log(m.Text)
		}
		return nil
	}
	_ = coma.RunFunc(run)
}

// Inheritance as the Python framework's AlphaBetaRetriever has it, here over the whole memory, with a preference for
// what is near, and the same in each repetition of an experiment.
func ExampleAlphaBeta() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		random := rand.New(rand.NewPCG(1, 2))
		for {
			msg, err := agent.Receive(ctx)
			if err != nil {
				return err
			}
			drawn, err := agent.Memory.Retrieve(ctx,
				coma.AlphaBeta{Alpha: 10, Beta: -3, Pi: 0.5, All: true, Seed: random.Uint64()}, msg.Text, 3)
			if err != nil {
				return err
			}
			for _, m := range drawn {
				agent.Log(fmt.Sprintf("%s (drawn with probability %.3f)", m.Text, m.Score))
			}
		}
	}
	_ = coma.RunFunc(run)
}

// What is perceived is of use for a while only.
func ExampleTTL() {
	run := func(ctx context.Context, agent *coma.Agent) error {
		_, err := agent.Memory.Add(ctx, "it is raining", coma.TTL(time.Hour), coma.Metadata{"kind": "percept"})
		return err
	}
	_ = coma.RunFunc(run)
}
