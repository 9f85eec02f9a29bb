package backend_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// script is module a/m as a shell script is one: each of its commands is a process of its own.
type script struct {
	t          *testing.T
	address    string
	generation int
}

func (s script) join(mode link.Mode) *link.Session {
	s.t.Helper()
	session, err := link.Join(within(s.t), s.address, "", api.Identity{Agent: "a", Module: "m", Generation: s.generation}, mode)
	if err != nil {
		s.t.Fatal(err)
	}
	return session
}

// receive is one "coma receive".
func (s script) receive() api.Message {
	s.t.Helper()
	session := s.join(link.Continue)
	var got api.Message
	_, err := session.Deliver(within(s.t), true, func(m api.Message) error {
		got = m
		return nil
	})
	if err := errors.Join(err, session.Leave(within(s.t))); err != nil {
		s.t.Fatal(err)
	}
	return got
}

// want checks what the next "coma receive" gives.
func (s script) want(text string, deaths int) {
	s.t.Helper()
	if m := s.receive(); m.Text != text || m.Deaths != deaths {
		s.t.Errorf("received %q after %d deaths, want %q after %d", m.Text, m.Deaths, text, deaths)
	}
}

// guest makes one call as a guest.
func (s script) guest(do func(context.Context, *link.Session) error) {
	s.t.Helper()
	session := s.join(link.Guest)
	defer session.Close(api.Finished)
	if err := do(within(s.t), session); err != nil {
		s.t.Error(err)
	}
}

func (s script) ended(h api.Host, outcome api.Outcome) {
	s.t.Helper()
	if err := h.Ended(within(s.t), api.Identity{Agent: "a", Module: "m", Generation: s.generation}, outcome); err != nil {
		s.t.Fatal(err)
	}
}

// post sends a/m the numbers below n.
func post(t *testing.T, b *backend.Backend, n int) {
	t.Helper()
	for i := range n {
		if err := b.Post(within(t), "cli", api.Message{To: "a/m", Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func waits(t *testing.T, b *backend.Backend, dead bool, want ...string) {
	t.Helper()
	messages, err := b.Waiting(within(t), "a", "m", dead)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{}
	for _, m := range messages {
		texts = append(texts, m.Text)
	}
	if fmt.Sprint(texts) != fmt.Sprint(want) {
		t.Errorf("there are %q (dead: %t), want %q", texts, dead, want)
	}
}

// TestContinue goes through all that can happen to a message between two commands of a script.
func TestContinue(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(t *testing.T, b *backend.Backend, h api.Host, s script)
	}{
		{"the next receive finishes with the message before", func(t *testing.T, b *backend.Backend, _ api.Host, s script) {
			s.want("0", 0)
			waits(t, b, false, "0", "1", "2")
			s.want("1", 0)
			waits(t, b, false, "1", "2")
		}},
		{"exit 0 finishes with the message in hand", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			s.want("0", 0)
			s.ended(h, api.Finished)
			waits(t, b, false, "1", "2")
		}},
		{"a stop leaves it to the next generation", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			s.want("0", 0)
			s.want("1", 0)
			s.ended(h, api.Stopped)
			s.generation++
			s.want("1", 0)
		}},
		{"a death counts", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			s.want("0", 0)
			s.ended(h, api.Died)
			s.generation++
			s.want("0", 1)
			s.want("1", 0)
		}},
		{"the fifth death buries it", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			for deaths := range 5 {
				s.want("0", deaths)
				s.ended(h, api.Died)
				s.generation++
			}
			waits(t, b, true, "0")
			s.want("1", 0)
		}},
		{"a death with nothing in hand counts for none", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			if err := s.join(link.Continue).Leave(within(t)); err != nil {
				t.Fatal(err)
			}
			s.ended(h, api.Died)
			s.generation++
			s.want("0", 0)
		}},
		{"what was not delivered is not in hand", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			s.want("0", 0)
			session := s.join(link.Continue)
			broken := errors.New("broken pipe")
			if _, err := session.Deliver(within(t), true, func(api.Message) error { return broken }); !errors.Is(err, broken) {
				t.Errorf("deliver: %v", err)
			}
			if err := session.Leave(within(t)); err != nil {
				t.Fatal(err)
			}
			waits(t, b, false, "1", "2")
			s.ended(h, api.Died)
			s.generation++
			s.want("1", 0)
		}},
		{"one that gives up waiting has finished with the one before", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			s.want("0", 0)
			s.want("1", 0)
			s.want("2", 0)
			session := s.join(link.Continue)
			ctx, cancel := context.WithCancel(within(t))
			go func() {
				defer cancel()
				for finished := false; !finished && ctx.Err() == nil; {
					boxes, err := b.Mailboxes(ctx, "a")
					finished = err != nil || boxes[0].Waiting == 0
				}
			}()
			if _, err := session.Deliver(ctx, true, func(m api.Message) error { return fmt.Errorf("received %q", m.Text) }); !errors.Is(err, context.Canceled) {
				t.Errorf("deliver: %v", err)
			}
			if err := session.Leave(within(t)); err != nil {
				t.Fatal(err)
			}
			waits(t, b, false)
			post(t, b, 1)
			s.want("0", 0)
		}},
		{"one at a time", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			first := s.join(link.Continue)
			id := api.Identity{Agent: "a", Module: "m", Generation: s.generation}
			if _, err := link.Join(within(t), s.address, "", id, link.Continue); !errors.Is(err, api.ErrInUse) {
				t.Errorf("a second one: %v", err)
			}
			if err := first.Leave(within(t)); err != nil {
				t.Fatal(err)
			}
			s.want("0", 0)
		}},
		{"an older generation is told that it is replaced", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			young := s
			young.generation++
			young.want("0", 0)
			id := api.Identity{Agent: "a", Module: "m", Generation: s.generation}
			if _, err := link.Join(within(t), s.address, "", id, link.Continue); !errors.Is(err, api.ErrReplaced) {
				t.Errorf("the old one: %v", err)
			}
			young.want("1", 0)
		}},
		{"a guest leaves the seat alone", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			s.want("0", 0)
			s.guest(func(ctx context.Context, g *link.Session) error {
				if n, err := g.Pending(ctx); n != 2 || err != nil {
					t.Errorf("pending: %d, %v", n, err)
				}
				if _, err := g.Receive(ctx); !errors.Is(err, api.ErrInvalid) {
					t.Errorf("a guest receives: %v", err)
				}
				if _, _, err := g.TryReceive(ctx); !errors.Is(err, api.ErrInvalid) {
					t.Errorf("a guest tries to receive: %v", err)
				}
				return errors.Join(g.Send(ctx, api.Message{To: "other", Text: "x"}), g.Keep(ctx, "k", []byte("v")))
			})
			if messages, err := b.Waiting(within(t), "a", "other", false); err != nil || len(messages) != 1 || messages[0].From != "a/m" {
				t.Errorf("the other has %+v, %v", messages, err)
			}
			waits(t, b, false, "0", "1", "2")
			s.guest(func(ctx context.Context, g *link.Session) error {
				v, ok, err := g.Kept(ctx, "k")
				if string(v) != "v" || !ok {
					t.Errorf("kept %q, %t", v, ok)
				}
				return err
			})
			s.want("1", 0)
		}},
		{"a guest's subscription is the generation's", func(t *testing.T, b *backend.Backend, h api.Host, s script) {
			s.guest(func(ctx context.Context, g *link.Session) error { return g.Subscribe(ctx, "sensors/+") })
			s.guest(func(ctx context.Context, g *link.Session) error {
				return g.Publish(ctx, api.Publication{Topic: "sensors/soil", Payload: []byte("dry")})
			})
			for _, text := range []string{"0", "1", "2", "dry"} {
				s.want(text, 0)
			}
			s.ended(h, api.Finished)
			s.generation++
			post(t, b, 1)
			s.want("0", 0) // and with it, what was not subscribed to again is forgotten
			s.guest(func(ctx context.Context, g *link.Session) error {
				return g.Publish(ctx, api.Publication{Topic: "sensors/soil", Payload: []byte("wet")})
			})
			waits(t, b, false, "0")
			s.guest(func(ctx context.Context, g *link.Session) error {
				if err := g.Unsubscribe(ctx, "sensors/+"); !errors.Is(err, api.ErrNotFound) {
					t.Errorf("unsubscribe: %v", err)
				}
				return nil
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := open(t)
			h := attach(t, b, api.Attachment{Modules: []string{"m", "other"}}, newConsole())
			post(t, b, 3)
			test.do(t, b, h, script{t, socket(t, b), 1})
		})
	}
}

// TestGuestsOfNobody: nobody speaks as a module that is not there.
func TestGuestsOfNobody(t *testing.T) {
	b := open(t)
	attach(t, b, api.Attachment{Modules: []string{"m"}}, newConsole())
	for _, id := range []api.Identity{{Agent: "b", Module: "m"}, {Agent: "a", Module: "n"}} {
		if _, err := link.Join(within(t), socket(t, b), "", id, link.Guest); !errors.Is(err, api.ErrUnknown) {
			t.Errorf("%+v: %v", id, err)
		}
	}
	if _, err := link.Join(within(t), socket(t, b), "", api.Identity{Agent: "a", Module: "m"}, "host"); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("a mode that is none: %v", err)
	}
}

// TestContinueAfterARestart: a script that is in the middle of a message when its backend is restarted is still so, and
// hears what it has subscribed to, if who runs it is the same.
func TestContinueAfterARestart(t *testing.T) {
	for _, test := range []struct {
		name  string
		pid   int // of who runs the agent afterwards
		waits []string
		next  string
	}{
		{"the same process", 1, []string{"0", "1", "2", "dry"}, "1"},
		{"another one, whose generation 1 has received nothing yet", 2, []string{"0", "1", "2"}, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dirs := in(t.TempDir())
			daemon := func(o *backend.Options) { o.Folders, o.Daemon = dirs, true }
			as := api.Attachment{Modules: []string{"m"}, PID: 1}
			before := open(t, daemon)
			attach(t, before, as, newConsole())
			s := script{t, socket(t, before), 1}
			post(t, before, 3)
			s.guest(func(ctx context.Context, g *link.Session) error { return g.Subscribe(ctx, "sensors/+") })
			s.want("0", 0)
			if err := before.Close(); err != nil {
				t.Fatal(err)
			}

			// A command that looks at the stores meanwhile changes nothing.
			stores := open(t, func(o *backend.Options) { o.Folders, o.Offline = dirs, true })
			waits(t, stores, false, "0", "1", "2")
			if err := stores.Close(); err != nil {
				t.Fatal(err)
			}

			after := open(t, daemon)
			as.PID = test.pid
			h := attach(t, after, as, newConsole())
			if err := after.Publish(within(t), "cli", api.Publication{Topic: "sensors/soil", Payload: []byte("dry")}); err != nil {
				t.Fatal(err)
			}
			waits(t, after, false, test.waits...)
			s.want(test.next, 0)
			s.ended(h, api.Died)
			s.generation++
			s.want(test.next, 1)
		})
	}
}

// TestContinueBeforeWhoRunsItIsBack: after a restart, a script's program waits for who knows what its module had in hand.
func TestContinueBeforeWhoRunsItIsBack(t *testing.T) {
	dirs := in(t.TempDir())
	daemon := func(o *backend.Options) { o.Folders, o.Daemon = dirs, true }
	as := api.Attachment{Modules: []string{"m"}, PID: 1}
	before := open(t, daemon)
	attach(t, before, as, newConsole())
	s := script{t, socket(t, before), 1}
	post(t, before, 2)
	s.want("0", 0)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	after := open(t, daemon)
	joined := make(chan error, 1)
	var early *link.Session
	ctx := within(t)
	go func() {
		var err error
		early, err = link.Join(ctx, s.address, "", api.Identity{Agent: "a", Module: "m", Generation: 1}, link.Continue)
		joined <- err
	}()
	attach(t, after, as, newConsole())
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	if _, err := early.Deliver(ctx, true, func(m api.Message) error {
		if m.Text != "1" {
			t.Errorf("received %q: the message in hand was not finished with", m.Text)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := early.Leave(ctx); err != nil {
		t.Error(err)
	}
}
