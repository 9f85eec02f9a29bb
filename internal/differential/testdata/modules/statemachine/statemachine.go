// Package statemachine is a door with a lock: states and events in a table, guards, actions, a history and timers that
// are counted in events.
package statemachine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

type state uint8

const (
	closed state = iota
	open
	locked
	alarmed
	broken state = 99
)

var stateNames = map[state]string{closed: "closed", open: "open", locked: "locked", alarmed: "alarmed", broken: "broken"}

func (s state) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return "state(" + strconv.Itoa(int(s)) + ")"
}

// MarshalText and UnmarshalText let states be kept by name.
func (s state) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s *state) UnmarshalText(text []byte) error {
	for k, name := range stateNames {
		if name == string(text) {
			*s = k
			return nil
		}
	}
	return fmt.Errorf("no state %q", text)
}

type event struct {
	name string
	args []string
}

func (e event) arg(i int) string {
	if i < len(e.args) {
		return e.args[i]
	}
	return ""
}

type (
	guard  func(m *machine, e event) error
	action func(m *machine, e event)
	key    struct {
		from  state
		event string
	}
	transition struct {
		to     state
		guard  guard
		action action
	}
)

var (
	errWrongCode = errors.New("wrong code")
	errBlocked   = errors.New("blocked")
)

type noTransition struct {
	From  state
	Event string
}

func (e noTransition) Error() string { return fmt.Sprintf("%s: no %s from here", e.From, e.Event) }

type machine struct {
	now     state
	code    string
	tries   int
	history []state
	table   map[key]transition
	watch   []func(from, to state)
	log     []string
}

func newMachine() *machine {
	m := &machine{code: "1234"}
	m.table = map[key]transition{
		{closed, "open"}:   {to: open},
		{open, "close"}:    {to: closed, guard: notBlocked},
		{closed, "lock"}:   {to: locked, action: setCode},
		{locked, "unlock"}: {to: closed, guard: rightCode, action: func(m *machine, _ event) { m.tries = 0 }},
		{locked, "kick"}:   {to: alarmed, action: (*machine).ring},
		{alarmed, "reset"}: {to: locked, guard: rightCode},
	}
	for _, s := range []state{closed, open, locked} {
		m.table[key{s, "smash"}] = transition{to: broken, action: func(m *machine, e event) {
			m.log = append(m.log, fmt.Sprintf("smashed while %v with %q", s, e.args))
		}}
	}
	return m
}

func notBlocked(_ *machine, e event) error {
	if e.arg(0) == "foot" {
		return fmt.Errorf("by %s: %w", e.arg(0), errBlocked)
	}
	return nil
}

func rightCode(m *machine, e event) error {
	if e.arg(0) == m.code {
		return nil
	}
	m.tries++
	if m.tries >= 3 {
		m.enter(alarmed)
		m.tries = 0
	}
	return errWrongCode
}

func setCode(m *machine, e event) {
	if code := e.arg(0); code != "" {
		m.code = code
	}
}

func (m *machine) ring(event) { m.log = append(m.log, "RING") }

func (m *machine) enter(to state) {
	from := m.now
	m.history = append(m.history, from)
	m.now = to
	for _, w := range m.watch {
		w(from, to)
	}
}

func (m *machine) handle(e event) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", e.name, err)
		}
	}()
	t, ok := m.table[key{m.now, e.name}]
	if !ok {
		return noTransition{m.now, e.name}
	}
	if t.guard != nil {
		if err := t.guard(m, e); err != nil {
			return err
		}
	}
	if t.action != nil {
		t.action(m, e)
	}
	m.enter(t.to)
	return nil
}

func (m *machine) undo() bool {
	n := len(m.history)
	if n == 0 {
		return false
	}
	m.now, m.history = m.history[n-1], m.history[:n-1]
	return true
}

// snapshot is what survives a reload.
type snapshot struct {
	Now     state           `json:"now"`
	History []state         `json:"history"`
	Visits  map[state]int   `json:"visits"`
	Code    json.RawMessage `json:"code,omitempty"`
}

func Run(ctx context.Context, agent *coma.Agent) error {
	m := newMachine()
	visits := map[state]int{}
	var moves int
	m.watch = append(m.watch,
		func(_, to state) { visits[to]++ },
		func(from, to state) {
			moves++
			m.log = append(m.log, fmt.Sprintf("%d:%v->%v", moves, from, to))
		})
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		var answer string
		switch words := strings.Fields(msg.Text); words[0] {
		case "keep":
			if err := agent.Keep(ctx, "door", snapshot{m.now, m.history, visits, json.RawMessage(strconv.Quote(m.code))}); err != nil {
				return err
			}
			answer = "kept"
		case "kept":
			var s snapshot
			ok, err := agent.Kept(ctx, "door", &s)
			if err != nil {
				return err
			}
			answer = fmt.Sprintf("%t %+v %s", ok, s.History, s.Code)
			if ok {
				m.now, m.history = s.Now, s.History
			}
			text, err := json.Marshal(s)
			answer += fmt.Sprint(" ", string(text), err)
		case "undo":
			answer = fmt.Sprint(m.undo(), m.now)
		case "bad":
			var s state
			err := json.Unmarshal([]byte(`"nowhere"`), &s)
			answer = fmt.Sprint(err, state(7), visits)
		default:
			err := m.handle(event{words[0], words[1:]})
			var none noTransition
			switch {
			case errors.Is(err, errWrongCode):
				answer = fmt.Sprintf("no (%d tries) ", m.tries)
			case errors.As(err, &none):
				answer = fmt.Sprintf("cannot %s while %v; ", none.Event, none.From)
			case err != nil:
				answer = "error " + err.Error() + " "
			}
			answer += fmt.Sprint(m.now, m.log)
			m.log = m.log[:0]
		}
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}
