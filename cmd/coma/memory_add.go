package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

type addOptions struct {
	meta []string
	ttl  time.Duration
	id   string
}

func newMemoryAdd() *cobra.Command {
	var opt addOptions
	cmd := &cobra.Command{
		Use:   "add <agent> [text...]",
		Short: "Add a record",
		Long: `Add stores a record in an agent's memory: the words given, joined by spaces, or without words all of standard
input. It prints the record's ID when the record is on disk. A value of --meta that reads as a number, or is true or
false, is one; in double quotes it is text.`,
		Example: `  coma memory add garden the rose has opened --meta mood=calm --meta n=3
  coma memory add garden --ttl 1h < note.txt
  coma memory add it rained today      (inside a module)`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := opt.record(time.Now())
			if err != nil {
				return usageError{err}
			}
			if record.Text, err = words(cmd, args[1:]); err != nil {
				return err
			}
			return withMemory(cmd.Context(), args[0], func(m api.Memory) error {
				ids, err := m.Add(cmd.Context(), []api.Record{record})
				for _, id := range ids {
					fmt.Fprintln(cmd.OutOrStdout(), id)
				}
				return err
			})
		},
	}
	cmd.Flags().StringArrayVarP(&opt.meta, "meta", "m", nil, "key=value; can be given several times")
	cmd.Flags().DurationVar(&opt.ttl, "ttl", 0, "forget the record after so long")
	cmd.Flags().StringVar(&opt.id, "id", "", "the record's ID, which must be new: a record that is there already stays as it is")
	return cmd
}

// record is what the flags say of the record.
func (o addOptions) record(now time.Time) (api.Record, error) {
	r := api.Record{ID: o.id}
	if o.ttl < 0 {
		return r, fmt.Errorf("--ttl %s: want more than 0", o.ttl)
	}
	if o.ttl > 0 {
		r.Expires = now.Add(o.ttl)
	}
	for _, text := range o.meta {
		key, value, ok := strings.Cut(text, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return r, fmt.Errorf("--meta %q: want key=value", text)
		}
		parsed, err := parseValue(strings.TrimSpace(value))
		if err != nil {
			return r, fmt.Errorf("--meta %q: %w", text, err)
		}
		if r.Metadata == nil {
			r.Metadata = api.Metadata{}
		}
		r.Metadata[key] = parsed
	}
	return r, nil
}
