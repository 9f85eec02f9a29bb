// Package perception turns numbers into what they mean for a plant: readings from any sensor on the topics of package
// readings become percepts such as "dry", and only where something changed. mood is told the word, memory the sentence.
package perception

import (
	"context"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/examples/plant/readings"
)

// splash is how much soil moisture must rise from one reading to the next to be watering, in percent.
const splash = 15

// feeling is what perception knows of one topic. Its fields are exported because it is kept as JSON.
type feeling struct {
	Value float64
	Word  string
}

// Run listens to the sensors. What was felt is kept, so that a reload is not taken for a change of weather.
func Run(ctx context.Context, agent *coma.Agent) error {
	felt := map[string]feeling{}
	if _, err := agent.Kept(ctx, "felt", &felt); err != nil {
		return err
	}
	for _, topic := range []string{readings.Soil, readings.Light, readings.Temperature} {
		if err := agent.Subscribe(ctx, topic); err != nil {
			return err
		}
	}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		value, err := readings.Parse(msg.Topic, msg.Text)
		if err != nil {
			agent.Log("ignores what it cannot feel:", err)
			continue
		}
		before := felt[msg.Topic]
		now := feeling{Value: value, Word: word(msg.Topic, value, before.Word)}
		felt[msg.Topic] = now
		if err := agent.Keep(ctx, "felt", felt); err != nil {
			return err
		}
		news := ""
		switch {
		case msg.Topic == readings.Soil && before.Word != "" && value-before.Value >= splash:
			news = "watered"
		case now.Word != before.Word:
			news = now.Word
		default:
			continue
		}
		if err := perceive(ctx, agent, news); err != nil {
			return err
		}
	}
}

// perceive tells the modules that care.
func perceive(ctx context.Context, agent *coma.Agent, word string) error {
	agent.Log(sentences[word])
	if err := agent.Send(ctx, "mood", word); err != nil {
		return err
	}
	return agent.Send(ctx, "memory", sentences[word])
}
