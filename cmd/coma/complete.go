package main

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// completionPatience bounds how long a Tab key waits for backends.
const completionPatience = 500 * time.Millisecond

// names finds what a word can be completed to; what goes wrong is not told to somebody who has pressed Tab.
type names func(ctx context.Context, dirs folders.Folders, backends []api.Backend) []string

// complete offers names for every argument: of the backends that run, or, where none does, of the stores on disk.
func complete(find names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
		defer cancel()
		dirs, err := folders.FromEnv()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := backend.Running(ctx, dirs)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var backends []api.Backend
		for _, f := range found {
			defer f.Close()
			backends = append(backends, f.Client)
		}
		if len(found) == 0 {
			stores, err := backend.Open(backend.Options{Folders: dirs, Offline: true, Version: version(), Embedder: os.Getenv(embed.Variable)})
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			defer stores.Close()
			backends = append(backends, stores)
		}
		fitting := slices.DeleteFunc(find(ctx, dirs, backends), func(name string) bool {
			return !strings.HasPrefix(name, word) || slices.Contains(args, name)
		})
		slices.Sort(fitting)
		return slices.Compact(fitting), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFirst offers names for the first argument, and nothing for the others.
func completeFirst(find names) cobra.CompletionFunc {
	first := complete(find)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return first(cmd, args, word)
	}
}

// completeFirstThenFiles offers names for the first argument, and files after it.
func completeFirstThenFiles(find names) cobra.CompletionFunc {
	first := complete(find)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return first(cmd, args, word)
	}
}

// completeModules finds agent/module of agents that run or have run.
func completeModules(ctx context.Context, dirs folders.Folders, backends []api.Backend) (modules []string) {
	for _, b := range backends {
		agents, err := b.Agents(ctx)
		if err != nil {
			continue
		}
		for _, a := range agents {
			for _, m := range a.Modules {
				modules = append(modules, a.Agent+"/"+m.Module)
			}
		}
		for _, name := range pastAgents(dirs) {
			boxes, err := b.Mailboxes(ctx, name)
			if err != nil {
				continue
			}
			for _, box := range boxes {
				modules = append(modules, name+"/"+box.Module)
			}
		}
	}
	return modules
}

// completeMemories finds the memories.
func completeMemories(ctx context.Context, _ folders.Folders, backends []api.Backend) (memories []string) {
	for _, b := range backends {
		infos, err := b.Memories(ctx, false)
		if err != nil {
			continue
		}
		for _, info := range infos {
			memories = append(memories, info.Name)
		}
	}
	return memories
}

// pastAgents returns the names of all agents that have been run, sorted: each has a folder, as package backend makes them.
func pastAgents(dirs folders.Folders) []string {
	entries, err := os.ReadDir(filepath.Join(dirs.State, "agents"))
	if err != nil {
		return nil // none has been run
	}
	var agents []string
	for _, e := range entries {
		if name, err := url.PathUnescape(e.Name()); err == nil && e.IsDir() {
			agents = append(agents, name)
		}
	}
	slices.Sort(agents)
	return agents
}
