package llm

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestErrors(t *testing.T) {
	tests := []struct {
		name   string
		key    string
		status int
		body   string
		want   string // of Error
		code   string
	}{
		{"OpenAI's shape", testKey, 404, `{"error":{"message":"The model does not exist","type":"invalid_request_error","code":"model_not_found"}}`,
			"404 Not Found: The model does not exist (check COMA_MODEL (m), and that OPENAI_BASE_URL ends where the API begins, usually /v1)", "model_not_found"},
		{"type alone", testKey, 400, `{"error":{"message":"no","type":"invalid_request_error","code":null}}`, "400 Bad Request: no", "invalid_request_error"},
		{"code is a number", testKey, 400, `{"error":{"message":"no","code":400}}`, "400 Bad Request: no", ""},
		{"text", testKey, 400, `{"error":"model is required"}`, "400 Bad Request: model is required", ""},
		{"another object", testKey, 400, `{"error":{"reason":"odd"}}`, `400 Bad Request: {"reason":"odd"}`, ""},
		{"detail", testKey, 422, `{"detail":[{"msg":"field required"}]}`, `422 Unprocessable Entity: [{"msg":"field required"}]`, ""},
		{"vLLM's old shape", testKey, 400, `{"object":"error","message":"too long","code":400}`, "400 Bad Request: too long", ""},
		{"a page", testKey, 403, "<html>\n<h1>Forbidden</h1>\n", "403 Forbidden: <html> <h1>Forbidden</h1> (the key does not permit this model or place)", ""},
		{"nothing", testKey, 400, "", "400 Bad Request: no explanation", ""},
		{"no key", "", 401, `{"error":"who are you"}`, "401 Unauthorized: who are you (set OPENAI_API_KEY)", ""},
		{"key quoted back", testKey, 401, `{"error":{"message":"Incorrect key ` + testKey + `."}}`, "401 Unauthorized: Incorrect key [key]. (check OPENAI_API_KEY)", ""},
		{"key quoted in a page", testKey, 401, "key " + testKey + " is wrong", "401 Unauthorized: key [key] is wrong (check OPENAI_API_KEY)", ""},
		{"too much said", testKey, 400, strings.Repeat("é", maxComplaint), "400 Bad Request: " + strings.Repeat("é", 500) + "…", ""},
		{"too long a conversation", testKey, 400, `{"error":{"message":"too long","code":"context_length_exceeded"}}`, "400 Bad Request: too long (send fewer or shorter messages)", "context_length_exceeded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, reply(test.status, test.body))
			c := New(Config{BaseURL: s.URL, Key: test.key, Model: "m"})
			_, err := c.Chat(t.Context(), []Message{User("?")})
			var refusal *Error
			if !errors.As(err, &refusal) {
				t.Fatalf("error is %v", err)
			}
			if got := refusal.Error(); got != test.want {
				t.Errorf("error is %s, want %s", got, test.want)
			}
			if refusal.Status != test.status || refusal.Code != test.code {
				t.Errorf("status %d, code %q; want %d, %q", refusal.Status, refusal.Code, test.status, test.code)
			}
			if strings.Contains(err.Error(), testKey) {
				t.Errorf("error tells the key: %v", err)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for body, want := range map[string]string{
		"<html>a page</html>":         "does OPENAI_BASE_URL end where the API begins",
		`{"choices":[]}`:              "no choice",
		`{"error":{"message":"bad"}}`: "bad",
	} {
		s := serve(t, reply(http.StatusOK, body))
		c, _ := s.client(t)
		if _, err := c.Chat(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one with %q", body, err, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	tests := []struct {
		after, ms string
		want      time.Duration
	}{
		{"", "", 0},
		{"2", "", 2 * time.Second},
		{"0.5", "", 500 * time.Millisecond},
		{"-3", "", 0},
		{"NaN", "", 0},
		{"1e99", "", 24 * time.Hour},
		{"soon", "", 0},
		{"Sat, 21 Nov 2026 07:00:30 GMT", "", 30 * time.Second},
		{"Sat, 21 Nov 2026 06:00:00 GMT", "", 0},
		{"2", "250", 250 * time.Millisecond},
	}
	for _, test := range tests {
		h := http.Header{}
		h.Set("Retry-After", test.after)
		h.Set("Retry-After-Ms", test.ms)
		if got := retryAfter(h, now); got != test.want {
			t.Errorf("%q, %q: %v, want %v", test.after, test.ms, got, test.want)
		}
	}
}
