package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func newMemory() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "memory",
		Short: "Look into memories, back them up, carry records in and out, remove them",
		Long: `Each agent has one memory, which outlives its runs. These commands work on it whether the agent, or any
backend, runs or not. Inside a module they are about the memory of its own agent, which is not named then.`,
		Example: `  coma memory ls
  coma memory query garden "what did the rose say"
  coma memory backup garden garden.jsonl.gz
  coma memory import garden http://localhost:8001/collection`,
	})
	cmd.AddCommand(newMemoryLs(), newMemoryRm())
	for _, sub := range []*cobra.Command{newMemoryAdd(), newMemoryShow(), newMemoryQuery(), newMemoryCount(), newMemoryUpdate(), newMemoryDelete(), newMemoryBackup(), newMemoryRestore(),
		newMemoryExport(), newMemoryImport(), newMemoryReembed(), newMemoryCompact()} {
		cmd.AddCommand(ofAgent(sub))
	}
	return cmd
}

func newMemoryLs() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List memories",
		Long: `Ls lists the memories of all agents: records, size on disk, embedder, oldest and newest record, and what is wrong
with one. With --all it lists the other collections, too, that Chroma clients have made.`,
		Example: `  coma memory ls
  coma memory ls --all --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return memoryLs(cmd.Context(), cmd.OutOrStdout(), all, asJSON)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list the collections that are no agent's, too")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func memoryLs(ctx context.Context, out io.Writer, all, asJSON bool) error {
	infos, err := allMemories(ctx, all)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, infos)
	}
	columns := []any{"MEMORY", "RECORDS", "SIZE", "EMBEDDER", "OLDEST", "NEWEST", "PROBLEM"}
	if all {
		columns = append([]any{"OF"}, columns...)
	}
	t := newTable(out, columns...)
	for _, info := range infos {
		cells := []any{info.Name, info.Records, size(info.Bytes), info.Embedder, clock(info.Oldest), clock(info.Newest), info.Problem}
		if all {
			of := "agent"
			if info.Collection != "" {
				of = "Chroma client"
			}
			cells = append([]any{of}, cells...)
		}
		t.row(cells...)
	}
	return t.flush()
}

// allMemories asks all backends: of a memory that one has open, the others only know that it is in use.
func allMemories(ctx context.Context, all bool) ([]api.MemoryInfo, error) {
	dirs, err := folders.FromEnv()
	if err != nil {
		return nil, err
	}
	found, err := backend.Running(ctx, dirs)
	if err != nil {
		return nil, err
	}
	type key struct{ name, collection string } // an agent and a collection can have the same name
	known := map[key]api.MemoryInfo{}
	add := func(infos []api.MemoryInfo) {
		for _, info := range infos {
			of := key{info.Name, info.Collection}
			if old, ok := known[of]; !ok || old.Problem != "" {
				known[of] = info
			}
		}
	}
	for _, f := range found {
		infos, askErr := f.Memories(ctx, all)
		f.Close()
		if !errors.Is(askErr, api.ErrClosed) { // closed: it has just ended
			err = errors.Join(err, askErr)
		}
		add(infos)
	}
	if len(found) == 0 {
		err = onBackends(ctx, true, func(b api.Backend) error {
			infos, err := b.Memories(ctx, all)
			add(infos)
			return err
		})
	}
	sorted := slices.SortedFunc(maps.Values(known), func(x, y api.MemoryInfo) int {
		return cmp.Or(cmp.Compare(min(len(x.Collection), 1), min(len(y.Collection), 1)), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Collection, y.Collection))
	})
	return append([]api.MemoryInfo{}, sorted...), err
}

// withMemory calls do with an agent's memory.
func withMemory(ctx context.Context, agent string, do func(api.Memory) error) error {
	if c, ok, err := inside(); err != nil {
		return err
	} else if ok && c.Agent == agent {
		return c.asGuest(ctx, func(_ context.Context, s api.Session) error { return do(s.Memory()) })
	}
	return onBackends(ctx, true, func(b api.Backend) error {
		memory, err := b.OpenMemory(ctx, agent)
		if err != nil {
			return err
		}
		return errors.Join(do(memory), memory.Close())
	})
}
