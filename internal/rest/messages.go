package rest

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// from is who sends what is sent by REST, unless whoever has opened the way knows better.
const from = "rest"

// patience is how long a message waits for room in a full mailbox, unless the query says another time.
const patience = 30 * time.Second

// NewMessage is a message to be sent.
type NewMessage struct {
	ID            string            `json:"id,omitempty"`             // a name of your own, unique among all messages; made if not given
	Text          string            `json:"text,omitempty"`           // at most 16 MiB
	Base64        []byte            `json:"base64,omitempty"`         // instead of the text, for bytes that are not UTF-8
	ContentType   string            `json:"content_type,omitempty"`   // what kind of text or bytes it is, as "application/json"
	Headers       map[string]string `json:"headers,omitempty"`        // whatever else the receiver is to know, as "traceparent"
	ReplyTo       string            `json:"reply_to,omitempty"`       // where an answer is expected: a module, or a topic
	CorrelationID string            `json:"correlation_id,omitempty"` // by which you will know the answer
	Deadline      time.Time         `json:"deadline,omitzero"`        // until when the message is of use; for the receiver to heed
}

// Message is a message that waits.
type Message struct {
	ID            string            `json:"id"`                       // unique among all messages
	From          string            `json:"from,omitempty"`           // who sent it: "agent/module", "mqtt:" and a client's id, "cli" or "rest"
	To            string            `json:"to,omitempty"`             // whose mailbox it is in, as "agent/module"
	Topic         string            `json:"topic,omitempty"`          // of what came by a subscription
	Time          time.Time         `json:"time,omitzero"`            // when the host accepted it
	Text          string            `json:"text,omitempty"`           // what it says
	Base64        []byte            `json:"base64,omitempty"`         // instead of the text, where that is not UTF-8
	ContentType   string            `json:"content_type,omitempty"`   // what kind of text or bytes it is, as the sender said
	Headers       map[string]string `json:"headers,omitempty"`        // whatever else the sender said
	ReplyTo       string            `json:"reply_to,omitempty"`       // where the sender expects an answer
	CorrelationID string            `json:"correlation_id,omitempty"` // by which the sender will know the answer
	Deadline      time.Time         `json:"deadline,omitzero"`        // until when the sender finds it of use
	Deaths        int               `json:"deaths,omitempty"`         // how often the module died while it had this message in hand
}

// accepted says that a message has been accepted.
type accepted struct {
	ID string `json:"id"` // of the message
}

// sendQuery says how a message is sent.
type sendQuery struct {
	Timeout time.Duration `json:"timeout,omitempty" schema:"default=30s"` // how long to wait while the mailbox is full, as 1m30s or 500ms
}

// deadQuery says which dead letters are meant.
type deadQuery struct {
	ID []string `json:"id,omitempty"` // of a dead letter; can be given several times; all of them if not given
}

// letterIDs say which dead letters are meant.
type letterIDs struct {
	IDs []string `json:"ids,omitempty"` // all of them if not given
}

func agents(ctx context.Context, a asked[none, none]) ([]api.AgentState, error) {
	return list(a.host.Agents(ctx))
}

func agent(ctx context.Context, a asked[none, none]) (api.AgentState, error) {
	return running(ctx, a.host, a.named("agent"))
}

func running(ctx context.Context, host api.Backend, name string) (api.AgentState, error) {
	all, err := host.Agents(ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	i := slices.IndexFunc(all, func(s api.AgentState) bool { return s.Agent == name })
	if i < 0 {
		return api.AgentState{}, fmt.Errorf("agent %q: %w: it does not run", name, api.ErrNotFound)
	}
	return all[i], nil
}

func module(ctx context.Context, a asked[none, none]) (api.ModuleState, error) {
	state, err := running(ctx, a.host, a.named("agent"))
	if err != nil {
		return api.ModuleState{}, err
	}
	i := slices.IndexFunc(state.Modules, func(s api.ModuleState) bool { return s.Module == a.named("module") })
	if i < 0 {
		return api.ModuleState{}, fmt.Errorf("agent %s: %w: it runs no module %q", state.Agent, api.ErrNotFound, a.named("module"))
	}
	return state.Modules[i], nil
}

func mailboxes(ctx context.Context, a asked[none, none]) ([]api.Mailbox, error) {
	return list(a.host.Mailboxes(ctx, a.named("agent")))
}

func send(ctx context.Context, a asked[sendQuery, NewMessage]) (accepted, error) {
	b := a.body
	text, err := either("text", b.Text, b.Base64)
	if err != nil {
		return accepted{}, err
	}
	if b.ID == "" {
		b.ID = api.NewID()
	}
	timeout := a.query.Timeout
	if timeout == 0 {
		timeout = patience
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = a.host.Post(ctx, from, api.Message{
		ID: b.ID, To: a.named("agent") + "/" + a.named("module"), Text: text, ContentType: b.ContentType, Headers: b.Headers,
		ReplyTo: b.ReplyTo, CorrelationID: b.CorrelationID, Deadline: b.Deadline,
	})
	return accepted{b.ID}, err
}

// either is text, or the bytes given instead of it.
func either(name, text string, data []byte) (string, error) {
	if text != "" && len(data) > 0 {
		return "", invalid("body: give %s or base64, not both", name)
	}
	if len(data) > 0 {
		return string(data), nil
	}
	return text, nil
}

func waiting(ctx context.Context, a asked[none, none]) ([]Message, error) {
	return letters(ctx, a, false)
}

func dead(ctx context.Context, a asked[none, none]) ([]Message, error) { return letters(ctx, a, true) }

func letters(ctx context.Context, a asked[none, none], dead bool) ([]Message, error) {
	found, err := a.host.Waiting(ctx, a.named("agent"), a.named("module"), dead)
	messages := make([]Message, len(found))
	for i, m := range found {
		messages[i] = Message{
			ID: m.ID, From: m.From, To: m.To, Topic: m.Topic, Time: m.Time, ContentType: m.ContentType, Headers: m.Headers,
			ReplyTo: m.ReplyTo, CorrelationID: m.CorrelationID, Deadline: m.Deadline, Deaths: m.Deaths,
		}
		if utf8.ValidString(m.Text) {
			messages[i].Text = m.Text
		} else {
			messages[i].Base64 = []byte(m.Text)
		}
	}
	return messages, err
}

func redeliver(ctx context.Context, a asked[none, letterIDs]) (counted, error) {
	n, err := a.host.Redeliver(ctx, a.named("agent"), a.named("module"), a.body.IDs)
	return counted{n}, err
}

func drop(ctx context.Context, a asked[deadQuery, none]) (counted, error) {
	n, err := a.host.DropDead(ctx, a.named("agent"), a.named("module"), a.query.ID)
	return counted{n}, err
}

// Publication is what is to be published.
type Publication struct {
	Topic  string `json:"topic" schema:"pattern=^[^$+#][^+#]*$"`      // without + and #
	Text   string `json:"text,omitempty"`                             // at most 16 MiB
	Base64 []byte `json:"base64,omitempty"`                           // instead of the text, for bytes that are not UTF-8
	Retain bool   `json:"retain,omitempty"`                           // the broker is to keep it for those who come later
	QoS    byte   `json:"qos,omitempty" schema:"maximum=2,default=0"` // MQTT's quality of service: 0 at most once, 1 at least once, 2 exactly once
}

func publish(ctx context.Context, a asked[none, Publication]) (none, error) {
	text, err := either("text", a.body.Text, a.body.Base64)
	if err != nil {
		return none{}, err
	}
	return none{}, a.host.Publish(ctx, from, api.Publication{Topic: a.body.Topic, Payload: []byte(text), Retain: a.body.Retain, QoS: a.body.QoS})
}
