package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Bounds on what a server can make a module hold.
const (
	maxAnswer    = 16 << 20 // bytes of one answer, with its JSON
	maxComplaint = 64 << 10 // bytes of an error's body that are read
	maxToolCalls = 128      // in one answer, as OpenAI has it
)

// errCut means that the server stopped in the middle of its answer.
var errCut = errors.New("the server ended the answer before it was complete")

// attempt makes one request and reads its answer, calling onPiece (if it is not nil) with each piece of text.
func (c *Client) attempt(ctx context.Context, body []byte, onPiece func(string) error) (reply Reply, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.BaseURL+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return Reply{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.config.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.Key)
	}
	resp, err := c.config.HTTP.Do(req)
	if err != nil {
		return Reply{}, &unreachable{err}
	}
	defer func() {
		// Nothing is left to learn from Close: the answer was read, or the error of reading it is being returned.
		_ = resp.Body.Close()
	}()
	if resp.StatusCode != http.StatusOK {
		return Reply{}, c.complaint(resp)
	}
	// A server that does not stream answers with plain JSON, whatever was asked.
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if onPiece == nil || (err == nil && media == "application/json") {
		return c.readWhole(resp.Body, onPiece)
	}
	return c.readStream(resp.Body, onPiece)
}

func (c *Client) readWhole(body io.Reader, onPiece func(string) error) (Reply, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		return Reply{}, &unreachable{err}
	}
	if len(text) > maxAnswer {
		return Reply{}, fmt.Errorf("%w: over %d bytes", errTooLong, maxAnswer)
	}
	if serverErr := c.errorIn(text); serverErr != nil {
		return Reply{}, serverErr
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return Reply{}, fmt.Errorf("read answer of %s (does OPENAI_BASE_URL end where the API begins, usually /v1?): %w", c.shownURL(), err)
	}
	if len(a.Choices) == 0 {
		return Reply{}, fmt.Errorf("read answer of %s: it holds no choice", c.shownURL())
	}
	reply := Reply{Model: a.Model, FinishReason: a.Choices[0].FinishReason, Usage: Usage(a.Usage)}
	message := a.Choices[0].Message
	if message.Content != nil {
		reply.Text = *message.Content
	}
	for i, call := range message.ToolCalls {
		if i == maxToolCalls {
			return reply, fmt.Errorf("%w: over %d tool calls", errTooLong, maxToolCalls)
		}
		reply.ToolCalls = append(reply.ToolCalls, ToolCall{ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments})
	}
	if onPiece != nil && reply.Text != "" {
		if err := onPiece(reply.Text); err != nil {
			return reply, err
		}
	}
	return reply, nil
}

// readStream puts an answer together from its chunks. It ends at "[DONE]", or at the stream's end if a chunk had said
// why the answer ends.
func (c *Client) readStream(body io.Reader, onPiece func(string) error) (Reply, error) {
	var (
		reply  Reply
		text   strings.Builder
		stream = newEvents(body, maxAnswer)
	)
	finish := func(err error) (Reply, error) {
		reply.Text = text.String()
		return reply, err
	}
	for {
		data, err := stream.next()
		if errors.Is(err, io.EOF) {
			if reply.FinishReason == "" {
				return finish(&unreachable{errCut})
			}
			return finish(nil)
		}
		if errors.Is(err, errTooLong) {
			return finish(err)
		}
		if err != nil {
			return finish(&unreachable{err})
		}
		if string(data) == "[DONE]" {
			return finish(nil)
		}
		if serverErr := c.errorIn(data); serverErr != nil {
			return finish(serverErr)
		}
		var chunk answer
		if err := json.Unmarshal(data, &chunk); err != nil {
			return finish(fmt.Errorf("read stream of %s: %w", c.shownURL(), err))
		}
		piece, err := reply.add(chunk)
		if err != nil {
			return finish(err)
		}
		if piece == "" {
			continue
		}
		text.WriteString(piece)
		if err := onPiece(piece); err != nil {
			return finish(err)
		}
	}
}

// add takes over what chunk tells, apart from its piece of text, which is returned.
func (r *Reply) add(chunk answer) (piece string, err error) {
	if chunk.Model != "" {
		r.Model = chunk.Model
	}
	if usage := Usage(chunk.Usage); usage != (Usage{}) {
		r.Usage = usage
	}
	if len(chunk.Choices) == 0 {
		return "", nil // the chunk that carries the usage
	}
	choice := chunk.Choices[0]
	if choice.FinishReason != "" {
		r.FinishReason = choice.FinishReason
	}
	for _, part := range choice.Delta.ToolCalls {
		// A call's first part names it and later ones add to its arguments. Some servers give every call the index 0
		// and an ID of its own.
		i := part.Index
		if last := len(r.ToolCalls) - 1; last >= 0 && i <= last && part.ID != "" && r.ToolCalls[i].ID != part.ID {
			i = last + 1
		}
		if i < 0 || i > len(r.ToolCalls) || i >= maxToolCalls {
			return "", fmt.Errorf("read tool calls: part of call %d after %d calls", i, len(r.ToolCalls))
		}
		if i == len(r.ToolCalls) {
			r.ToolCalls = append(r.ToolCalls, ToolCall{ID: part.ID, Name: part.Function.Name})
		}
		r.ToolCalls[i].Arguments += part.Function.Arguments
	}
	if choice.Delta.Content == nil {
		return "", nil
	}
	return *choice.Delta.Content, nil
}
