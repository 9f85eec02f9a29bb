package differential

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/comatest"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/cache"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/fusion"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/parser"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/planner"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/ratelimit"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/retry"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/scheduler"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/statemachine"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/toolloop"
	"github.com/concurrent-modular-agent/coma/internal/differential/testdata/modules/webservice"
	"github.com/concurrent-modular-agent/coma/internal/module"
)

// modules are whole modules. Each answers every message with one to "out"; script.txt beside it has what it is sent, a
// line each. The tests link them, which is the compiled run; the interpreted one loads the folder.
var modules = map[string]coma.RunFunc{
	"cache":        cache.Run,
	"fusion":       fusion.Run,
	"parser":       parser.Run,
	"planner":      planner.Run,
	"ratelimit":    ratelimit.Run,
	"retry":        retry.Run,
	"scheduler":    scheduler.Run,
	"statemachine": statemachine.Run,
	"toolloop":     toolloop.Run,
	"webservice":   webservice.Run,
}

const (
	modulesDir  = "testdata/modules"
	modulesPath = "github.com/concurrent-modular-agent/coma/internal/differential/" + modulesDir // %T of a generic type tells it
)

func TestModulesSayTheSame(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(fakeModel))
	defer model.Close()
	t.Setenv("OPENAI_BASE_URL", model.URL+"/v1")
	t.Setenv("COMA_MODEL", "fake")
	for name, compiled := range modules {
		t.Run(name, func(t *testing.T) {
			script := readScript(t, name)
			want := transcript(t, name, compiled, script)
			loaded := loadModule(t, name)
			got := transcript(t, name, loaded.Run, script)
			if got != want {
				t.Errorf("interpreted:\n%s\ncompiled:\n%s", got, want)
			}
			t.Log(want)
		})
	}
}

func readScript(t *testing.T, name string) (lines []string) {
	t.Helper()
	file, err := os.Open(filepath.Join(modulesDir, name, "script.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() // only read
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil || len(lines) == 0 {
		t.Fatalf("script of %d lines: %v", len(lines), err)
	}
	return lines
}

// transcript is what a module is sent and what it answers.
func transcript(t *testing.T, name string, run coma.RunFunc, script []string) string {
	t.Helper()
	var b strings.Builder
	t.Run("", func(t *testing.T) { // a test of its own, at whose end the module has ended, too
		host := comatest.Start(t, "out")
		host.Run(t, name, run)
		for _, line := range script {
			host.Send(name, line)
			answer := host.Receive("out", patience)
			if answer.Text == "" {
				t.Errorf("%q is answered by nothing", line)
			}
			fmt.Fprintf(&b, "> %s\n%s\n", line, answer.Text)
		}
		if printed := host.Printed(); printed != "" {
			fmt.Fprintf(&b, "printed: %s\n", printed)
		}
	})
	return b.String()
}

// loadModule loads a module's folder into the interpreter.
func loadModule(t *testing.T, name string) *module.Program {
	t.Helper()
	project, err := filepath.Abs(modulesDir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(project, name, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := module.Load(ctx, module.Source{
		Name: name, Dir: filepath.Join(project, name), GoFiles: files, ProjectDir: project, ModulePath: modulesPath,
	}, &output{t: t})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// output is where a loaded module prints to: the test's log, while there is one.
type output struct {
	mu sync.Mutex
	t  *testing.T
}

func (o *output) Line(stream, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.t.Logf("%s: %s", stream, text)
}

// fakeModel answers as a chat server does: it asks for the tools that the last words of the person name, one round for
// each, and at the end says what they gave.
func fakeModel(w http.ResponseWriter, r *http.Request) {
	type call struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	}
	var ask struct {
		Messages []struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		} `json:"messages"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var words []string
	var results []string
	for _, m := range ask.Messages {
		switch m.Role {
		case "user":
			words, results = strings.Fields(m.Content), nil
		case "tool":
			results = append(results, m.Content)
		}
	}
	message := map[string]any{"role": "assistant"}
	finish := "stop"
	if i := len(results); i < len(words) && strings.Contains(words[i], ":") {
		name, arguments, _ := strings.Cut(words[i], ":")
		c := call{ID: fmt.Sprint("call-", i), Type: "function"}
		c.Function.Name, c.Function.Arguments = name, arguments
		message["tool_calls"], message["content"], finish = []call{c}, nil, "tool_calls"
	} else {
		message["content"] = fmt.Sprintf("%d results: %s", len(results), strings.Join(results, " | "))
	}
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"model": "fake", "choices": []any{map[string]any{"message": message, "finish_reason": finish}}}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(http.ErrAbortHandler) // the module is gone
	}
}
