package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/console"
)

func newMemoryBackup() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup <agent> <file>",
		Short: "Write an agent's memory to a file",
		Long: `Backup writes all of an agent's memory to a file whose name ends in .jsonl.gz (compact) or .json (one
document). The file is whole or not there; one that exists is only replaced with --force.`,
		Example: `  coma memory backup garden garden.jsonl.gz
  coma memory backup garden garden.json --force`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeFirstThenFiles(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[1]) // the backend's own folder is another one
			if err != nil {
				return err
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !force {
				return usagef("%s exists: give another name, or --force to replace it", args[1])
			}
			var info api.MemoryInfo
			err = onBackends(cmd.Context(), true, func(b api.Backend) (err error) {
				info, err = b.BackupMemory(cmd.Context(), args[0], path)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s of %s written to %s\n", plural(info.Records, "record"), args[0], args[1])
			return nil
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace the file if it exists")
	return cmd
}

func newMemoryRestore() *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "restore <agent> <file>",
		Short: "Read a backup into an agent's memory",
		Long: `Restore reads a backup into an agent's memory, which is made if there is none and must be empty; with
--replace it takes the place of what is there. A damaged backup changes nothing.`,
		Example: `  coma memory restore garden garden.jsonl.gz
  coma memory restore copy garden.json --replace`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeFirstThenFiles(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			var info api.MemoryInfo
			err = onBackends(cmd.Context(), true, func(b api.Backend) (err error) {
				info, err = b.RestoreMemory(cmd.Context(), args[0], path, replace)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s read into %s\n", plural(info.Records, "record"), args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "forget what is there first")
	return cmd
}

func newMemoryRm() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "rm <agent>...",
		Short: "Remove memories",
		Long: `Rm removes memories for good, damaged ones too. It asks first; without a terminal it needs --yes. The
memory of an agent that runs is not removed. Messages that wait, and what modules keep, stay: "coma forget"
removes those, too.`,
		Example: `  coma memory rm garden
  coma memory rm garden kitchen --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: complete(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			question := "Remove the memory of " + args[0] + " for good?"
			if len(args) > 1 {
				question = "Remove the memories of " + strings.Join(args, ", ") + " for good?"
			}
			if err := confirmed(cmd, yes, question); err != nil {
				return err
			}
			var errs []error
			for _, agent := range args {
				err := onBackends(cmd.Context(), true, func(b api.Backend) error { return b.RemoveMemory(cmd.Context(), agent) })
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "removed the memory of %s\n", console.Printable(agent))
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}
