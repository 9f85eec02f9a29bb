package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/doctor"
)

func newDoctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps coma from working on this machine",
		Long: `Doctor looks at folders, ports, backends, toolchain, embedder, limits and terminal, and says what to do about what
is not right. It changes nothing. The exit code is 1 if something does not work.`,
		Example: `  coma doctor
  coma doctor --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return examine(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func examine(ctx context.Context, out io.Writer, asJSON bool) error {
	findings := doctor.Look(ctx, doctor.Options{
		Version:  version(),
		Terminal: term.IsTerminal(int(os.Stdout.Fd())),
		Colors:   console.ColorWanted(os.Stdout),
	})
	failed := 0
	for _, f := range findings {
		if f.Verdict == doctor.Fail {
			failed++
		}
	}
	if asJSON {
		if err := printJSON(out, findings); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			fmt.Fprintf(out, "%-4s  %-14s  %s\n", f.Verdict, f.Name, console.Printable(f.Text))
			if f.Do != "" {
				fmt.Fprintf(out, "%-4s  %-14s  → %s\n", "", "", console.Printable(f.Do))
			}
		}
	}
	if failed > 0 {
		return silentError{fmt.Errorf("%d things do not work", failed)}
	}
	return nil
}
