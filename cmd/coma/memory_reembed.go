package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/embed"
)

func newMemoryReembed() *cobra.Command {
	var embedder string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "reembed <agent>",
		Short: "Make all vectors of a memory anew, with another embedder",
		Long: `Reembed makes the vectors of all records of an agent's memory anew from their texts, and the embedder the
memory's own from then on. Modules can go on meanwhile; until it is done they see the old vectors, and what breaks it
off changes nothing. Vectors that modules have given for records without text are dropped.

  minilm           all-MiniLM-L6-v2, inside coma: no key, no network
  hash             spelling only
  none             no vectors: records are found by time and metadata alone
  openai[:model]   OpenAI's service; OPENAI_API_KEY has its key
  ollama[:model]   a local Ollama; OLLAMA_HOST says where, if not here
  https://host/v1#model   any service that speaks as OpenAI's does; COMA_EMBEDDER_KEY has its key

Without --embedder it is the one that the agent's coma.yaml or COMA_EMBEDDER asked for, else minilm. Keys are read
where the backend runs.`,
		Example: `  coma memory reembed garden
  coma memory reembed garden --embedder openai:text-embedding-3-large`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := embed.Parse(embedder); err != nil {
				return usageError{fmt.Errorf("--embedder: %w", err)}
			}
			var info api.MemoryInfo
			err := interruptibly(cmd.Context(), func(ctx context.Context) error {
				bar := showProgress("reembed "+args[0], "record", asJSON)
				defer bar.end()
				return onBackends(ctx, true, func(b api.Backend) (err error) {
					info, err = b.ReembedMemory(ctx, args[0], embedder, func(done, total int) {
						bar.at(done, float64(done)/float64(max(total, 1)))
					})
					return err
				})
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), info)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, with vectors of %s\n", args[0], plural(info.Records, "record"), info.Embedder)
			return nil
		},
	}
	cmd.Flags().StringVar(&embedder, "embedder", "", "which one")
	cmd.RegisterFlagCompletionFunc("embedder", completeEmbedders) // fails for flags that are not there
	jsonFlag(cmd, &asJSON)
	return cmd
}

// completeEmbedders offers the names of embedders.
func completeEmbedders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{embed.MiniLM, embed.Hash, embed.None, embed.OpenAI, embed.Ollama}, cobra.ShellCompDirectiveNoFileComp
}
