package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func newPrint() *cobra.Command {
	var bare bool
	cmd := &cobra.Command{
		Use:   "print [text...]",
		Short: "Show text to the person at the console",
		Long: `Print shows text to the person who runs the agent: the words given, joined by spaces, with a line end, or without
words all of standard input, as it is.`,
		Example: `  coma print hello there
  coma print -n "thinking ... "`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				text, err := words(cmd, args)
				if err != nil {
					return err
				}
				if len(args) > 0 && !bare {
					text += "\n"
				}
				return s.Print(ctx, text)
			})
		},
	}
	cmd.Flags().BoolVarP(&bare, "no-newline", "n", false, "no line end behind it")
	return cmd
}

func newInput() *cobra.Command {
	return &cobra.Command{
		Use:   "input [prompt...]",
		Short: "Ask the person at the console, and print the answer",
		Long: `Input asks the person who runs the agent for a line, and prints it. It fails where there is nobody to ask, or
nobody any more.`,
		Example: `  name=$(coma input "your name? ")`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				line, err := s.Input(ctx, strings.Join(args, " "))
				if err != nil {
					return err
				}
				_, err = io.WriteString(cmd.OutOrStdout(), line+"\n")
				return err
			})
		},
	}
}
