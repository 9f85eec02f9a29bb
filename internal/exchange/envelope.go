package exchange

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

const (
	version = 1
	// mailBytes is about how much one mail carries. The smallest bound among usual brokers is NATS's: 1 MiB a packet.
	mailBytes = 256 << 10
	// maxMailBytes bounds what is read as a mail at all.
	maxMailBytes = 1 << 20
	// maxEncoded bounds an encoded message: as much as a mailbox takes, and as much again where JSON has to escape its
	// headers.
	maxEncoded = 5 * api.MaxMessageBytes
)

// mail is what one host publishes to another: messages of one stream in their order, or a part of one that is too large.
type mail struct {
	Version int    `json:"v"`
	Host    string `json:"host"`            // the sender
	Epoch   string `json:"epoch"`           // of its outbox
	To      string `json:"to"`              // agent/module
	After   uint64 `json:"after,omitempty"` // the message before the first one in here, if it is not acknowledged; else 0
	Again   bool   `json:"again,omitempty"` // some of it may have been sent before
	Seq     uint64 `json:"seq,omitempty"`   // of the message that this is a part of
	Part    int    `json:"part,omitempty"`  // from 0
	Parts   int    `json:"parts,omitempty"` // 0: whole messages

	messages []letter
	piece    []byte // of Parts
}

// letter is a message and its place in the stream.
type letter struct {
	seq uint64
	m   api.Message
}

// details is a message without its text, as it crosses.
type details struct {
	Seq           uint64            `json:"seq"`
	ID            string            `json:"id"`
	From          string            `json:"from,omitempty"`
	Time          int64             `json:"time,omitempty"` // nanoseconds since 1970, by the sender's clock
	ContentType   string            `json:"content_type,omitempty"`
	Headers       map[string]string `json:"headers,omitempty"`
	ReplyTo       string            `json:"reply_to,omitempty"`
	CorrelationID string            `json:"correlation_id,omitempty"`
	Deadline      int64             `json:"deadline,omitempty"` // nanoseconds since 1970
}

// errMail is returned for what is no mail or acknowledgement of this version.
var errMail = errors.New("not a mail that this version of coma reads")

// appendMessage appends: the length of the details (unsigned varint), the details (JSON), the length of the text, the
// text.
func appendMessage(buf []byte, seq uint64, m *api.Message) ([]byte, error) {
	head, err := json.Marshal(details{
		Seq: seq, ID: m.ID, From: m.From, Time: nanoseconds(m.Time), ContentType: m.ContentType, Headers: m.Headers,
		ReplyTo: m.ReplyTo, CorrelationID: m.CorrelationID, Deadline: nanoseconds(m.Deadline),
	})
	if err != nil {
		return buf, fmt.Errorf("encode message: %w", err)
	}
	buf = append(binary.AppendUvarint(buf, uint64(len(head))), head...)
	return append(binary.AppendUvarint(buf, uint64(len(m.Text))), m.Text...), nil
}

// readMessages reads what appendMessage has written, one after the other.
func readMessages(data []byte, to string) ([]letter, error) {
	var letters []letter
	for len(data) > 0 {
		head, rest, ok := cutPrefixed(data)
		text, rest, also := cutPrefixed(rest)
		var d details
		if !ok || !also || json.Unmarshal(head, &d) != nil || d.Seq == 0 || d.ID == "" {
			return nil, errMail
		}
		if n := len(letters); n > 0 && letters[n-1].seq >= d.Seq {
			return nil, errMail
		}
		letters = append(letters, letter{d.Seq, api.Message{
			ID: d.ID, From: d.From, To: to, Time: instant(d.Time), Text: string(text), ContentType: d.ContentType,
			Headers: d.Headers, ReplyTo: d.ReplyTo, CorrelationID: d.CorrelationID, Deadline: instant(d.Deadline),
		}})
		data = rest
	}
	return letters, nil
}

// cutPrefixed cuts off bytes that their length stands before.
func cutPrefixed(data []byte) (piece, rest []byte, ok bool) {
	n, width := binary.Uvarint(data)
	if width <= 0 || n > uint64(len(data)-width) {
		return nil, nil, false
	}
	return data[width : width+int(n)], data[width+int(n):], true
}

// encode writes a mail: its header as one line of JSON, then body.
func (m *mail) encode(body []byte) ([]byte, error) {
	m.Version = version
	head, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode mail: %w", err)
	}
	return append(append(head, '\n'), body...), nil
}

// readMail reads a mail. What it returns does not refer to payload.
func readMail(payload []byte) (*mail, error) {
	head, body, ok := bytes.Cut(payload, []byte{'\n'})
	if !ok || len(payload) > maxMailBytes {
		return nil, errMail
	}
	m := &mail{}
	if err := json.Unmarshal(head, m); err != nil || m.Version != version || m.Epoch == "" || !isName(m.Host) || !isAddress(m.To) {
		return nil, errMail
	}
	if m.Parts == 0 {
		var err error
		m.messages, err = readMessages(body, m.To)
		if err == nil && (len(m.messages) == 0 || m.messages[0].seq <= m.After) {
			err = errMail
		}
		return m, err
	}
	if m.Parts < 2 || m.Parts > maxEncoded/mailBytes || m.Part < 0 || m.Part >= m.Parts || m.Seq <= m.After || len(body) == 0 {
		return nil, errMail
	}
	m.piece = bytes.Clone(body)
	return m, nil
}

// ack tells a sender what its receiver has.
type ack struct {
	Version int    `json:"v"`
	Host    string `json:"host"` // the receiver
	Epoch   string `json:"epoch"`
	To      string `json:"to"`
	Had     uint64 `json:"had,omitempty"`     // all up to this one has arrived, for good
	Gap     bool   `json:"gap,omitempty"`     // something is missing behind what has arrived: send all behind Had again
	Refused string `json:"refused,omitempty"` // why nothing is taken
}

func (a ack) encode() ([]byte, error) {
	a.Version = version
	return json.Marshal(a)
}

func readAck(payload []byte) (a ack, err error) {
	if len(payload) > maxMailBytes || json.Unmarshal(payload, &a) != nil || a.Version != version || !isName(a.Host) || !isAddress(a.To) {
		return a, errMail
	}
	return a, nil
}

// isAddress reports whether text can be agent/module.
func isAddress(text string) bool {
	agent, module, ok := strings.Cut(text, "/")
	return ok && isName(agent) && isName(module)
}

// isName reports whether text can be one level of an MQTT topic.
func isName(text string) bool {
	return text != "" && len(text) <= 1024 && !strings.ContainsAny(text, "/+#\x00")
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
