// Package simulator stands in for the plant's pot and window: it publishes soil, light and temperature as sensors would,
// with a day that passes in a minute. "water" sent to it waters the plant. With real sensors, delete this folder.
package simulator

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/examples/plant/readings"
)

const step = 2 * time.Second // from one reading to the next

// Run lets time pass. The world is kept, so that a reload does not undo the weather.
func Run(ctx context.Context, agent *coma.Agent) error {
	day, err := time.ParseDuration(os.Getenv("DAY"))
	if err != nil || day < step {
		return fmt.Errorf("DAY in coma.yaml must be a duration like 60s, of at least %v", step)
	}
	w := world{Hour: 8, Soil: 40, Peak: 25}
	if _, err := agent.Kept(ctx, "world", &w); err != nil {
		return err
	}
	if err := agent.Subscribe(ctx, readings.Soil); err != nil {
		return err
	}
	return agent.Every(ctx, step, func(ctx context.Context) error {
		if err := listen(ctx, agent, &w); err != nil {
			return err
		}
		w.advance(24*step.Hours()/day.Hours(), rand.Float64())
		if err := agent.Keep(ctx, "world", w); err != nil {
			return err
		}
		return publish(ctx, agent, w)
	})
}

// listen takes in what happened since the last step.
func listen(ctx context.Context, agent *coma.Agent, w *world) error {
	for {
		msg, ok, err := agent.TryReceive(ctx)
		if err != nil || !ok {
			return err
		}
		switch {
		case msg.Topic == readings.Soil && strings.HasPrefix(msg.From, "mqtt:"):
			// Somebody outside says how wet the soil is: the world is so from now on.
			if value, err := readings.Parse(msg.Topic, msg.Text); err == nil {
				w.Soil = value
			}
		case msg.Topic != "":
			// The simulator's own readings come back here, too.
		case strings.TrimSpace(msg.Text) == "water":
			w.Soil = math.Min(95, w.Soil+45)
			agent.Log(msg.From, "waters the plant")
		default:
			agent.Log("does not know", msg.Text, "- it understands: water")
		}
	}
}

func publish(ctx context.Context, agent *coma.Agent, w world) error {
	if err := agent.Publish(ctx, readings.Soil, readings.Format(w.Soil)); err != nil {
		return err
	}
	if err := agent.Publish(ctx, readings.Light, readings.Format(w.light())); err != nil {
		return err
	}
	return agent.Publish(ctx, readings.Temperature, readings.Format(w.temperature()))
}
