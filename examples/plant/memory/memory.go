// Package memory is the plant's diary. It collects what happens and what is felt; at nightfall it writes the day down in
// the agent's memory, and looks for an earlier day that was like it.
package memory

import (
	"context"
	"fmt"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

// page is the day so far. Its fields are exported because it is kept as JSON.
type page struct {
	Day     int
	Moments []string
}

func (p page) has(moment string) bool {
	for _, m := range p.Moments {
		if m == moment {
			return true
		}
	}
	return false
}

// most moments that one day's story holds; a plant whose weather was edited all day leaves out the rest.
const most = 12

// Run writes until it is stopped. The page is kept: a reload at noon does not lose the morning.
func Run(ctx context.Context, agent *coma.Agent) error {
	today := page{Day: 1}
	if _, err := agent.Kept(ctx, "page", &today); err != nil {
		return err
	}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		switch {
		case msg.Text == "it got dark":
			if err := write(ctx, agent, today); err != nil {
				return err
			}
			today = page{Day: today.Day + 1}
		case msg.Text != "I felt sleepy" && !today.has(msg.Text) && len(today.Moments) < most:
			today.Moments = append(today.Moments, msg.Text)
		}
		if err := agent.Keep(ctx, "page", today); err != nil {
			return err
		}
	}
}

// write puts the day into the diary. A day that is there already, because the module died while it wrote, stays as it is.
func write(ctx context.Context, agent *coma.Agent, today page) error {
	if len(today.Moments) == 0 {
		return nil
	}
	story := strings.Join(today.Moments, ", ")
	agent.Log(fmt.Sprintf("day %d: %s.", today.Day, story))
	if err := remind(ctx, agent, today.Day, story); err != nil {
		return err
	}
	_, err := agent.Memory.AddRecords(ctx, coma.Record{
		ID:       fmt.Sprint("diary-", today.Day),
		Text:     story,
		Metadata: coma.Metadata{"kind": "diary", "day": today.Day},
	})
	return err
}

// remind lets speech tell of the earlier day that was most like this one, if there is any.
func remind(ctx context.Context, agent *coma.Agent, day int, story string) error {
	found, err := agent.Memory.Query(ctx, story, 1, coma.Key("kind").Equal("diary"), coma.Key("day").Less(day))
	if err != nil || len(found) == 0 {
		return err
	}
	return agent.Send(ctx, "speech", fmt.Sprintf("This reminds me of day %v: %s.", found[0].Metadata["day"], found[0].Text))
}
