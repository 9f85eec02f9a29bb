// Package speech says something now and then, as the mood has it. The words are in phrases.txt: edit them while the
// plant talks.
package speech

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

const pause = 8 * time.Second // between two remarks that nothing has prompted; asleep, three times that

// Run speaks when the mood changes, when memory is reminded of something, when somebody talks to it
// (coma send plant/speech hello), and when it has been quiet for a while.
func Run(ctx context.Context, agent *coma.Agent) error {
	text, err := os.ReadFile(filepath.Join(agent.Dir, "phrases.txt"))
	if err != nil {
		return err
	}
	phrases, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("read phrases.txt: %w", err)
	}
	mood := "content"
	if _, err := agent.Kept(ctx, "mood", &mood); err != nil {
		return err
	}
	last := ""
	for {
		msg, heard, err := wait(ctx, agent, mood)
		if err != nil {
			return err
		}
		kind := mood
		if heard {
			switch path.Base(msg.From) { // "plant/mood" is the module mood
			case "mood":
				mood, kind = msg.Text, msg.Text
				if err := agent.Keep(ctx, "mood", mood); err != nil {
					return err
				}
			case "memory":
				say(agent, msg.Text)
				continue
			default:
				kind = "answer"
			}
		}
		last = choose(phrases[kind], last, rand.IntN)
		say(agent, last)
	}
}

// wait returns the next message, or heard false after a pause without one.
func wait(ctx context.Context, agent *coma.Agent, mood string) (msg coma.Message, heard bool, err error) {
	quiet := pause
	if mood == "sleepy" {
		quiet = 3 * pause
	}
	limited, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	msg, err = agent.Receive(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return coma.Message{}, false, nil
	}
	return msg, err == nil, err
}

// say prints a phrase; a mood that phrases.txt has no words for is silent.
func say(agent *coma.Agent, phrase string) {
	if phrase != "" {
		agent.Print("🌱 ", phrase, "\n")
	}
}
