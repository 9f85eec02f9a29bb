package jsonrpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// MaxFrame bounds one frame, in bytes. A call or answer that is larger is not sent: who calls gets an error.
const MaxFrame = 256 << 20

// ErrTooLarge is the error of a call or a notification that is larger than MaxFrame.
var ErrTooLarge = fmt.Errorf("more than the %d MiB that fit a frame", MaxFrame>>20)

// Error codes of JSON-RPC 2.0, section 5.1.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
)

const cancelMethod = "$/cancel"

// maxIDBytes bounds the ids of the far side's calls, which are kept while they are answered.
const maxIDBytes = 128

// Error is an error of the far side.
type Error struct {
	Code    int    `json:"code"`    // what kind of error it is
	Message string `json:"message"` // what went wrong, for people
}

func (e *Error) Error() string { return e.Message }

// JSONRPCCode gives the code that a Handler's error is sent with; other error types may have such a method too.
func (e *Error) JSONRPCCode() int { return e.Code }

// message is any message of JSON-RPC 2.0: a call (id and method), a notification (method), an answer (id).
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *Error          `json:"error"`

	invalid error // why it is no JSON-RPC, although it is JSON
}

func (m *message) isResponse() bool { return m.Method == "" }

func (m *message) check() error {
	if bytes.Equal(m.ID, []byte("null")) {
		m.ID = nil
	}
	switch {
	case m.Version != "2.0":
		return fmt.Errorf("invalid request: \"jsonrpc\" is %.20q, not \"2.0\"", m.Version)
	case m.Method == "" && m.Result == nil && m.Error == nil:
		return errors.New("invalid request: neither a method nor a result")
	case len(m.ID) > 0 && bytes.IndexByte([]byte("{[tf"), m.ID[0]) >= 0, len(m.ID) > maxIDBytes:
		return fmt.Errorf("invalid request: the id must be a string or a number of at most %d bytes", maxIDBytes)
	}
	return nil
}

// parse reads a frame: one message or a batch, told by array. The messages share the frame's memory; what is JSON but not
// JSON-RPC has invalid set. An error means that the frame is not JSON.
func parse(frame []byte, messages []message) (_ []message, array bool, err error) {
	i := skipSpace(frame, 0)
	if i == len(frame) || frame[i] != '[' {
		messages = append(messages, message{})
		err := messages[0].parse(frame)
		return messages, false, err
	}
	if i = skipSpace(frame, i+1); i < len(frame) && frame[i] == ']' && skipSpace(frame, i+1) == len(frame) {
		return append(messages, message{invalid: errors.New("invalid request: an empty batch")}), false, nil
	}
	for {
		end := skipValue(frame, i)
		if end < 0 {
			break
		}
		messages = append(messages, message{})
		if err := messages[len(messages)-1].parse(frame[i:end]); err != nil {
			return nil, true, err
		}
		if i = skipSpace(frame, end); i == len(frame) {
			break
		}
		if frame[i] == ']' && skipSpace(frame, i+1) == len(frame) {
			return messages, true, nil
		}
		if frame[i] != ',' {
			break
		}
		i = skipSpace(frame, i+1)
	}
	// Not a batch of plain values: let encoding/json say what is wrong, or what else it is.
	var values []json.RawMessage
	if err := json.Unmarshal(frame, &values); err != nil {
		return nil, true, err
	}
	messages = make([]message, len(values))
	for i := range values {
		if err := messages[i].parse(values[i]); err != nil {
			return nil, true, err
		}
	}
	return messages, true, nil
}

// parse reads one message.
func (m *message) parse(data []byte) error {
	seen := 0
	usual := Scan(data, func(key, value []byte) bool {
		bit := 0
		ok := true
		switch string(key) {
		case "jsonrpc":
			bit, ok = 1, string(value) == `"2.0"`
			m.Version = "2.0"
		case "id":
			bit, m.ID = 2, value
		case "method":
			var name []byte
			bit = 4
			name, ok = PlainString(value)
			m.Method = string(name)
		case "params":
			bit, m.Params = 8, value
		case "result":
			bit, m.Result = 16, value
		default:
			return false // an error, or something that is none of ours
		}
		repeated := seen&bit != 0
		seen |= bit
		return ok && !repeated
	})
	if !usual || !valid(m.ID) || !valid(m.Params) || !valid(m.Result) {
		*m = message{}
		if err := json.Unmarshal(data, m); err != nil {
			var kind *json.UnmarshalTypeError
			if !errors.As(err, &kind) {
				return err
			}
			what := "a message"
			if kind.Field != "" {
				what = kind.Field
			}
			*m = message{invalid: fmt.Errorf("invalid request: %s cannot be a JSON %s", what, kind.Value)}
			return nil
		}
	}
	m.invalid = m.check()
	return nil
}

// idOf finds the id of a call in the beginning of its frame; nil: it does not stand before the parameters.
func idOf(head []byte) json.RawMessage {
	decoder := json.NewDecoder(bytes.NewReader(head))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil || key == "params" {
			return nil
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return nil
		}
		if m := (&message{Version: "2.0", ID: value, Method: "m"}); key == "id" && m.check() == nil {
			return m.ID
		}
	}
	return nil
}

// valid reports whether a value that Scan has found is JSON throughout.
func valid(value json.RawMessage) bool {
	return value == nil || value[0] != '{' && value[0] != '[' && value[0] != '"' || json.Valid(value)
}

type response struct {
	result json.RawMessage
	err    error
}

func (r response) decode(method string, result any) error {
	if r.err != nil || result == nil {
		return r.err
	}
	if err := json.Unmarshal(r.result, result); err != nil {
		return fmt.Errorf("decode answer of %s: %w", method, err)
	}
	return nil
}

// batch is messages that leave as one frame.
type batch struct {
	buf   []byte // '[' and the messages, with commas between them
	count int
	bytes int // of the messages alone
}

func (b *batch) add(message []byte) {
	if b.count == 0 {
		b.buf = append(b.buf[:0], '[')
	} else {
		b.buf = append(b.buf, ',')
	}
	b.buf = append(b.buf, message...)
	b.count++
	b.bytes += len(message)
}

func (b *batch) frame(array bool) []byte {
	if b.count == 1 && !array {
		return b.buf[1:]
	}
	b.buf = append(b.buf, ']')
	return b.buf
}

// Appender is implemented by parameters and results that write their own JSON.
type Appender interface {
	AppendJSON(b []byte) ([]byte, error)
}

func appendValue(b []byte, value any) ([]byte, error) {
	if a, ok := value.(Appender); ok {
		return a.AppendJSON(b)
	}
	encoded, err := json.Marshal(value)
	return append(b, encoded...), err
}

func appendCall(b []byte, id int64, method string, params any) ([]byte, error) {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = strconv.AppendInt(b, id, 10)
	return appendMethod(append(b, ','), method, params)
}

func appendNotification(b []byte, method string, params any) ([]byte, error) {
	return appendMethod(append(b, `{"jsonrpc":"2.0",`...), method, params)
}

func appendMethod(b []byte, method string, params any) ([]byte, error) {
	b = append(b, `"method":"`...)
	b = append(b, method...) // method names are ours: plain letters, dots and slashes
	b = append(b, '"')
	if params != nil {
		var err error
		if b, err = appendValue(append(b, `,"params":`...), params); err != nil {
			return b, err
		}
	}
	b = append(b, '}')
	if len(b) > MaxFrame {
		return b, fmt.Errorf("%d bytes are %w", len(b), ErrTooLarge)
	}
	return b, nil
}

func appendResult(b []byte, id json.RawMessage, result any) ([]byte, error) {
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"result":`...)
	if result == nil {
		return append(b, `{}}`...), nil
	}
	b, err := appendValue(b, result)
	if err != nil {
		return b, err
	}
	if b = append(b, '}'); len(b) > MaxFrame {
		return b, fmt.Errorf("the answer's %d bytes are %w: ask for less at once", len(b), ErrTooLarge)
	}
	return b, nil
}

func appendError(b []byte, id json.RawMessage, code int, text string) []byte {
	if id == nil {
		id = json.RawMessage("null")
	}
	encoded, err := json.Marshal(&Error{code, text})
	if err != nil {
		panic(err) // a number and a string can always be encoded
	}
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"error":`...)
	b = append(b, encoded...)
	return append(b, '}')
}

func appendCancel(b []byte, id int64) []byte {
	b = append(b, `{"jsonrpc":"2.0","method":"`+cancelMethod+`","params":{"id":`...)
	b = strconv.AppendInt(b, id, 10)
	return append(b, `}}`...)
}
