package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

type receiveOptions struct {
	timeout           time.Duration
	json, follow, now bool
}

func newReceive() *cobra.Command {
	var opt receiveOptions
	cmd := &cobra.Command{
		Use:   "receive",
		Short: "Wait for the module's next message and print it",
		Long: `Receive waits for the next message of the module that it runs in, and prints its text, with a line end behind it.
Each receive finishes with the message before, and so does the module's own end with exit code 0. A message that the
module dies of comes again, to whoever receives next; after the fifth death it goes to the dead letters.

It ends with 0 and a message; with 3 when there was none in time; with 4 when the module is asked to stop, or another
generation has taken its place. So this is a whole module, main.sh:

  while msg=$(coma receive); do
      coma send other "heard: $msg"
  done

With --follow it goes on, a message a line (where texts have line ends of their own, use --json too). Each message
counts as finished with when the next one is wanted, which is as soon as it has been written, not when whoever reads
the lines is done with it: in the loop above nothing is lost, with --follow what waits in the pipe may be.`,
		Example: `  msg=$(coma receive)
  coma receive --timeout 10s --json
  coma receive --follow | while read -r line; do echo "$line" >> heard.txt; done`,
		Args: func(cmd *cobra.Command, args []string) error {
			if _, ok, _ := inside(); ok {
				return cobra.NoArgs(cmd, args)
			}
			return errors.New("a mailbox has one reader, its module, and this is none: coma receive is for the programs of a module. " +
				"To see messages as they are sent: coma listen garden/greeter; those that wait: coma messages ls garden/greeter")
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := inside()
			if err != nil {
				return err
			}
			return receive(cmd.Context(), c, cmd.OutOrStdout(), opt)
		},
	}
	cmd.Flags().DurationVar(&opt.timeout, "timeout", 0, "how long to wait for a message; 0 for as long as it takes")
	cmd.Flags().BoolVar(&opt.now, "now", false, "do not wait: 3 if no message is there")
	cmd.Flags().BoolVarP(&opt.follow, "follow", "f", false, "go on: a message a line, until the module is asked to stop")
	jsonFlag(cmd, &opt.json)
	return cmd
}

func receive(ctx context.Context, c caller, out io.Writer, opt receiveOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	session, err := c.join(ctx, link.Continue)
	if err != nil {
		return received(ctx, err)
	}
	for more := true; more && err == nil; more = opt.follow {
		err = receiveOne(ctx, session, out, opt)
	}
	// The host is to know what was printed, also when it is away just now, and when this is asked to stop.
	patience := absence
	if ctx.Err() != nil {
		patience = time.Second
	}
	farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(received(ctx, err), received(ctx, session.Leave(farewell)))
}

func receiveOne(ctx context.Context, session *link.Session, out io.Writer, opt receiveOptions) error {
	wait := ctx
	if opt.timeout > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, opt.timeout)
		defer cancel()
	}
	ok, err := session.Deliver(wait, !opt.now, func(m api.Message) error {
		if opt.json {
			return jsonLine(out, messageJSON(m))
		}
		_, err := io.WriteString(out, m.Text+"\n")
		return err
	})
	if err == nil && !ok || ctx.Err() == nil && wait.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return codeError{exitTimeout, errors.New("no message in time")}
	}
	return err
}

// received gives an error of receiving the exit code that it has for scripts.
func received(ctx context.Context, err error) error {
	if err != nil && (ctx.Err() != nil || errors.Is(err, api.ErrReplaced) || errors.Is(err, api.ErrClosed)) {
		return codeError{exitStopped, err}
	}
	return err
}

// messageJSON is a message as a program reads it.
func messageJSON(m api.Message) any {
	line := struct {
		api.Message
		Text  *string `json:"text,omitempty"`
		Bytes []byte  `json:"base64,omitempty"` // instead of text, where that is not UTF-8
	}{Message: m}
	if utf8.ValidString(m.Text) {
		line.Text = &m.Text
	} else {
		line.Bytes = []byte(m.Text)
	}
	return line
}

func newPending() *cobra.Command {
	return &cobra.Command{
		Use:     "pending",
		Short:   "Print how many messages wait for the module",
		Long:    `Pending prints how many messages wait for the module, without the one in hand.`,
		Example: `  coma pending`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				n, err := s.Pending(ctx)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), n)
				}
				return err
			})
		},
	}
}
