package coma

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Errors that an author may want to tell apart with errors.Is.
var (
	ErrNoInput  = api.ErrNoInput  // Input: there is nobody (left) to ask
	ErrNotFound = api.ErrNotFound // Memory.Update: no record has that ID
	ErrUnknown  = api.ErrUnknown  // Send: nobody runs, or has run, a module of that name
	ErrInvalid  = api.ErrInvalid  // an argument is wrong; the text says which
	ErrTooLarge = api.ErrTooLarge // a message, publication or kept value is over its limit
)

// Agent is a module's view of the agent that it is a part of: its own name, its mailbox, the other modules, the person
// at the console and the memory that all modules share. It is safe for use by several goroutines.
type Agent struct {
	Name       string  // the agent's name
	Module     string  // this module's name
	Generation int     // 1 for the module's first loaded version, one more with every reload
	Dir        string  // the folder of the module's files, absolute; "" for a module that has none
	Memory     *Memory // the agent's shared memory

	session api.Session
	now     func() time.Time
}

// Session is a module's seat at a host. Hosts make it; authors never need it.
type Session = api.Session

// NewAgent returns the Agent that speaks through session. Hosts and tests call it (see package comatest); a module is
// handed its Agent. dir is the folder of the module's files. now is the clock; nil is time.Now.
func NewAgent(session Session, dir string, now func() time.Time) *Agent {
	if now == nil {
		now = time.Now
	}
	id := session.Identity()
	return &Agent{
		Name:       id.Agent,
		Module:     id.Module,
		Generation: id.Generation,
		Dir:        dir,
		Memory:     &Memory{memory: session.Memory()},
		session:    session,
		now:        now,
	}
}

// Now returns the current time, by the clock that the host or a test has set.
func (a *Agent) Now() time.Time { return a.now() }

// Send puts text (any bytes) into the mailbox of module to, which is "module" for a module of the same agent or
// "agent/module" for another's. It returns once the host has the message. While that mailbox is full it waits, until
// ctx ends. Sending to a module that nobody runs or has run is ErrUnknown, with the nearest names.
func (a *Agent) Send(ctx context.Context, to, text string) error {
	return a.session.Send(ctx, api.Message{To: to, Text: text})
}

// SendJSON sends v as JSON, with content type application/json. The receiver reads it with Message.Decode.
func (a *Agent) SendJSON(ctx context.Context, to string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message to %s: %w", to, err)
	}
	return a.session.Send(ctx, api.Message{To: to, Text: string(text), ContentType: "application/json"})
}

// SendMessage sends m, of which To, Text, ContentType, Headers, ReplyTo, CorrelationID and Deadline are used, and ID
// where it is set: of two messages with one ID that arrive shortly after each other, a host may keep only the first.
func (a *Agent) SendMessage(ctx context.Context, m Message) error {
	return a.session.Send(ctx, m.wire())
}

// Receive waits for the next message and returns it. Calling Receive (or TryReceive) also tells the host that the
// message received before is finished with; until then that message is still the mailbox's, and a module that dies gets
// it again. When ctx ends, Receive returns ctx's error.
func (a *Agent) Receive(ctx context.Context) (Message, error) {
	m, err := a.session.Receive(ctx)
	if err != nil {
		return Message{}, err
	}
	return a.message(m), nil
}

// TryReceive is Receive that does not wait: ok is false where no message is there.
func (a *Agent) TryReceive(ctx context.Context) (msg Message, ok bool, err error) {
	m, ok, err := a.session.TryReceive(ctx)
	if err != nil || !ok {
		return Message{}, false, err
	}
	return a.message(m), true, nil
}

// Pending counts the messages that wait in the module's mailbox, without the one received last.
func (a *Agent) Pending(ctx context.Context) (int, error) { return a.session.Pending(ctx) }

// Publish sends text (any bytes) to an MQTT topic: actuators, other systems, whoever subscribes.
func (a *Agent) Publish(ctx context.Context, topic, text string) error {
	return a.session.Publish(ctx, api.Publication{Topic: topic, Payload: []byte(text)})
}

// PublishRetained is Publish, and the broker keeps the text for those who subscribe later. An empty text removes it.
func (a *Agent) PublishRetained(ctx context.Context, topic, text string) error {
	return a.session.Publish(ctx, api.Publication{Topic: topic, Payload: []byte(text), Retain: true})
}

// Subscribe lets what is published on topics that match pattern arrive by Receive, with Message.Topic set. A pattern is
// MQTT's: + stands for one level, # at the end for all levels below. A subscription holds over a reload if the new
// generation subscribes again before it first receives. When the mailbox is full, the oldest waiting publication makes
// room for the newest, and the host says so; messages that were sent to the module are never dropped.
func (a *Agent) Subscribe(ctx context.Context, pattern string) error {
	return a.session.Subscribe(ctx, pattern)
}

// Unsubscribe ends what Subscribe began.
func (a *Agent) Unsubscribe(ctx context.Context, pattern string) error {
	return a.session.Unsubscribe(ctx, pattern)
}

// Print writes to the person at the console, as fmt.Print does and without adding a line end: a stream of tokens can be
// printed piece by piece.
func (a *Agent) Print(args ...any) {
	text := fmt.Sprint(args...)
	ctx, cancel := context.WithTimeout(context.Background(), outputTimeout)
	defer cancel()
	if err := a.session.Print(ctx, text); err != nil {
		fmt.Fprint(os.Stdout, text) // the console is out of reach: the module's own output still reaches its log
	}
}

// Input asks the person at the console and returns the line that is answered. Modules that ask at the same time wait
// for each other. ErrNoInput means that there is nobody to ask (any more).
func (a *Agent) Input(ctx context.Context, prompt string) (string, error) {
	return a.session.Input(ctx, prompt)
}

// Keep stores v, as JSON, under key for later generations of this module: after a reload, a restart or a crash, Kept
// has it. A nil v removes the key. Values are small (1 MiB); what other modules should know belongs into Memory.
func (a *Agent) Keep(ctx context.Context, key string, v any) error {
	if v == nil {
		return a.session.Keep(ctx, key, nil)
	}
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode kept value %q: %w", key, err)
	}
	return a.session.Keep(ctx, key, value)
}

// Kept reads what Keep stored under key into v, a pointer. It is false where nothing is kept.
func (a *Agent) Kept(ctx context.Context, key string, v any) (bool, error) {
	value, ok, err := a.session.Kept(ctx, key)
	if err != nil || !ok {
		return false, err
	}
	if err := json.Unmarshal(value, v); err != nil {
		return false, fmt.Errorf("decode kept value %q: %w", key, err)
	}
	return true, nil
}

// outputTimeout bounds Print and Log, which take no context: output must not hold up a module whose host is away.
const outputTimeout = 5 * time.Second
