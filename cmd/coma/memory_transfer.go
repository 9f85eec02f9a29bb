package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/transfer"
)

// interruptibly does something long that Ctrl-C breaks off, so that it can clear up; a second Ctrl-C ends it at once.
func interruptibly(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("broken off, run it again: %w", err)
	}
	return err
}

type transferOptions struct {
	noVectors, asJSON, force bool
	embedder                 string
}

func newMemoryExport() *cobra.Command {
	var opt transferOptions
	cmd := &cobra.Command{
		Use:   "export <agent> <file or URL>",
		Short: "Write an agent's records as JSON Lines, or into a Chroma collection",
		Long: `Export writes the records of an agent's memory, oldest first, for people and other programs: as JSON Lines, a
record a line (file.jsonl; file.jsonl.gz is compressed; - is standard output), or into a collection of a Chroma
server (http://host:8000/collection), which is made if it is not there.

Into a collection, it can be broken off and begun again: records that are there already stay as they are. A
record's time is its metadata's "timestamp" there. Records without a vector are left out, and so is when a record
expires. CHROMA_API_KEY has the key of a server that wants one; ?tenant=…&database=… names others than the default.

To have a memory back exactly as it was, use "coma memory backup".`,
		Example: `  coma memory export garden garden.jsonl
  coma memory export garden - --no-vectors | grep rose
  coma memory export garden http://localhost:8001/garden`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeFirstThenFiles(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			return interruptibly(cmd.Context(), func(ctx context.Context) error {
				return memoryExport(ctx, cmd.OutOrStdout(), args[0], args[1], opt)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.noVectors, "no-vectors", false, "leave the vectors out of a file")
	flags.BoolVar(&opt.force, "force", false, "replace the file if it exists")
	jsonFlag(cmd, &opt.asJSON)
	return cmd
}

func memoryExport(ctx context.Context, out io.Writer, agent, place string, opt transferOptions) error {
	if err := checkExport(place, opt); err != nil {
		return err
	}
	return onBackends(ctx, true, func(b api.Backend) error {
		memory, err := b.OpenMemory(ctx, agent)
		if err != nil {
			return err
		}
		// Asked while it is open: of one that is not, another process can have the file, and nobody knows.
		embedder, err := embedderOf(ctx, b, agent)
		if err == nil {
			err = exportTo(ctx, out, export{memory, agent, embedder, opt}, place)
		}
		return errors.Join(err, memory.Close())
	})
}

// checkExport refuses what cannot be written, before a memory is opened for it.
func checkExport(place string, opt transferOptions) error {
	switch {
	case transfer.IsURL(place):
		if opt.noVectors {
			return usagef("--no-vectors: Chroma has no records without vectors")
		}
		return nil
	case place == "-":
		return nil
	}
	if name := strings.TrimSuffix(place, ".gz"); !strings.HasSuffix(name, ".jsonl") && !strings.HasSuffix(name, ".ndjson") {
		return usagef("%s: want a name that ends in .jsonl or .jsonl.gz, or http://host:8000/collection", place)
	}
	if _, err := os.Lstat(place); !errors.Is(err, fs.ErrNotExist) && !opt.force {
		return usagef("%s exists: give another name, or --force to replace it", place)
	}
	return nil
}

// export is a memory on its way out.
type export struct {
	memory          api.Memory
	agent, embedder string
	opt             transferOptions
}

func exportTo(ctx context.Context, out io.Writer, e export, place string) error {
	if transfer.IsURL(place) {
		sink, err := transfer.ToChroma(ctx, place, e.embedder)
		if err != nil {
			return err
		}
		return e.run(ctx, out, place, sink)
	}
	if place == "-" {
		lines := transfer.NewLines(out, "", e.embedder)
		return errors.Join(e.run(ctx, io.Discard, place, lines), lines.Close())
	}
	// Written aside: what has the name is whole.
	file, err := os.CreateTemp(filepath.Dir(place), "."+filepath.Base(place)+".*")
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	lines := transfer.NewLines(file, place, e.embedder)
	err = e.run(ctx, out, place, lines)
	if err == nil { // else Close would say the same again
		err = lines.Close()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), place)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	return err
}

func (e export) run(ctx context.Context, out io.Writer, place string, sink transfer.Sink) error {
	bar := showProgress("export "+e.agent, "record", e.opt.asJSON)
	result, err := transfer.Export(ctx, e.memory, sink, !e.opt.noVectors, bar.at)
	bar.end()
	if err != nil {
		return err
	}
	return told(out, result, fmt.Sprintf("of %s written to %s", e.agent, place), "have no vector, and were left out", e.opt.asJSON)
}

// told says what was carried.
func told(out io.Writer, r transfer.Result, where, left string, asJSON bool) error {
	if asJSON {
		return printJSON(out, r)
	}
	line := plural(r.Carried, "record") + " " + where
	if r.There > 0 {
		line += fmt.Sprintf("; %d were there already", r.There)
	}
	if r.Left > 0 {
		line += fmt.Sprintf("; %d %s", r.Left, left)
	}
	_, err := fmt.Fprintln(out, line)
	return err
}

// embedderOf names whose the vectors of a memory are that the backend has open.
func embedderOf(ctx context.Context, b api.Backend, agent string) (string, error) {
	infos, err := b.Memories(ctx, false)
	if err != nil {
		return "", err
	}
	for _, info := range infos {
		if info.Name == agent && info.Problem == "" {
			return info.Embedder, nil
		}
	}
	return "", fmt.Errorf("memory %q: %w", agent, api.ErrNotFound)
}

func newMemoryImport() *cobra.Command {
	var opt transferOptions
	cmd := &cobra.Command{
		Use:   "import <agent> <file or URL>",
		Short: "Read records from JSON Lines, a Chroma collection or the Python framework's backup",
		Long: `Import reads records into an agent's memory, which is made if there is none:

  file.jsonl, file.jsonl.gz, -    a record a line: {"text": "…"}, and id, time, metadata, expires, vector where
                                  there are any, as export writes it (- is standard input)
  file.json                       a backup of the Python framework ("coma backup")
  http://host:8000/collection     a collection of a Chroma server

Records whose IDs are there already stay as they are, so it can be broken off and begun again. Vectors must be of the
memory's own embedder, and a new memory takes that of the vectors; with --no-vectors they are left behind and made anew.
Where nobody says whose they are, a new memory keeps them and can be searched by vectors alone.`,
		Example: `  coma memory import garden notes.jsonl
  coma memory import garden http://localhost:8001/concurrent_modular_agent-state-garden
  coma memory import garden old-backup.json --no-vectors`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeFirstThenFiles(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			return interruptibly(cmd.Context(), func(ctx context.Context) error {
				return memoryImport(ctx, cmd.OutOrStdout(), args[0], args[1], opt)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opt.noVectors, "no-vectors", false, "leave the vectors behind; the memory makes its own")
	flags.StringVar(&opt.embedder, "embedder", "", "whose the vectors are, where the file or the collection does not say (minilm, openai:…)")
	cmd.RegisterFlagCompletionFunc("embedder", completeEmbedders) // fails for flags that are not there
	jsonFlag(cmd, &opt.asJSON)
	return cmd
}

func memoryImport(ctx context.Context, out io.Writer, agent, place string, opt transferOptions) error {
	var named string // whose the vectors are
	if opt.embedder != "" {
		spec, err := embed.Parse(opt.embedder)
		if err != nil {
			return usageError{fmt.Errorf("--embedder: %w", err)}
		}
		named = spec.String()
	}
	var source transfer.Source
	var err error
	if transfer.IsURL(place) {
		source, err = transfer.FromChroma(ctx, place, !opt.noVectors, named)
	} else {
		source, err = transfer.Open(place, named)
	}
	if err != nil {
		return err
	}
	embedder := source.Embedder()
	if opt.noVectors {
		embedder = ""
	}
	bar := showProgress("import "+agent, "record", opt.asJSON)
	var result transfer.Result
	err = onBackends(ctx, true, func(b api.Backend) error {
		if err := b.CreateMemory(ctx, agent, ""); err != nil {
			return err
		}
		if embedder != "" {
			if err := b.CreateMemory(ctx, agent, embedder); err != nil {
				return fmt.Errorf("%w%s", err, adviceOn(embedder))
			}
		}
		m, err := b.OpenMemory(ctx, agent)
		if err != nil {
			return err
		}
		result, err = transfer.Import(ctx, m, source, opt.noVectors, bar.at)
		return errors.Join(err, m.Close())
	})
	bar.end()
	if err = errors.Join(err, source.Close()); err != nil {
		return err
	}
	if place == "-" {
		place = "standard input"
	}
	return told(out, result, fmt.Sprintf("of %s read into %s", place, agent), "were left out", opt.asJSON)
}

// adviceOn says what to do where a memory does not take vectors of an embedder.
func adviceOn(embedder string) string {
	const again = " (with --no-vectors, the memory makes its own vectors of the texts)"
	if embedder == transfer.Given {
		return again + " (--embedder says whose the vectors are, where you know)"
	}
	return again
}
