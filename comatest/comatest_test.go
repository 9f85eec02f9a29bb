package comatest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/comatest"
)

// patience is how long an answer may take on a slow machine.
const patience = 10 * time.Second

func greet(ctx context.Context, agent *coma.Agent) error {
	name, err := agent.Input(ctx, "who? ")
	if err != nil {
		return err
	}
	agent.Print("thanks, ", name)
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if _, err := agent.Memory.Add(ctx, msg.Text); err != nil {
			return err
		}
		if err := agent.Send(ctx, "visitor", "hello, "+msg.Text+" and "+name); err != nil {
			return err
		}
	}
}

func TestAModuleTalksRemembersAndAsks(t *testing.T) {
	host := comatest.Start(t, "visitor")
	host.Answer("Charles")
	host.Run(t, "greeter", greet)
	host.Send("greeter", "Ada")
	if msg := host.Receive("visitor", patience); msg.Text != "hello, Ada and Charles" || msg.From != "test/greeter" {
		t.Errorf("visitor heard %q from %s", msg.Text, msg.From)
	}
	if n, err := host.Agent("visitor").Memory.Count(t.Context()); err != nil || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}
	if host.Printed() != "thanks, Charles" {
		t.Errorf("printed %q", host.Printed())
	}
}

// recorder is a test whose failures are looked at rather than reported.
type recorder struct {
	testing.TB
	said     []string
	cleanups []func()
}

func (r *recorder) Errorf(format string, args ...any) { r.said = append(r.said, format) }
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }

func TestAModulesErrorFailsTheTest(t *testing.T) {
	host := comatest.Start(t)
	r := &recorder{TB: t}
	host.Run(r, "broken", func(context.Context, *coma.Agent) error { return errors.New("broken") })
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	if len(r.said) != 1 || !strings.Contains(r.said[0], "module") {
		t.Errorf("said %q", r.said)
	}
}
