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
when it starts. While the mailbox is full, send waits.`,
		Example: `  coma send garden/greeter hello there
  coma send garden/reader < book.txt
  tail -f sensor.log | coma send garden/sensor --lines`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeFirst(completeModules),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := address(args[0]); err != nil {
				return err
			}
			return onBackends(cmd.Context(), true, func(b api.Backend) error {
				return send(cmd.Context(), b, cmd.InOrStdin(), args[0], args[1:], opt)
			})
		},
	}
	cmd.Flags().BoolVar(&opt.lines, "lines", false, "send each line of standard input as a message of its own")
	cmd.Flags().DurationVar(&opt.timeout, "timeout", 30*time.Second, "how long to wait while the mailbox is full; 0 for as long as it takes")
	return cmd
}

func send(ctx context.Context, b api.Backend, in io.Reader, to string, words []string, opt sendOptions) error {
	if opt.lines {
		if len(words) > 0 {
			return usagef("--lines reads standard input: leave the text out")
		}
		return sendLines(ctx, b, in, to, opt.timeout)
	}
	text := strings.Join(words, " ")
	if len(words) == 0 {
		if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			fmt.Fprintln(os.Stderr, "type the message; Ctrl-D ends it")
		}
		all, err := io.ReadAll(io.LimitReader(in, api.MaxMessageBytes+1))
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		text = string(all)
	}
	return post(ctx, b, to, text, opt.timeout)
}

func sendLines(ctx context.Context, b api.Backend, in io.Reader, to string, timeout time.Duration) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, api.MaxMessageBytes)
	for sent := 0; scanner.Scan(); sent++ {
		if err := post(ctx, b, to, scanner.Text(), timeout); err != nil {
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

func post(ctx context.Context, b api.Backend, to, text string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := b.Post(ctx, "cli", api.Message{ID: api.NewID(), To: to, Text: text})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("send to %s: not accepted within %s: its mailbox is full (see coma messages ls %s)", to, timeout, to)
	}
	return err
}
