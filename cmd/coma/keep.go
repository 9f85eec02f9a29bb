package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func newKeep() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "keep <key> [value...]",
		Short: "Keep a small value for the module's later generations",
		Long: `Keep stores a value under a key, for this module alone: the words given, joined by spaces, or without words all of
standard input. It outlives reloads and restarts.`,
		Example: `  coma keep count 3
  coma keep --remove count`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove && len(args) > 1 {
				return usagef("--remove takes a key and no value")
			}
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				if remove {
					return s.Keep(ctx, args[0], nil)
				}
				value, err := words(cmd, args[1:])
				if err != nil {
					return err
				}
				return s.Keep(ctx, args[0], []byte(value))
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "forget the key and its value")
	return cmd
}

func newKept() *cobra.Command {
	var otherwise string
	cmd := &cobra.Command{
		Use:     "kept <key>",
		Short:   "Print a value that the module has kept",
		Long:    `Kept prints what "coma keep" has stored under a key, with a line end behind it. Where there is nothing it prints --default, or fails.`,
		Example: `  count=$(coma kept count --default 0)`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				value, ok, err := s.Kept(ctx, args[0])
				switch {
				case err != nil:
					return err
				case ok:
					otherwise = string(value)
				case !cmd.Flags().Changed("default"):
					return fmt.Errorf("kept %q: %w: nothing is kept under this key (--default says what to print then)", args[0], api.ErrNotFound)
				}
				_, err = io.WriteString(cmd.OutOrStdout(), otherwise+"\n")
				return err
			})
		},
	}
	cmd.Flags().StringVar(&otherwise, "default", "", "what to print where nothing is kept")
	return cmd
}
