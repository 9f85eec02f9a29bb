package coma

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Message is text (any bytes) from a module, a device or a person.
type Message struct {
	ID    string    // unique
	From  string    // "agent/module", "mqtt:<client id>" for a device, "cli" for "coma send"
	To    string    // "agent/module"
	Topic string    // the MQTT topic, for what arrived by Subscribe; else ""
	Text  string    // the content
	Time  time.Time // when the host accepted it

	ContentType   string            // MIME type, "" for plain text
	Headers       map[string]string // free; traceparent is W3C trace context
	ReplyTo       string            // where an answer goes, "" for From
	CorrelationID string            // ties an answer to its request
	Deadline      time.Time         // after which an answer is of no use; zero: none
	Deaths        int               // how many times a module died while it had this message in hand

	now func() time.Time
}

// Age tells how long ago the host accepted the message.
func (m Message) Age() time.Duration {
	if m.now == nil {
		return time.Since(m.Time)
	}
	return m.now().Sub(m.Time)
}

// Decode reads the text, as JSON, into v, a pointer.
func (m Message) Decode(v any) error {
	if err := json.Unmarshal([]byte(m.Text), v); err != nil {
		return fmt.Errorf("decode message %s from %s: %w", m.ID, m.From, err)
	}
	return nil
}

func (a *Agent) message(m api.Message) Message {
	return Message{
		ID: m.ID, From: m.From, To: m.To, Topic: m.Topic, Text: m.Text, Time: m.Time,
		ContentType: m.ContentType, Headers: m.Headers, ReplyTo: m.ReplyTo, CorrelationID: m.CorrelationID,
		Deadline: m.Deadline, Deaths: m.Deaths, now: a.now,
	}
}

func (m Message) wire() api.Message {
	return api.Message{
		ID: m.ID, To: m.To, Text: m.Text, ContentType: m.ContentType, Headers: m.Headers,
		ReplyTo: m.ReplyTo, CorrelationID: m.CorrelationID, Deadline: m.Deadline,
	}
}
