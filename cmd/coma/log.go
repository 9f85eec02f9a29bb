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
