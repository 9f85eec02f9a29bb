package jsonrpc

import (
	"context"
	"encoding/json"
)

// maxAnswered is the size, in bytes, of the answers to one frame, after which no further call of it is answered.
const maxAnswered = 16 << 20

// Answer answers one frame that has come by itself, as in the body of an HTTP request: a call or a batch of them, one after
// the other, until ctx ends. The answer is nil where there is nothing to answer.
func Answer(ctx context.Context, handler Handler, frame []byte) []byte {
	messages, array, err := parse(frame, nil)
	if err != nil {
		return appendError(nil, nil, CodeParse, "parse error: "+err.Error())
	}
	var all batch
	for i := range messages {
		if ctx.Err() != nil {
			break // whoever asked has gone
		}
		m := &messages[i]
		switch {
		case m.invalid != nil:
			all.add(appendError(nil, nil, CodeInvalidRequest, m.invalid.Error()))
		case m.isResponse():
			// Nobody has asked anything.
		case m.ID == nil:
			handler.Notify(m.Method, m.Params)
		case all.bytes > maxAnswered:
			err := &Error{CodeInvalidRequest, "the answers before this one are long already: call it in a frame of its own"}
			all.add(encodeAnswer(nil, json.RawMessage(m.ID), nil, err))
		default:
			result, err := handler.Request(ctx, m.Method, m.Params)
			all.add(encodeAnswer(nil, json.RawMessage(m.ID), result, err))
		}
	}
	if all.count == 0 {
		return nil
	}
	return all.frame(array)
}
