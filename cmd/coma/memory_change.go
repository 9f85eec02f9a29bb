package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func newMemoryCount() *cobra.Command {
	var which conditions
	cmd := &cobra.Command{
		Use:   "count <agent>",
		Short: "Count records",
		Long: `Count prints how many records an agent's memory has, or how many fit.

` + fieldConditionsHelp,
		Example: `  coma memory count garden
  coma memory count garden --where mood=calm`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := which.filter()
			if err != nil {
				return usageError{err}
			}
			return withMemory(cmd.Context(), args[0], func(m api.Memory) error {
				n, err := m.Count(cmd.Context(), filter)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), n)
				}
				return err
			})
		},
	}
	which.fieldFlags(cmd)
	return cmd
}

func newMemoryUpdate() *cobra.Command {
	var opt addOptions
	cmd := &cobra.Command{
		Use:   "update <agent> <id> [text...]",
		Short: "Change a record",
		Long: `Update gives a record another text: the words given, joined by spaces. With --meta it gives it other metadata,
which take the place of all that it had. What is not given stays as it is.`,
		Example: `  coma memory update garden rose-1 the rose has withered
  coma memory update garden rose-1 --meta mood=sad`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.id = args[1]
			record, err := opt.record(time.Now())
			if err != nil {
				return usageError{err}
			}
			if len(args) > 2 {
				record.Text, err = words(cmd, args[2:])
			} else if record.Metadata == nil && record.Expires.IsZero() {
				err = usagef("nothing to change: give a text, --meta or --ttl")
			}
			if err != nil {
				return err
			}
			return withMemory(cmd.Context(), args[0], func(m api.Memory) error {
				return m.Update(cmd.Context(), []api.Record{record})
			})
		},
	}
	cmd.Flags().StringArrayVarP(&opt.meta, "meta", "m", nil, "key=value; can be given several times")
	cmd.Flags().DurationVar(&opt.ttl, "ttl", 0, "forget the record after so long")
	return cmd
}

func newMemoryDelete() *cobra.Command {
	var which conditions
	cmd := &cobra.Command{
		Use:   "delete <agent> [id...]",
		Short: "Remove records",
		Long: `Delete removes the records with the IDs given, or those that fit, and prints how many there were. (Whole memories
are removed by "coma memory rm".)

` + fieldConditionsHelp,
		Example: `  coma memory delete garden rose-1 rose-2
  coma memory delete garden --where mood=sad`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := which.filter()
			if err == nil && filter == nil && len(args) == 1 {
				err = errors.New("which ones? Give IDs, or --where or --contains")
			}
			if err != nil {
				return usageError{err}
			}
			return withMemory(cmd.Context(), args[0], func(m api.Memory) error {
				n, err := m.Delete(cmd.Context(), args[1:], filter)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), n)
				}
				return err
			})
		},
	}
	which.fieldFlags(cmd)
	return cmd
}
