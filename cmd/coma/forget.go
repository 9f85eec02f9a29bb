package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func newForget() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "forget <agent>...",
		Short: "Remove all that is kept of agents",
		Long: `Forget removes what is kept of agents, for good: their memories, the messages that wait for their modules, dead
letters, and what the modules keep. Files of their projects are left alone: run again, an agent begins anew.

It asks first; without a terminal it needs --yes. An agent that runs is not forgotten, and a memory that coma.yaml has
at another backend stays there.`,
		Example: `  coma forget garden
  coma forget garden kitchen --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: complete(completeAgents),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := confirmed(cmd, yes, "Forget all of "+strings.Join(args, ", ")+" for good?"); err != nil {
				return err
			}
			var errs []error
			for _, agent := range args {
				err := onBackends(cmd.Context(), true, func(b api.Backend) error { return b.Forget(cmd.Context(), agent) })
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "forgot %s\n", console.Printable(agent))
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}

// completeAgents finds agents that have been run, or have a memory.
func completeAgents(ctx context.Context, dirs folders.Folders, backends []api.Backend) []string {
	agents := append(pastAgents(dirs), completeMemories(ctx, dirs, backends)...)
	slices.Sort(agents)
	return slices.Compact(agents)
}
