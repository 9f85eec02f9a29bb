package comatest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
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

func (r *recorder) Errorf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// end ends the recorded test.
func (r *recorder) end() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func explode(context.Context, *coma.Agent) error { panic("kaboom") }

func TestWhatFailsTheTest(t *testing.T) {
	tests := []struct {
		name string
		run  coma.RunFunc
		want []string // parts of what is said; nothing is said if there are none
	}{
		{"error", func(context.Context, *coma.Agent) error { return errors.New("is broken") }, []string{"module m: is broken"}},
		{"panic", explode, []string{"module m: panic: kaboom", "comatest_test.explode", "comatest_test.go:"}},
		{"exit of the goroutine", func(context.Context, *coma.Agent) error { runtime.Goexit(); return nil }, []string{"Goexit"}},
		{"done", func(context.Context, *coma.Agent) error { return nil }, nil},
		{"stopped", func(ctx context.Context, _ *coma.Agent) error { <-ctx.Done(); return ctx.Err() }, nil},
		{"stopped while it receives", func(ctx context.Context, agent *coma.Agent) error {
			_, err := agent.Receive(ctx)
			return err
		}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host := comatest.Start(t)
			r := &recorder{TB: t}
			host.Run(r, "m", test.run)
			r.end()
			if len(test.want) == 0 && len(r.said) > 0 || len(test.want) > 0 && len(r.said) != 1 {
				t.Fatalf("said %q", r.said)
			}
			for _, part := range test.want {
				if !strings.Contains(r.said[0], part) {
					t.Errorf("%q is not in what was said:\n%s", part, r.said[0])
				}
			}
		})
	}
}

func TestSetNow(t *testing.T) {
	host := comatest.Start(t, "m")
	later := time.Now().Add(time.Hour)
	host.SetNow(func() time.Time { return later })
	host.Send("m", "hello")
	agent := host.Agent("m")
	if now := agent.Now(); !now.Equal(later) {
		t.Errorf("it is %s, want %s", now, later)
	}
	if age := host.Receive("m", patience).Age(); age < time.Hour-patience || age > time.Hour {
		t.Errorf("the message is %s old, want an hour or a little less", age)
	}
}
