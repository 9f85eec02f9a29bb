package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

type sendOptions struct {
	lines   bool
	timeout time.Duration
}

func newSend() *cobra.Command {
	var opt sendOptions
	cmd := &cobra.Command{
		Use:   "send <agent>/<module> [text...]",
		Short: "Send a message to a module",
		Long: `Send puts a message into a module's mailbox: the words given, joined by spaces, or without words all of
standard input. It returns when the message has been accepted; a module that does not run finds it
when it starts. While the mailbox is full, send waits.

Inside a module, the message is the module's: modules of its own agent are named without the agent.`,
		Example: `  coma send garden/greeter hello there
  coma send garden/reader < book.txt
  tail -f sensor.log | coma send garden/sensor --lines`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeFirst(completeModules),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, ok, err := inside()
			if err != nil {
				return err
			}
			if ok {
				return c.asGuest(cmd.Context(), func(ctx context.Context, s api.Session) error {
					return send(ctx, s.Send, cmd.InOrStdin(), args[0], args[1:], opt)
				})
			}
			if _, _, err := address(args[0]); err != nil {
				return err
			}
			return onBackends(cmd.Context(), true, func(b api.Backend) error {
				return send(cmd.Context(), fromOutside(b), cmd.InOrStdin(), args[0], args[1:], opt)
			})
		},
	}
	cmd.Flags().BoolVar(&opt.lines, "lines", false, "send each line of standard input as a message of its own")
	cmd.Flags().DurationVar(&opt.timeout, "timeout", 30*time.Second, "how long to wait while the mailbox is full; 0 for as long as it takes")
	return cmd
}

// sender sends one message; see api.Session.Send.
type sender func(context.Context, api.Message) error

func fromOutside(b api.Backend) sender {
	return func(ctx context.Context, m api.Message) error { return b.Post(ctx, "cli", m) }
}

func send(ctx context.Context, by sender, in io.Reader, to string, words []string, opt sendOptions) error {
	if opt.lines {
		if len(words) > 0 {
			return usagef("--lines reads standard input: leave the text out")
		}
		return sendLines(ctx, by, in, to, opt.timeout)
	}
	text, err := textOf(in, words)
	if err != nil {
		return err
	}
	return post(ctx, by, to, text, opt.timeout)
}

// textOf is the words given, joined by spaces, or without words all of standard input.
func textOf(in io.Reader, words []string) (string, error) {
	if len(words) > 0 {
		return strings.Join(words, " "), nil
	}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintln(os.Stderr, "type the message; Ctrl-D ends it")
	}
	all, err := io.ReadAll(io.LimitReader(in, api.MaxMessageBytes+1))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return string(all), nil
}

func sendLines(ctx context.Context, by sender, in io.Reader, to string, timeout time.Duration) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, api.MaxMessageBytes)
	for sent := 0; scanner.Scan(); sent++ {
		if err := post(ctx, by, to, scanner.Text(), timeout); err != nil {
			if sent == 0 {
				return err // maybe another backend knows the module
			}
			return fmt.Errorf("line %d: %w (the lines before it were sent)", sent+1, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	return nil
}

func post(ctx context.Context, by sender, to, text string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := by(ctx, api.Message{ID: api.NewID(), To: to, Text: text})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("send to %s: not accepted within %s: its mailbox is full (see coma messages ls %s)", to, timeout, to)
	}
	return err
}
