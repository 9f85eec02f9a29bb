package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a server's refusal.
type Error struct {
	Status  int    // HTTP status; 200 for an error in the middle of an answer
	Message string // what the server says, at most some hundred characters, never with the key in it
	Code    string // the server's name for it, such as "model_not_found"; often ""
	Hint    string // what to do about it; "" where there is nothing to say

	retryAfter time.Duration // what the server asks for; 0 if nothing
}

// Error tells what the server says and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Status != http.StatusOK {
		fmt.Fprintf(&b, "%d %s: ", e.Status, http.StatusText(e.Status))
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

// unreachable is a failure on the way to the server or back: no connection, or one that broke.
type unreachable struct{ err error }

func (u *unreachable) Error() string { return u.err.Error() }
func (u *unreachable) Unwrap() error { return u.err }

// complaint reads the error that resp carries.
func (c *Client) complaint(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxComplaint))
	if err != nil && len(text) == 0 {
		text = []byte("its explanation could not be read: " + err.Error())
	}
	e := c.errorIn(text)
	if e == nil {
		e = &Error{Message: c.presentable(string(text))}
	}
	e.Status = resp.StatusCode
	e.retryAfter = retryAfter(resp.Header, time.Now())
	e.Hint = c.hint(e)
	return e
}

// errorIn returns the error that a JSON text holds, or nil if it is none. Servers shape it differently: {"error":
// {"message", "code"}} is OpenAI's, {"error": "text"} and {"detail": …} are others'; {"object": "error", "message"} was vLLM's.
func (c *Client) errorIn(text []byte) *Error {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Detail  json.RawMessage `json:"detail"`
		Object  string          `json:"object"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(text, &body) != nil {
		return nil // not JSON, or not of this shape: the caller knows what else it can be
	}
	e := &Error{Status: http.StatusOK}
	switch {
	case present(body.Error):
		var full struct {
			Message string `json:"message"`
			Code    any    `json:"code"`
			Type    string `json:"type"`
		}
		if json.Unmarshal(body.Error, &full) != nil || full.Message == "" {
			e.Message = unquoted(body.Error)
			break
		}
		e.Message, e.Code = full.Message, full.Type
		if code, ok := full.Code.(string); ok && code != "" {
			e.Code = code
		}
	case present(body.Detail):
		e.Message = unquoted(body.Detail)
	case body.Object == "error":
		e.Message = body.Message
	default:
		return nil
	}
	e.Message = c.presentable(e.Message)
	return e
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

// unquoted is a JSON string's text, and any other JSON as it stands.
func unquoted(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}

// presentable makes what a server wrote fit for one line of a log: short, and without the key, which some servers quote.
func (c *Client) presentable(text string) string {
	const most = 500
	const secret = 16 // bytes; a shorter key is a word like "none", for a server that wants some key
	if len(c.config.Key) >= secret {
		text = strings.ReplaceAll(text, c.config.Key, "[key]")
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if text == "" {
		return "no explanation"
	}
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}

// hint says what to do about e.
func (c *Client) hint(e *Error) string {
	switch {
	case e.Code == "insufficient_quota":
		return "the account behind OPENAI_API_KEY has nothing left to spend"
	case e.Code == "context_length_exceeded":
		return "send fewer or shorter messages"
	case e.Status == http.StatusUnauthorized && c.config.Key == "":
		return "set OPENAI_API_KEY"
	case e.Status == http.StatusUnauthorized:
		return "check OPENAI_API_KEY"
	case e.Status == http.StatusForbidden:
		return "the key does not permit this model or place"
	case e.Status == http.StatusNotFound:
		return "check COMA_MODEL (" + c.config.Model + "), and that OPENAI_BASE_URL ends where the API begins, usually /v1"
	case e.Status == http.StatusTooManyRequests:
		return "ask less often, or raise the limit of the account"
	case e.Status >= http.StatusInternalServerError:
		return "the server is in trouble; try again later"
	}
	return ""
}

// retryAfter is how long a server asks to wait: Retry-After in seconds or as a date (RFC 9110, 10.2.3), or OpenAI's
// retry-after-ms, which is finer. Zero where it does not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return duration(ms / 1000)
	}
	after := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(after, 64); err == nil {
		return duration(seconds)
	}
	if date, err := http.ParseTime(after); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// duration is so many seconds, kept between 0 and a day: what is not a number is 0.
func duration(seconds float64) time.Duration {
	const day = 24 * 60 * 60
	if !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, day) * float64(time.Second))
}
