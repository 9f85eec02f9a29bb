package jsonrpc

import (
	"context"
	"encoding/json"
)

// Answer answers one frame that has come by itself, as in the body of an HTTP request: a call or a batch of them, one after
// the other. The answer is nil where there is nothing to answer.
func Answer(ctx context.Context, handler Handler, frame []byte) []byte {
	messages, array, err := parse(frame, nil)
	if err != nil {
		return appendError(nil, nil, CodeParse, "parse error: "+err.Error())
	}
	var all batch
	for i := range messages {
		m := &messages[i]
		switch {
		case m.invalid != nil:
			all.add(appendError(nil, nil, CodeInvalidRequest, m.invalid.Error()))
		case m.isResponse():
			// Nobody has asked anything.
		case m.ID == nil:
			handler.Notify(m.Method, m.Params)
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
