package jsonrpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Error codes of JSON-RPC 2.0, section 5.1.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
)

const cancelMethod = "$/cancel"

// Error is an error of the far side.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
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
}

func (m *message) isResponse() bool { return m.Method == "" }

func (m *message) check() error {
	if m.Version != "2.0" {
		return fmt.Errorf("invalid request: \"jsonrpc\" is %q, not \"2.0\"", m.Version)
	}
	if m.Method == "" && m.Result == nil && m.Error == nil {
		return errors.New("invalid request: neither a method nor a result")
	}
	switch {
	case len(m.ID) == 0, bytes.Equal(m.ID, []byte("null")):
		m.ID = nil
	case m.ID[0] == '{', m.ID[0] == '[', m.ID[0] == 't', m.ID[0] == 'f', len(m.ID) > 128:
		return errors.New("invalid request: the id must be a string or a number")
	}
	return nil
}

// parse reads a frame: one message or a batch. The messages share the frame's memory.
func parse(frame []byte) ([]message, error) {
	trimmed := bytes.TrimLeft(frame, " \t\r\n")
	if len(trimmed) > 0 && trimmed[0] == '[' {
		var batch []message
		if err := json.Unmarshal(trimmed, &batch); err != nil {
			return nil, err
		}
		if len(batch) == 0 {
			return nil, errors.New("invalid request: an empty batch")
		}
		for i := range batch {
			if err := batch[i].check(); err != nil {
				return nil, err
			}
		}
		return batch, nil
	}
	single := make([]message, 1)
	if err := json.Unmarshal(trimmed, &single[0]); err != nil {
		return nil, err
	}
	return single, single[0].check()
}

type response struct {
	result json.RawMessage
	err    *Error
	lost   error
}

func (r response) decode(method string, result any) error {
	switch {
	case r.lost != nil:
		return r.lost
	case r.err != nil:
		return r.err
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(r.result, result); err != nil {
		return fmt.Errorf("decode answer of %s: %w", method, err)
	}
	return nil
}

// batch collects frames; frame returns them as one.
type batch struct {
	buf   []byte // '[' and the messages, with commas between them
	count int
}

func (b *batch) size() int { return len(b.buf) }

func (b *batch) add(frame []byte) {
	if b.count == 0 {
		b.buf = append(b.buf[:0], '[')
	} else {
		b.buf = append(b.buf, ',')
	}
	b.buf = append(b.buf, frame...)
	b.count++
}

func (b *batch) frame() []byte {
	if b.count == 1 {
		return b.buf[1:]
	}
	b.buf = append(b.buf, ']')
	return b.buf
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
		encoded, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		b = append(b, `,"params":`...)
		b = append(b, encoded...)
	}
	return append(b, '}'), nil
}

func appendResult(b []byte, id json.RawMessage, result any) ([]byte, error) {
	encoded := []byte("{}")
	if result != nil {
		var err error
		if encoded, err = json.Marshal(result); err != nil {
			return nil, err
		}
	}
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"result":`...)
	b = append(b, encoded...)
	return append(b, '}'), nil
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
