// Package api defines the one set of operations that a host offers to modules, and the values that cross.
//
// It is defined once, here, and offered three ways: as plain Go calls inside the host (package backend implements
// Session), as JSON-RPC 2.0 over a WebSocket (package link carries it), and to authors through package coma.
// The package holds no behaviour beyond validation of what crosses.
package api

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Session is one module's seat at the host: all that a running module can ask for.
//
// A session belongs to one generation of one module. It is safe for concurrent use; every call that can wait ends
// with ctx. Close says how the module ended.
type Session interface {
	Identity() Identity

	// Send puts m into the mailbox of m.To ("module" of the same agent, or "agent/module"). It waits while that
	// mailbox is full and returns once the host has accepted the message (in a durable agent: once it is on disk).
	// The host fills in ID (if empty), From and Time.
	Send(ctx context.Context, m Message) error
	// Receive waits for the next message. Calling it says that the message received before is finished with.
	Receive(ctx context.Context) (Message, error)
	// TryReceive is Receive that does not wait: ok is false where nothing is there.
	TryReceive(ctx context.Context) (m Message, ok bool, err error)
	// Pending counts the messages that wait, without the one in hand.
	Pending(ctx context.Context) (int, error)

	// Publish sends bytes to any MQTT topic.
	Publish(ctx context.Context, p Publication) error
	// Subscribe lets what is published on matching topics (MQTT pattern, + and #) arrive in the module's mailbox,
	// with Message.Topic set.
	Subscribe(ctx context.Context, pattern string) error
	Unsubscribe(ctx context.Context, pattern string) error

	Log(ctx context.Context, entry LogEntry) error
	// Print writes text to the person at the console, as it is: a stream of pieces, line ends included.
	Print(ctx context.Context, text string) error
	// Input asks the person at the console and waits for a line, without its line end.
	// It returns ErrNoInput when there is nobody (left) to ask.
	Input(ctx context.Context, prompt string) (string, error)

	// Keep stores a small value under key for the module's later generations; nil removes it.
	Keep(ctx context.Context, key string, value []byte) error
	// Kept returns what Keep stored; ok is false where there is nothing.
	Kept(ctx context.Context, key string) (value []byte, ok bool, err error)

	// Memory returns the agent's shared memory.
	Memory() Memory

	// Close ends the session. A message in hand goes back to the mailbox's head unless outcome is Finished;
	// it then counts as one death of that message if outcome is Died.
	Close(outcome Outcome) error
}

// Outcome says how a module's generation ended.
type Outcome string

const (
	Finished Outcome = "finished" // it came to its end: the message in hand is done with
	Stopped  Outcome = "stopped"  // stopped from outside before it was done with the message in hand, which comes again
	Died     Outcome = "died"     // panic, error, exit, kill: the message in hand comes again, and one more death is counted for it
)

// Identity names a session.
type Identity struct {
	Agent      string `json:"agent"`                         // the agent's name
	Module     string `json:"module"`                        // the module's name
	Generation int    `json:"generation" schema:"minimum=0"` // which version of the module's source it runs, from 1
}

// Message is text (any bytes) on its way to a module.
type Message struct {
	ID            string            `json:"id,omitempty"`
	Seq           uint64            `json:"seq,omitempty"`   // place in the mailbox, from 1; set by the host
	From          string            `json:"from,omitempty"`  // "agent/module", "mqtt:<client id>", or "cli"
	To            string            `json:"to,omitempty"`    // "agent/module"
	Topic         string            `json:"topic,omitempty"` // for what arrived by Subscribe
	Time          time.Time         `json:"time,omitzero"`   // when the host accepted it
	Text          string            `json:"text"`            // any bytes; package link carries those that are not UTF-8 as base64
	ContentType   string            `json:"content_type,omitempty"`
	Headers       map[string]string `json:"headers,omitempty"` // traceparent among them
	ReplyTo       string            `json:"reply_to,omitempty"`
	CorrelationID string            `json:"correlation_id,omitempty"`
	Deadline      time.Time         `json:"deadline,omitzero"`
	Deaths        int               `json:"deaths,omitempty"` // how many times a module died while it had this message in hand
}

// Publication is what is to be published.
type Publication struct {
	Topic   string `json:"topic" schema:"pattern=^[^$+#][^+#]*$"`      // without + and #
	Payload []byte `json:"payload"`                                    // at most 16 MiB
	Retain  bool   `json:"retain,omitempty"`                           // the broker is to keep it for those who come later
	QoS     byte   `json:"qos,omitempty" schema:"maximum=2,default=0"` // MQTT's quality of service: 0 at most once, 1 at least once, 2 exactly once
}

// LogEntry is one line of a module's log.
type LogEntry struct {
	Time  time.Time `json:"time,omitzero"`   // when it was written
	Level string    `json:"level"`           // DEBUG, INFO, WARN, ERROR, or between them as "INFO+2" (as Go's log/slog prints levels)
	Text  string    `json:"text"`            // what it says
	Attrs []Attr    `json:"attrs,omitempty"` // what else is known, key by key
}

// Attr is one key and value of a structured log entry; groups are joined to the key with dots.
type Attr struct {
	Key   string `json:"key"`   // what it is
	Value string `json:"value"` // as text
}

// Limits of what crosses.
const (
	MaxMessageBytes = 16 << 20 // text of one message or publication
	MaxKeepBytes    = 1 << 20  // one kept value
	MaxKeepKeys     = 1000     // kept values of one module
)

// String is the entry as one line of text: the message and its attributes as key=value.
func (e LogEntry) String() string {
	if len(e.Attrs) == 0 {
		return e.Text
	}
	var b strings.Builder
	b.WriteString(e.Text)
	for _, a := range e.Attrs {
		b.WriteByte(' ')
		b.WriteString(a.Key)
		b.WriteByte('=')
		if a.Value == "" || strings.ContainsAny(a.Value, " \"=\n\t") {
			b.WriteString(strconv.Quote(a.Value))
		} else {
			b.WriteString(a.Value)
		}
	}
	return b.String()
}
