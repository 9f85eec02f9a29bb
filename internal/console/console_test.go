package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

var crash = &module.Failure{Cause: "panic: no", Frames: []module.Frame{{File: "chat/chat.go", Line: 12, Column: 4, Function: "chat.Run"}}}

func logged(module, level, text string) supervisor.Event {
	return supervisor.Event{Agent: "a", Module: module, Kind: supervisor.Logged, Log: api.LogEntry{Level: level, Text: text}}
}

func printed(module, text string) supervisor.Event {
	return supervisor.Event{Agent: "a", Module: module, Kind: supervisor.Printed, Text: text}
}

func TestEventsAsText(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []supervisor.Event
		want   string
	}{
		{"a log line", []supervisor.Event{logged("chat", "INFO", "hello")}, "chat  │ hello\n"},
		{"a longer name", []supervisor.Event{logged("mood", "INFO", "x"), logged("speech", "INFO", "y")}, "mood  │ x\nspeech │ y\n"},
		{"several lines", []supervisor.Event{logged("chat", "WARN", "one\ntwo")}, "chat  │ warning: one\nchat  │ two\n"},
		{"terminal control is shown, not sent", []supervisor.Event{logged("chat", "INFO", "\x1b[31mred\a")}, `chat  │ \x1b[31mred\a` + "\n"},
		{"printed pieces stay together", []supervisor.Event{printed("chat", "he"), printed("chat", "llo\n")}, "hello\n"},
		{"a log line cuts a printed one", []supervisor.Event{printed("chat", "he"), logged("mood", "INFO", "x"), printed("chat", "llo\n")}, "he\nmood  │ x\nllo\n"},
		{"two printers do not mix", []supervisor.Event{printed("chat", "he"), printed("mood", "hm\n"), printed("chat", "llo\n")}, "he\nhm\nllo\n"},
		{"a failure is a block", []supervisor.Event{{Agent: "a", Module: "chat", Kind: supervisor.Failed, Err: crash, Delay: 2 * time.Second}},
			"chat  │ failed: panic: no\nchat  │   chat/chat.go:12:4: chat.Run\nchat  │ starts again in 2s\n"},
		{"a failure somewhere in a function", []supervisor.Event{{Agent: "a", Module: "chat", Kind: supervisor.Failed, Err: &module.Failure{Cause: "no\nand no", Frames: []module.Frame{{File: "chat/chat.go", Line: 13, Function: "chat.Run"}}}}},
			"chat  │ failed: no\nchat  │   and no\nchat  │   chat/chat.go:13: chat.Run\n"},
		{"bytes that are no text are shown", []supervisor.Event{logged("chat", "INFO", "a\xff\tb")}, `chat  │ a\xff` + "\tb\n"},
		{"code that does not load", []supervisor.Event{{Agent: "a", Module: "chat", Kind: supervisor.LoadFailed, Generation: 3, Err: &module.LoadError{Problems: []module.Problem{
			{File: "chat/chat.go", Line: 7, Column: 2, Message: "undefined: x", SourceLine: "\tx()"}}}}},
			"chat  │ does not load; generation 3 goes on\nchat  │   chat/chat.go:7:2: undefined: x\nchat  │       7 |  x()\nchat  │         |  ^\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			show := console.New(console.Options{Out: &out, In: strings.NewReader(""), Names: []string{"chat", "mood "}})
			for _, e := range c.events {
				show.Event(e)
			}
			if out.String() != c.want {
				t.Errorf("got\n%swant\n%s", out.String(), c.want)
			}
		})
	}
}

func TestColorsOnlyWhereWanted(t *testing.T) {
	for _, color := range []bool{true, false} {
		var out bytes.Buffer
		show := console.New(console.Options{Out: &out, In: strings.NewReader(""), Color: color})
		show.Event(logged("chat", "ERROR", "no"))
		if strings.Contains(out.String(), "\x1b[") != color {
			t.Errorf("color %v: %q", color, out.String())
		}
	}
}

func TestQuietShowsWhatGoesWrong(t *testing.T) {
	var out bytes.Buffer
	show := console.New(console.Options{Out: &out, In: strings.NewReader(""), Quiet: true})
	show.Say("not this")
	show.Event(logged("chat", "INFO", "nor this"))
	show.Event(supervisor.Event{Module: "chat", Kind: supervisor.Started})
	show.Event(printed("chat", "but this\n"))
	show.Event(logged("chat", "WARN", "and this"))
	show.Event(supervisor.Event{Module: "chat", Kind: supervisor.Failed, Err: errors.New("and that")})
	if got := out.String(); got != "but this\nchat │ warning: and this\nchat │ failed: and that\n" {
		t.Errorf("got\n%s", got)
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	var out bytes.Buffer
	show := console.New(console.Options{Out: &out, In: strings.NewReader(""), JSON: true})
	show.Say("not this")
	show.Event(logged("chat", "INFO", "two\nlines"))
	show.Event(supervisor.Event{Agent: "a", Module: "chat", Kind: supervisor.Failed, Err: crash, Delay: time.Second})
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	var first, second console.Line
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[1]), &second)); err != nil {
		t.Fatal(err)
	}
	if first.Text != "two\nlines" || first.Module != "chat" || first.Event != supervisor.Logged {
		t.Errorf("%+v", first)
	}
	if second.Failure == nil || second.Failure.Frames[0].Line != 12 || second.Delay != 1000 || second.Error == "" {
		t.Errorf("%+v", second)
	}
}

func TestOnePromptAtATime(t *testing.T) {
	in, typed := io.Pipe()
	var out bytes.Buffer
	show := console.New(console.Options{Out: &out, In: in})
	answers := make(chan string)
	ask := func(prompt string) {
		line, err := show.Input(context.Background(), "a", "m", prompt)
		if err != nil {
			line = err.Error()
		}
		answers <- prompt + line
	}
	go ask("x? ")
	go ask("y? ")
	for _, line := range []string{"one", "two"} {
		if _, err := io.WriteString(typed, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	got := []string{<-answers, <-answers}
	// Which of the two asks first is chance; each line answers one of them, in order.
	if !(got[0] == "x? one" && got[1] == "y? two" || got[0] == "y? one" && got[1] == "x? two") {
		t.Errorf("answers %q", got)
	}
	typed.Close()
	if _, err := show.Input(context.Background(), "a", "m", "? "); !errors.Is(err, api.ErrNoInput) {
		t.Errorf("after the end: %v", err)
	}
}

// pieces hands on what is written, piece by piece.
type pieces chan string

func (p pieces) Write(b []byte) (int, error) {
	p <- string(b)
	return len(b), nil
}

func TestAPromptIsShownAgainAfterALine(t *testing.T) {
	in, typed := io.Pipe()
	out := make(pieces, 100)
	show := console.New(console.Options{Out: out, In: in})
	answer := make(chan string)
	go func() {
		line, err := show.Input(context.Background(), "a", "m", "you: ")
		if err != nil {
			line = err.Error()
		}
		answer <- line
	}()
	if got := <-out; got != "you: " {
		t.Fatalf("got %q", got)
	}
	show.Event(logged("m", "INFO", "x"))
	if got := <-out; got != "\nm │ x\nyou: " {
		t.Errorf("got %q", got)
	}
	if _, err := io.WriteString(typed, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got != "hello" {
		t.Errorf("answer %q", got)
	}
	if got := <-out; got != "hello\n" { // nobody else has echoed it
		t.Errorf("got %q", got)
	}
}

func TestInputEndsWithItsContext(t *testing.T) {
	in, _ := io.Pipe()
	show := console.New(console.Options{Out: io.Discard, In: in})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := show.Input(ctx, "a", "m", "? "); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
