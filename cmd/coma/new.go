package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/scaffold"
)

func newNew() *cobra.Command {
	return &cobra.Command{
		Use:   "new <folder>",
		Short: "Make a project",
		Long: `New makes a project that runs at once: two modules that talk, a commented coma.yaml, a test, and a go.mod
so that editors know package coma. The folder must not exist, or be empty; its name becomes the agent's.`,
		Example: `  coma new garden
  coma run garden`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return makeProject(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
}

func makeProject(ctx context.Context, out io.Writer, dir string) error {
	_, file, _, _ := runtime.Caller(0)
	source := scaffold.Source(file)
	made, err := scaffold.New(dir, scaffold.Options{Version: version(), Source: source})
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintf(out, "made %s:\n", dir)
	for _, name := range made.Files {
		fmt.Fprintf(out, "  %s\n", name)
	}
	if source != "" {
		fmt.Fprintf(out, "go.mod uses the coma source at %s, which this coma was built from\n", source)
	}
	if made.Needs != "" {
		finish(ctx, out, dir, made.Needs)
	}
	fmt.Fprintf(out, "\nnext:\n  coma run %s\n  coma send %s world    (from another terminal)\n", word(dir), word(made.Name+"/greeter"))
	return nil
}

// word is text as a shell takes it for one word, and coma for no flag.
func word(text string) string {
	if strings.HasPrefix(text, "-") {
		text = "./" + text
	}
	plain := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-", r) }
	if strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

// finish runs the go command that completes go.mod, if there is a toolchain. Where it fails, the project runs all the same.
func finish(ctx context.Context, out io.Writer, dir, command string) {
	const forEditors = "for editors and go test; coma run does not need it"
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	words := strings.Fields(command)
	run := exec.CommandContext(ctx, words[0], words[1:]...)
	run.Dir = dir
	switch said, err := run.CombinedOutput(); {
	case errors.Is(err, exec.ErrNotFound):
		fmt.Fprintf(out, "there is no Go toolchain: with one, run %q in %s (%s)\n", command, dir, forEditors)
	case err != nil:
		fmt.Fprintf(out, "%q failed: run it again in %s (%s):\n%s\n", command, dir, forEditors, strings.TrimSpace(string(said)))
	}
}
