package link

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// wireMessage is a message as it crosses. Text that is not UTF-8, or that JSON would blow up, goes as base64 in Data.
type wireMessage struct {
	ID            string            `json:"id,omitempty"`             // unique among all messages; made by the host if not given
	Seq           uint64            `json:"seq,omitempty"`            // its place in the mailbox, from 1; set by the host
	From          string            `json:"from,omitempty"`           // who sent it: "agent/module", "mqtt:" and a client's id, "cli" or "rest"; set by the host where a module sends
	To            string            `json:"to,omitempty"`             // for whom: "agent/module", or "module" of the same agent
	Topic         string            `json:"topic,omitempty"`          // of what came by a subscription
	Time          int64             `json:"time,omitempty"`           // when the host accepted it, in nanoseconds since 1970; set by the host
	Text          string            `json:"text,omitempty"`           // at most 16 MiB
	Data          string            `json:"data,omitempty"`           // base64 (RFC 4648, padded), instead of the text
	ContentType   string            `json:"content_type,omitempty"`   // what kind of text or bytes it is, as "application/json"
	Headers       map[string]string `json:"headers,omitempty"`        // whatever else the receiver is to know, as "traceparent"
	ReplyTo       string            `json:"reply_to,omitempty"`       // where an answer is expected: a module, or a topic
	CorrelationID string            `json:"correlation_id,omitempty"` // by which the sender will know the answer
	Deadline      int64             `json:"deadline,omitempty"`       // until when it is of use, in nanoseconds since 1970; for the receiver to heed
	Deaths        int               `json:"deaths,omitempty"`         // how often a module died while it had this message in hand
}

func toWire(m api.Message) wireMessage {
	w := wireMessage{
		ID: m.ID, Seq: m.Seq, From: m.From, To: m.To, Topic: m.Topic, Time: nanoseconds(m.Time),
		ContentType: m.ContentType, Headers: m.Headers, ReplyTo: m.ReplyTo, CorrelationID: m.CorrelationID,
		Deadline: nanoseconds(m.Deadline), Deaths: m.Deaths,
	}
	if plain(m.Text) {
		w.Text = m.Text
	} else {
		w.Data = base64.StdEncoding.EncodeToString([]byte(m.Text))
	}
	return w
}

func (w *wireMessage) message() (api.Message, error) {
	m := api.Message{
		ID: w.ID, Seq: w.Seq, From: w.From, To: w.To, Topic: w.Topic, Time: instant(w.Time), Text: w.Text,
		ContentType: w.ContentType, Headers: w.Headers, ReplyTo: w.ReplyTo, CorrelationID: w.CorrelationID,
		Deadline: instant(w.Deadline), Deaths: w.Deaths,
	}
	if w.Data != "" {
		data, err := base64.StdEncoding.DecodeString(w.Data)
		if err != nil {
			return api.Message{}, fmt.Errorf("message data: %w: %w", api.ErrInvalid, err)
		}
		m.Text = string(data)
	}
	return m, nil
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}

// plain reports whether text can cross as a JSON string that is not much larger than it.
func plain(text string) bool {
	const free = 1 << 10 // short texts stay readable
	added := 0           // bytes, by escaping
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\\', '\n', '\t', '\r':
			added++
		case '<', '>', '&':
			added += 5
		default:
			if c < ' ' {
				added += 5
			}
		}
	}
	return added <= len(text)/3+free && utf8.ValidString(text)
}

// AppendJSON implements jsonrpc.Appender: as encoding/json would, several times as fast.
func (w wireMessage) AppendJSON(b []byte) ([]byte, error) {
	b, err := w.appendFields(append(b, '{'))
	return append(b, '}'), err
}

// AppendJSON implements jsonrpc.Appender.
func (p *sendParams) AppendJSON(b []byte) ([]byte, error) {
	b, err := p.appendFields(append(b, '{'))
	if p.Resent {
		b = append(appendKey(b, "resent"), "true"...)
	}
	return append(b, '}'), err
}

func (w *wireMessage) appendFields(b []byte) ([]byte, error) {
	b = appendText(b, "id", w.ID)
	b = appendNumber(b, "seq", int64(w.Seq))
	b = appendText(b, "from", w.From)
	b = appendText(b, "to", w.To)
	b = appendText(b, "topic", w.Topic)
	b = appendNumber(b, "time", w.Time)
	b = appendText(b, "text", w.Text)
	b = appendText(b, "data", w.Data)
	b = appendText(b, "content_type", w.ContentType)
	if len(w.Headers) > 0 {
		headers, err := json.Marshal(w.Headers)
		if err != nil {
			return b, err
		}
		b = append(appendKey(b, "headers"), headers...)
	}
	b = appendText(b, "reply_to", w.ReplyTo)
	b = appendText(b, "correlation_id", w.CorrelationID)
	b = appendNumber(b, "deadline", w.Deadline)
	return appendNumber(b, "deaths", int64(w.Deaths)), nil
}

func appendKey(b []byte, key string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendNumber(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), n, 10)
}

func appendText(b []byte, key, text string) []byte {
	if text == "" {
		return b
	}
	b = appendKey(b, key)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			encoded, err := json.Marshal(text)
			if err != nil {
				panic(err) // a string can always be encoded
			}
			return append(b, encoded...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// parse reads the parameters of a send.
func (p *sendParams) parse(data []byte) error {
	if p.parseUsual(data) {
		return nil
	}
	*p = sendParams{}
	return json.Unmarshal(data, p)
}

// parse reads a message.
func (w *wireMessage) parse(data []byte) error {
	if w.parseUsual(data) {
		return nil
	}
	*w = wireMessage{}
	return json.Unmarshal(data, w)
}

// parseUsual reads the fields of most messages in one pass. Where it reports false, the message is for encoding/json.
func (w *wireMessage) parseUsual(data []byte) bool {
	return jsonrpc.Scan(data, func(key, value []byte) bool {
		var err error
		switch string(key) {
		case "id":
			return parseText(value, &w.ID)
		case "seq":
			w.Seq, err = strconv.ParseUint(string(value), 10, 64)
			return err == nil
		case "from":
			return parseText(value, &w.From)
		case "to":
			return parseText(value, &w.To)
		case "topic":
			return parseText(value, &w.Topic)
		case "time":
			w.Time, err = strconv.ParseInt(string(value), 10, 64)
			return err == nil
		case "text":
			return parseText(value, &w.Text)
		case "data":
			return parseText(value, &w.Data)
		}
		return false
	})
}

func parseText(value []byte, into *string) bool {
	if text, ok := jsonrpc.PlainString(value); ok {
		*into = string(text)
		return true
	}
	return json.Unmarshal(value, into) == nil
}
