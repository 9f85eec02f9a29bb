package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
)

// script is a session without a host: the module is sent one line after the other, each when it has answered the one
// before, so that the time is the module's own. What the session does not have, none of the modules asks for.
type script struct {
	api.Session
	lines    []string
	answered chan struct{} // holds one while the next line may be received
	end      context.CancelFunc
	answers  []string
	kept     map[string][]byte
}

func readScript(module string) ([]string, error) {
	text, err := os.ReadFile(path.Join(modulesDir, module, "script.txt"))
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), nil
}

// runScript runs a module from its first line to its end, and returns its answers.
func runScript(run coma.RunFunc, module string, lines []string) ([]string, error) {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	s := &script{lines: lines, answered: make(chan struct{}, 1), end: end, kept: map[string][]byte{}}
	s.answered <- struct{}{}
	dir := path.Join(modulesDir, module)
	if err := run(ctx, coma.NewAgent(s, dir, nil)); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	if len(s.answers) != len(lines) {
		return nil, fmt.Errorf("%d messages, %d answers", len(lines), len(s.answers))
	}
	return s.answers, nil
}

func (s *script) Identity() api.Identity {
	return api.Identity{Agent: "bench", Module: "m", Generation: 1}
}

func (s *script) Memory() api.Memory { return nil }

// Receive ends the module behind the last line.
func (s *script) Receive(ctx context.Context) (api.Message, error) {
	select {
	case <-s.answered:
	case <-ctx.Done():
		return api.Message{}, ctx.Err()
	}
	n := len(s.answers)
	if n == len(s.lines) {
		s.end()
		return api.Message{}, context.Canceled
	}
	return api.Message{From: "bench/out", To: "bench/m", Text: s.lines[n]}, nil
}

func (s *script) Send(_ context.Context, m api.Message) error {
	s.answers = append(s.answers, m.Text)
	s.answered <- struct{}{}
	return nil
}

func (s *script) Keep(_ context.Context, key string, value []byte) error {
	s.kept[key] = value
	return nil
}

func (s *script) Kept(_ context.Context, key string) ([]byte, bool, error) {
	value, ok := s.kept[key]
	return value, ok, nil
}

// fakeModel stands for a language model: it asks for the tools that the person's words name (tool:arguments), one after
// the other, and then says what they gave.
func fakeModel(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Messages []struct{ Role, Content string }
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var words, results []string
	for _, m := range ask.Messages {
		switch m.Role {
		case "user":
			words, results = strings.Fields(m.Content), nil
		case "tool":
			results = append(results, m.Content)
		}
	}
	message := map[string]any{"role": "assistant", "content": strings.Join(results, " | ")}
	if i := len(results); i < len(words) {
		if name, arguments, ok := strings.Cut(words[i], ":"); ok {
			message["tool_calls"] = []any{map[string]any{
				"id": fmt.Sprint("call-", i), "type": "function", "function": map[string]string{"name": name, "arguments": arguments},
			}}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"model": "fake", "choices": []any{map[string]any{"message": message}}}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(http.ErrAbortHandler) // the module has gone
	}
}
