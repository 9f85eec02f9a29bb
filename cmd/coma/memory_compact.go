package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func newMemoryCompact() *cobra.Command {
	return &cobra.Command{
		Use:   "compact <agent>",
		Short: "Give the room of deleted records back to the disk",
		Long: `Compact writes an agent's memory anew without the room that deleted and changed records have left: the memory uses
that room again by itself, but its file does not become smaller. Modules can go on meanwhile.`,
		Example:           `  coma memory compact garden`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			return interruptibly(cmd.Context(), func(ctx context.Context) error {
				var before int64
				infos, err := allMemories(ctx, false)
				if err != nil {
					return err
				}
				for _, info := range infos {
					if info.Name == args[0] {
						before = info.Bytes
					}
				}
				var info api.MemoryInfo
				err = onBackends(ctx, true, func(b api.Backend) (err error) {
					info, err = b.CompactMemory(ctx, args[0])
					return err
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, was %s\n", args[0], size(info.Bytes), size(before))
				return nil
			})
		},
	}
}
