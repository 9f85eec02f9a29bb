package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

type listenOptions struct {
	json, topic bool
	count       int
}

func newListen() *cobra.Command {
	var opt listenOptions
	cmd := &cobra.Command{
		Use:   "listen [pattern]",
		Short: "Show messages as they are sent",
		Long: `Listen shows messages as they are sent, until Ctrl-C: all messages to modules, or those to one agent
(garden) or module (garden/greeter), or whatever is published on the topics that an MQTT pattern
names (with +, # or more than one slash; --topic takes any word as a topic). It only looks: messages
reach their modules all the same. "listening" on standard error says that nothing is missed from
there on.`,
		Example: `  coma listen
  coma listen garden/greeter
  coma listen 'sensors/#' --json
  coma listen --topic -n 1 sensors/light`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFirst(completeModules),
		RunE: func(cmd *cobra.Command, args []string) error {
			pattern := messages + "#"
			if len(args) > 0 {
				pattern = topicPattern(args[0], opt.topic)
			}
			color := console.ColorWanted(os.Stdout)
			return listen(cmd.Context(), pattern, opt, &heardLines{
				out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr(), json: opt.json, color: color, left: opt.count,
			})
		},
	}
	jsonFlag(cmd, &opt.json)
	cmd.Flags().BoolVar(&opt.topic, "topic", false, "the pattern is an MQTT topic, whatever it looks like")
	cmd.Flags().IntVarP(&opt.count, "count", "n", 0, "end after so many")
	return cmd
}

// topicPattern is the MQTT pattern for what a user has named.
func topicPattern(text string, topic bool) string {
	switch {
	case topic || strings.ContainsAny(text, "+#") || strings.Count(text, "/") > 1:
		return text
	case strings.Contains(text, "/"):
		agent, module, _ := strings.Cut(text, "/")
		return api.MessageTopic(agent, module)
	}
	return api.MessageTopic(text, "#")
}

// listen shows what all backends of the user hear, until Ctrl-C, enough, or the last of them has gone.
func listen(ctx context.Context, pattern string, opt listenOptions, lines *heardLines) error {
	dirs, err := folders.FromEnv()
	if err != nil {
		return err
	}
	found, err := backend.Running(ctx, dirs)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("no backend runs, so nothing can be heard: start an agent with \"coma run <project>\", or a backend with \"coma backend start\"")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	lines.enough = enough

	var silent atomic.Int32 // backends that have not said yet that they listen
	silent.Store(int32(len(found)))
	errs := make([]error, len(found))
	var ended sync.WaitGroup
	for i, f := range found {
		listens := sync.OnceFunc(func() {
			if silent.Add(-1) == 0 {
				fmt.Fprintln(lines.notes, "listening")
			}
		})
		ended.Go(func() {
			defer f.Close()
			errs[i] = f.Listen(ctx, pattern, func(h api.Heard) {
				if h.Topic == "" { // it only says that the listening has begun
					listens()
					return
				}
				lines.show(h)
			})
		})
	}
	ended.Wait()
	if ctx.Err() != nil {
		return lines.err
	}
	if err := errors.Join(errs...); err != nil && !errors.Is(err, api.ErrClosed) {
		return err
	}
	return errors.New("the backend has gone: there is nothing more to hear")
}

// heardLines shows what is heard, a line each. It is safe for concurrent use.
type heardLines struct {
	out, notes  io.Writer
	json, color bool
	enough      func()

	mu   sync.Mutex
	left int // how many more to show, if that was limited; 0: no limit
	err  error
	done bool
}

func (l *heardLines) show(h api.Heard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return
	}
	if h.Missed > 0 && !l.json {
		fmt.Fprintf(l.notes, "missed %d: they came faster than they could be shown\n", h.Missed)
	}
	if l.json {
		l.err = jsonLine(l.out, heardJSON(h))
	} else {
		_, l.err = io.WriteString(l.out, l.line(h)+"\n")
	}
	if l.left > 0 {
		l.left--
		l.done = l.left == 0
	}
	if l.done = l.done || l.err != nil; l.done {
		l.enough()
	}
}

// line is "15:04:05.000 from → agent/module  text", or with the topic for what is no message to a module.
func (l *heardLines) line(h api.Heard) string {
	paint := func(style, text string) string {
		if !l.color {
			return text
		}
		return "\x1b[" + style + "m" + text + "\x1b[0m"
	}
	from := h.From
	if from == "" {
		from = "?"
	}
	where := paint("36", console.Printable(h.Topic))
	if to, ok := recipient(h.Topic); ok {
		where = paint("36", console.Printable(from)) + paint("2", " → ") + paint("35", console.Printable(to))
	}
	note := ""
	if h.Retain {
		note = paint("2", " (retained)")
	}
	return paint("2", h.Time.Local().Format("15:04:05.000")) + " " + where + note + "  " + console.Printable(string(h.Payload))
}

// messages is what the topics of messages to modules begin with: see api.MessageTopic.
const messages = "concurrent_modular_agent/message/"

func recipient(topic string) (string, bool) {
	return strings.CutPrefix(topic, messages)
}

// heardJSON is what is heard as a program reads it.
func heardJSON(h api.Heard) any {
	line := struct {
		Time   time.Time `json:"time"`
		Topic  string    `json:"topic"`
		From   string    `json:"from,omitempty"`
		To     string    `json:"to,omitempty"`
		Text   *string   `json:"text,omitempty"`
		Bytes  []byte    `json:"base64,omitempty"` // instead of text, where that is not UTF-8
		Retain bool      `json:"retain,omitempty"`
		Missed int       `json:"missed,omitempty"`
	}{Time: h.Time, Topic: h.Topic, From: h.From, Retain: h.Retain, Missed: h.Missed}
	line.To, _ = recipient(h.Topic)
	if text := string(h.Payload); utf8.ValidString(text) {
		line.Text = &text
	} else {
		line.Bytes = h.Payload
	}
	return line
}
