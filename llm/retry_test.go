package llm

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetry(t *testing.T) {
	busy := reply(http.StatusServiceUnavailable, `{"error":{"message":"overloaded"}}`)
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	tests := []struct {
		name     string
		steps    []http.HandlerFunc
		requests int
		want     string          // text of the answer, or
		wantErr  string          // part of the error
		waits    []time.Duration // at least, and at most half as long again
	}{
		{"none needed", []http.HandlerFunc{whole("yes")}, 1, "yes", "", nil},
		{"busy twice", []http.HandlerFunc{busy, busy, whole("yes")}, 3, "yes", "",
			[]time.Duration{375 * time.Millisecond, 750 * time.Millisecond}},
		{"hung up on", []http.HandlerFunc{hangUp, whole("yes")}, 2, "yes", "", []time.Duration{375 * time.Millisecond}},
		{"seconds asked for", []http.HandlerFunc{reply(429, `{"error":"slow down"}`, "Retry-After", "7"), whole("yes")}, 2, "yes", "",
			[]time.Duration{7 * time.Second}},
		{"milliseconds asked for", []http.HandlerFunc{reply(429, `{}`, "Retry-After", "7", "Retry-After-Ms", "1500"), whole("yes")}, 2, "yes", "",
			[]time.Duration{1500 * time.Millisecond}},
		{"an hour asked for", []http.HandlerFunc{reply(429, `{"error":"slow down"}`, "Retry-After", "3600")}, 1, "", "slow down", nil},
		{"busy for good", []http.HandlerFunc{busy}, 4, "", "4 times: 503 Service Unavailable: overloaded",
			[]time.Duration{375 * time.Millisecond, 750 * time.Millisecond, 1500 * time.Millisecond}},
		{"nothing left to spend", []http.HandlerFunc{reply(429, `{"error":{"message":"quota","code":"insufficient_quota"}}`)}, 1, "", "nothing left to spend", nil},
		{"wrong key", []http.HandlerFunc{reply(401, `{"error":{"message":"bad key"}}`)}, 1, "", "check OPENAI_API_KEY", nil},
		{"not implemented", []http.HandlerFunc{reply(501, `{}`)}, 1, "", "501", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.steps...)
			c, waits := s.client(t)
			got, err := c.Chat(t.Context(), []Message{User("Well?")})
			if test.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("error is %v, want one with %q", err, test.wantErr)
			}
			if got.Text != test.want {
				t.Errorf("answer is %q, want %q", got.Text, test.want)
			}
			asked := s.requests()
			if len(asked) != test.requests {
				t.Fatalf("%d requests, want %d", len(asked), test.requests)
			}
			for _, body := range asked {
				if body != asked[0] {
					t.Errorf("a later try asks %s, the first %s", body, asked[0])
				}
			}
			if len(*waits) != len(test.waits) {
				t.Fatalf("waits are %v, want about %v", *waits, test.waits)
			}
			for i, wait := range *waits {
				if wait < test.waits[i] || wait > test.waits[i]*5/3 {
					t.Errorf("wait %d is %v, want %v to five thirds of it", i+1, wait, test.waits[i])
				}
			}
		})
	}
}

func TestStreamBreaks(t *testing.T) {
	tests := []struct {
		name     string
		steps    []http.HandlerFunc
		requests int
		want     string
		wantErr  string
	}{
		{"before the first piece", []http.HandlerFunc{cut(": wait\n\n"), stream(chunks("yes")+streamEnd, 9)}, 2, "yes", ""},
		{"after it", []http.HandlerFunc{cut(chunks("half an "))}, 1, "half an ", "unexpected EOF"},
		{"ended early", []http.HandlerFunc{stream(chunks("half an "), 1000)}, 1, "half an ", errCut.Error()},
		{"error within", []http.HandlerFunc{stream(chunks("half an ")+`data: {"error":{"message":"out of memory"}}`+"\n\n", 1000)}, 1, "half an ", "out of memory"},
		{"nonsense within", []http.HandlerFunc{stream(chunks("half an ")+"data: {\n\n", 1000)}, 1, "half an ", "read stream"},
		{"endless line", []http.HandlerFunc{stream("data: "+strings.Repeat("x", maxLine+1), 1<<20)}, 1, "", errTooLong.Error()},
		{"tool call out of order", []http.HandlerFunc{stream(`data: {"choices":[{"delta":{"tool_calls":[{"index":3}]}}]}`+"\n\n", 1000)}, 1, "", "tool calls"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, test.steps...)
			c, _ := s.client(t)
			got, err := c.Stream(t.Context(), nil, func(string) error { return nil })
			if test.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("error is %v, want one with %q", err, test.wantErr)
			}
			if got.Text != test.want || len(s.requests()) != test.requests {
				t.Errorf("answer %q after %d requests, want %q after %d", got.Text, len(s.requests()), test.want, test.requests)
			}
		})
	}
}

func TestAnswerIsBounded(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		block := strings.Repeat(" ", 1<<20)
		for range maxAnswer>>20 + 2 {
			if _, err := io.WriteString(w, block); err != nil {
				return // the client has had enough
			}
		}
	})
	c, _ := s.client(t)
	if _, err := c.Chat(t.Context(), nil); !errors.Is(err, errTooLong) {
		t.Errorf("error is %v", err)
	}
}

func TestNoWaitPastTheDeadline(t *testing.T) {
	s := serve(t, reply(429, `{"error":"slow down"}`, "Retry-After", "30"))
	c, waits := s.client(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := c.Chat(ctx, nil)
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Status != 429 || len(*waits) != 0 {
		t.Errorf("error is %v after waits of %v", err, *waits)
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String() + "/v1"
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := New(Config{BaseURL: url, Model: "m"})
	c.wait = func(context.Context, time.Duration) error { return nil }
	_, err = c.Chat(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "4 times") || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("error is %v", err)
	}
}

func TestBaseURLThatIsNone(t *testing.T) {
	for _, url := range []string{"localhost:11434/v1", "http://", "ftp://h/v1", ":", "http://a b/"} {
		_, err := New(Config{BaseURL: url, Model: "m"}).Chat(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), "OPENAI_BASE_URL must be like") {
			t.Errorf("%q: error is %v", url, err)
		}
	}
}
