package jsonrpc

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// echo answers with what it was asked.
type echo struct{ notified *[]string }

func (echo) Request(_ context.Context, method string, params json.RawMessage) (any, error) {
	if method == "fail" {
		return nil, &Error{1004, "no"}
	}
	return params, nil
}

func (e echo) Notify(method string, _ json.RawMessage) { *e.notified = append(*e.notified, method) }

func TestAnswer(t *testing.T) {
	for _, test := range []struct{ frame, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1}}`, `{"jsonrpc":"2.0","id":1,"result":{"x":1}}`},
		{`{"jsonrpc":"2.0","id":"b","method":"fail"}`, `{"jsonrpc":"2.0","id":"b","error":{"code":1004,"message":"no"}}`},
		{`{"jsonrpc":"2.0","method":"told"}`, ``},
		{`[{"jsonrpc":"2.0","method":"told"}]`, ``},
		{`[{"jsonrpc":"2.0","id":1,"method":"a","params":[]},{"jsonrpc":"2.0","method":"told"},7]`,
			`[{"jsonrpc":"2.0","id":1,"result":[]},{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request: `},
		{`[]`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600`},
		{`{"jsonrpc":"2.0","id":1,"result":{}}`, ``},
		{`{`, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700`},
		{``, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700`},
	} {
		var notified []string
		got := string(Answer(context.Background(), echo{&notified}, []byte(test.frame)))
		if got != test.want && (test.want == "" || !strings.HasPrefix(got, test.want)) {
			t.Errorf("%s: %s\nwant %s", test.frame, got, test.want)
		}
		if told := strings.Contains(test.frame, "told"); told != (len(notified) == 1) {
			t.Errorf("%s: notified of %q", test.frame, notified)
		}
	}
}

// A batch that asks for much again and again is not answered without end, and not when nobody waits for it any more.
func TestAnswerIsBounded(t *testing.T) {
	const calls = 40
	call := `{"jsonrpc":"2.0","id":1,"method":"a","params":["` + strings.Repeat("x", 1<<20) + `"]}`
	frame := []byte("[" + strings.Repeat(call+",", calls-1) + call + "]")
	var answers []struct{ Error *Error }
	if err := json.Unmarshal(Answer(t.Context(), echo{new([]string)}, frame), &answers); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, a := range answers {
		if a.Error != nil {
			refused++
		}
	}
	if len(answers) != calls || refused != calls-maxAnswered>>20 {
		t.Errorf("%d answers, of which %d refuse", len(answers), refused)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Answer(gone, echo{new([]string)}, frame); got != nil {
		t.Errorf("%d bytes for nobody", len(got))
	}
}

func FuzzAnswer(f *testing.F) {
	for _, frame := range []string{`{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1}}`, `[{"jsonrpc":"2.0","id":1,"method":"fail"},1]`, `[`, `{"id":{}}`, `[[]]`, "\xff", `null`} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		answer := Answer(context.Background(), echo{new([]string)}, frame)
		if answer != nil && !json.Valid(answer) {
			t.Errorf("%q: %s", frame, answer)
		}
		if !json.Valid(frame) && !strings.Contains(string(answer), "-32700") {
			t.Errorf("%q is not JSON: %s", frame, answer)
		}
	})
}
