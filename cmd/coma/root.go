package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// execute runs a command line and returns the exit code.
func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	var silent silentError
	if err != nil && !errors.As(err, &silent) {
		fmt.Fprintln(os.Stderr, "coma:", strings.TrimSpace(err.Error()))
	}
	return exitCode(err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "coma",
		Short: "Agents made of concurrent modules, edited while they live",
		Long: `coma runs agents that are made of many small modules. The modules run at the same time,
talk by messages and share one memory, and each can be edited while the agent lives.`,
		Example: `  coma new garden          make a project
  coma run garden          run it; edit its files, and modules reload
  coma send garden/greeter hello
  coma ps                  what runs`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddCommand(
		newRun(),
		newBackend(),
		newVersion(),
		&cobra.Command{Use: "exit-codes", Short: "What coma's exit codes mean", Long: exitCodesHelp},
	)
	asUsageErrors(root)
	return root
}

// asUsageErrors makes wrong arguments and unknown commands exit with the code for usage.
func asUsageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w (see %s --help)", err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		asUsageErrors(sub)
	}
}
