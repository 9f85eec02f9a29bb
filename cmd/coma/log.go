package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func newLog() *cobra.Command {
	level := slog.LevelInfo
	cmd := &cobra.Command{
		Use:   "log [text...]",
		Short: "Write into the module's log",
		Long: `Log writes an entry into the module's log: the words given, joined by spaces, or without words each line of standard
input. (What a module writes to its standard output and error is in its log, too; this gives a level.)`,
		Example: `  coma log --level warn the soil is dry
  make 2>&1 | coma log --level debug`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				entry := func(text string) error {
					return s.Log(ctx, api.LogEntry{Time: time.Now(), Level: level.String(), Text: text})
				}
				if len(args) > 0 {
					return entry(strings.Join(args, " "))
				}
				return eachLine(cmd.InOrStdin(), entry)
			})
		},
	}
	cmd.Flags().TextVar(&level, "level", level, "debug, info, warn or error")
	return cmd
}

func eachLine(in io.Reader, do func(string) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, api.MaxMessageBytes)
	for lines.Scan() {
		if err := do(lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	return nil
}

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
