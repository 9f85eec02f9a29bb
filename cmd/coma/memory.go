package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func newMemory() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "memory",
		Short: "Look into memories, back them up, restore and remove them",
		Long: `Each agent has one memory, which outlives its runs. These commands work on it whether the agent, or any
backend, runs or not.`,
		Example: `  coma memory ls
  coma memory query garden "what did the rose say"
  coma memory backup garden garden.jsonl.gz`,
	})
	cmd.AddCommand(newMemoryLs(), newMemoryShow(), newMemoryQuery(), newMemoryBackup(), newMemoryRestore(), newMemoryRm())
	return cmd
}

func newMemoryLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List memories",
		Long:  `Ls lists all memories: records, size on disk, embedder, oldest and newest record, and what is wrong with one.`,
		Example: `  coma memory ls
  coma memory ls --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return memoryLs(cmd.Context(), cmd.OutOrStdout(), asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func memoryLs(ctx context.Context, out io.Writer, asJSON bool) error {
	infos, err := allMemories(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, infos)
	}
	t := newTable(out, "MEMORY", "RECORDS", "SIZE", "EMBEDDER", "OLDEST", "NEWEST", "PROBLEM")
	for _, info := range infos {
		t.row(info.Name, info.Records, size(info.Bytes), info.Embedder, clock(info.Oldest), clock(info.Newest), info.Problem)
	}
	return t.flush()
}

// allMemories asks all backends: of a memory that one has open, the others only know that it is in use.
func allMemories(ctx context.Context) ([]api.MemoryInfo, error) {
	dirs, err := folders.FromEnv()
	if err != nil {
		return nil, err
	}
	found, err := backend.Running(ctx, dirs)
	if err != nil {
		return nil, err
	}
	known := map[string]api.MemoryInfo{}
	add := func(infos []api.MemoryInfo) {
		for _, info := range infos {
			if old, ok := known[info.Name]; !ok || old.Problem != "" {
				known[info.Name] = info
			}
		}
	}
	for _, f := range found {
		infos, askErr := f.Memories(ctx, false)
		f.Close()
		if !errors.Is(askErr, api.ErrClosed) { // closed: it has just ended
			err = errors.Join(err, askErr)
		}
		add(infos)
	}
	if len(found) == 0 {
		err = onBackends(ctx, true, func(b api.Backend) error {
			infos, err := b.Memories(ctx, false)
			add(infos)
			return err
		})
	}
	sorted := slices.SortedFunc(maps.Values(known), func(x, y api.MemoryInfo) int { return cmp.Compare(x.Name, y.Name) })
	return append([]api.MemoryInfo{}, sorted...), err
}

// withMemory calls do with an agent's memory.
func withMemory(ctx context.Context, agent string, do func(api.Memory) error) error {
	return onBackends(ctx, true, func(b api.Backend) error {
		memory, err := b.OpenMemory(ctx, agent)
		if err != nil {
			return err
		}
		return do(memory)
	})
}

func newMemoryShow() *cobra.Command {
	var asJSON, oldest bool
	var n int
	cmd := &cobra.Command{
		Use:   "show <agent>",
		Short: "Show an agent's newest records",
		Long:  `Show shows the newest records of an agent's memory, newest first, or with --oldest the oldest, oldest first.`,
		Example: `  coma memory show garden -n 5
  coma memory show garden --oldest --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 {
				return usagef("-n %d: want 0 (all) or more", n)
			}
			var records []api.Record
			err := withMemory(cmd.Context(), args[0], func(m api.Memory) (err error) {
				records, err = m.Get(cmd.Context(), api.Selection{Limit: n, Oldest: oldest})
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), append([]api.Record{}, records...))
			}
			for _, r := range records {
				fmt.Fprintln(cmd.OutOrStdout(), recordLine(r))
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVarP(&n, "number", "n", 20, "how many; 0 for all")
	cmd.Flags().BoolVar(&oldest, "oldest", false, "begin with the oldest")
	return cmd
}

func newMemoryQuery() *cobra.Command {
	var asJSON bool
	var n int
	cmd := &cobra.Command{
		Use:   "query <agent> <text...>",
		Short: "Find the records nearest to a text",
		Long:  `Query shows the records of an agent's memory that are nearest to a text, nearest first, each with its distance.`,
		Example: `  coma memory query garden what did the rose say
  coma memory query garden rain -n 3 --json`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 {
				return usagef("-n %d: want 1 or more", n)
			}
			var matches []api.Match
			err := withMemory(cmd.Context(), args[0], func(m api.Memory) (err error) {
				matches, err = m.Query(cmd.Context(), api.Query{Text: strings.Join(args[1:], " "), K: n})
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), append([]api.Match{}, matches...))
			}
			for _, m := range matches {
				fmt.Fprintf(cmd.OutOrStdout(), "%.3f  %s\n", m.Distance, recordLine(m.Record))
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVarP(&n, "number", "n", 10, "how many")
	return cmd
}

func recordLine(r api.Record) string {
	line := r.Time.Local().Format("2006-01-02 15:04:05") + "  " + console.Printable(r.Text)
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		line += "  " + console.Printable(fmt.Sprintf("%s=%v", key, r.Metadata[key]))
	}
	return line
}

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
memory of an agent that runs is not removed.`,
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
