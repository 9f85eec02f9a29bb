package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/compile"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/modproc"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

func newBuild() *cobra.Command {
	var output, target string
	cmd := &cobra.Command{
		Use:   "build <project>",
		Short: "Build an agent into one program",
		Long: `Build compiles all modules of a project, with the backend and the project's other files, into one static
binary. It behaves as "coma run" does, without reloading: each module in a process of its own, restarts, the same
output. It needs neither coma nor Go where it runs. See it with --help.

Building needs a Go toolchain (COMA_GO names its go command where it is not in PATH). Files that modules open
relative to agent.Dir are unpacked when the program first starts.`,
		Example: `  coma build garden
  coma build garden -o /tmp/agent --target linux/arm64`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return build(cmd.Context(), cmd.OutOrStdout(), args[0], output, target)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: the agent's name, in the current folder)")
	cmd.Flags().StringVar(&target, "target", "", "operating system and processor to build for, as in linux/arm64 (default: this machine's)")
	return cmd
}

func build(ctx context.Context, out io.Writer, dir, output, target string) error {
	projects, err := loadProjects([]string{dir})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := projects[0]
	if output == "" {
		output = p.Agent
		if info, err := os.Stat(output); err == nil && info.IsDir() {
			output = filepath.Join(output, p.Agent) // built beside its project
		}
	}
	err = compile.Agent(ctx, p, compile.AgentOptions{Output: output, Target: target, Version: version()})
	var wrong *modproc.LoadError
	if errors.As(err, &wrong) {
		shown := console.New(console.Options{Out: out, Names: []string{p.Agent}})
		shown.Event(supervisor.Event{Kind: supervisor.LoadFailed, Agent: p.Agent, Module: p.Agent, Err: wrong})
		return silentError{fmt.Errorf("modules of %s do not compile", p.Agent)}
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(output)
	if err != nil {
		return fmt.Errorf("look at what was built: %w", err)
	}
	fmt.Fprintf(out, "built %s (%s, %d MB)\n", output, plural(len(p.Modules), "module"), info.Size()/1e6)
	return nil
}
