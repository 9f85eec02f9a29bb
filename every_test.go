package coma_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// alone is a session for what needs no host.
type alone struct{ api.Session }

func (alone) Identity() api.Identity {
	return api.Identity{Agent: "garden", Module: "clock", Generation: 3}
}
func (alone) Memory() api.Memory { return nil }

var errEnough = errors.New("enough")

func TestEveryKeepsItsRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := coma.NewAgent(alone{}, "", nil)
		const interval, turns = time.Minute, 1000
		start := time.Now()
		n := 0
		early, late := time.Duration(0), time.Duration(0)
		err := agent.Every(t.Context(), interval, func(context.Context) error {
			shift := time.Since(start) - time.Duration(n)*interval
			early, late = min(early, shift), max(late, shift)
			if n == 0 && shift != 0 {
				t.Errorf("the first call came after %s", shift)
			}
			if n++; n == turns {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) || n != turns {
			t.Fatalf("ended with %v after %d calls", err, n)
		}
		if early < -interval/20 || late > interval/20 {
			t.Errorf("turns were up to %s early and %s late; a twentieth of %s is allowed", -early, late, interval)
		}
		if early == 0 || late == 0 {
			t.Errorf("%d turns were never early (%s) or never late (%s): there is no jitter", turns, -early, late)
		}
	})
}

func TestEveryLeavesOutMissedTurns(t *testing.T) {
	tests := []struct {
		name string
		took []time.Duration // by each call
		want []int           // the turns in which calls begin
	}{
		{"quick", []time.Duration{0, 0, 0, 0}, []int{0, 1, 2, 3}},
		{"nearly a turn", []time.Duration{9 * time.Second, 9 * time.Second, 0}, []int{0, 1, 2}},
		{"one slow call", []time.Duration{25 * time.Second, 0, 0}, []int{0, 3, 4}},
		{"always slow", []time.Duration{15 * time.Second, 15 * time.Second, 15 * time.Second, 0}, []int{0, 2, 4, 6}},
		{"away for long", []time.Duration{1005 * time.Second, 0, 0}, []int{0, 101, 102}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent := coma.NewAgent(alone{}, "", nil)
				const interval = 10 * time.Second
				start := time.Now()
				n := 0
				err := agent.Every(t.Context(), interval, func(context.Context) error {
					turn := int(time.Since(start).Round(interval) / interval)
					if turn != test.want[n] {
						t.Errorf("call %d came in turn %d, want %d", n, turn, test.want[n])
					}
					time.Sleep(test.took[n])
					if n++; n == len(test.want) {
						return errEnough
					}
					return nil
				})
				if !errors.Is(err, errEnough) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

func TestEveryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agent := coma.NewAgent(alone{}, "", nil)
		for _, interval := range []time.Duration{0, -time.Second} {
			err := agent.Every(t.Context(), interval, func(context.Context) error {
				t.Error("called")
				return errEnough
			})
			if !errors.Is(err, coma.ErrInvalid) {
				t.Errorf("interval %s: %v, want ErrInvalid", interval, err)
			}
		}

		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		start, n := time.Now(), 0
		err := agent.Every(ctx, 10*time.Second, func(context.Context) error { n++; return nil })
		if !errors.Is(err, context.DeadlineExceeded) || n != 4 || time.Since(start) != 35*time.Second {
			t.Errorf("ended with %v after %d calls and %s", err, n, time.Since(start))
		}

		// Nothing is called once ctx has ended, even where the next turn is overdue.
		for range 100 {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			err := agent.Every(ctx, time.Nanosecond, func(context.Context) error {
				n++
				time.Sleep(time.Second)
				cancel()
				return nil
			})
			if !errors.Is(err, context.Canceled) || n != 1 {
				t.Fatalf("ended with %v after %d calls", err, n)
			}
		}
	})
}

func TestNowAndAge(t *testing.T) {
	now := time.Date(2030, time.May, 1, 12, 0, 0, 0, time.UTC)
	accepted := now.Add(-90 * time.Second)
	agent := coma.NewAgent(&inbox{messages: []api.Message{{Text: "hello", Time: accepted}}}, "/somewhere", func() time.Time { return now })
	if !agent.Now().Equal(now) {
		t.Errorf("it is %s", agent.Now())
	}
	if agent.Name != "garden" || agent.Module != "clock" || agent.Generation != 3 || agent.Dir != "/somewhere" {
		t.Errorf("the agent is %+v", agent)
	}
	msg, err := agent.Receive(t.Context())
	if err != nil || msg.Age() != 90*time.Second {
		t.Errorf("the message is %s old, %v", msg.Age(), err)
	}
	now = now.Add(time.Hour)
	if msg.Age() != time.Hour+90*time.Second {
		t.Errorf("an hour later it is %s old", msg.Age())
	}
	synctest.Test(t, func(t *testing.T) {
		made := coma.Message{Time: time.Now()} // by an author's own test
		time.Sleep(time.Minute)
		if made.Age() != time.Minute {
			t.Errorf("a message without a host is %s old after a minute", made.Age())
		}
	})
}

// inbox is a session with messages.
type inbox struct {
	alone
	messages []api.Message
}

func (i *inbox) Receive(context.Context) (api.Message, error) {
	m := i.messages[0]
	i.messages = i.messages[1:]
	return m, nil
}
