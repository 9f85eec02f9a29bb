package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/console"
)

func newMemoryShow() *cobra.Command {
	var asJSON, oldest bool
	var n int
	var which conditions
	cmd := &cobra.Command{
		Use:   "show <agent>",
		Short: "Show an agent's newest records",
		Long: `Show shows the newest records of an agent's memory, newest first, or with --oldest the oldest, oldest first.

` + conditionsHelp,
		Example: `  coma memory show garden -n 5
  coma memory show garden --oldest --json
  coma memory show garden --where mood=calm --where 'weight>=0.5' --since 2h`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 {
				return usagef("-n %d: want 0 (all) or more", n)
			}
			sel := api.Selection{Limit: n, Oldest: oldest}
			var err error
			if sel.Filter, sel.Since, sel.Until, err = which.parse(time.Now()); err != nil {
				return usageError{err}
			}
			var records []api.Record
			err = withMemory(cmd.Context(), args[0], func(m api.Memory) (err error) {
				records, err = m.Get(cmd.Context(), sel)
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
	which.flags(cmd)
	return cmd
}

func newMemoryQuery() *cobra.Command {
	var asJSON bool
	var n int
	var which conditions
	cmd := &cobra.Command{
		Use:   "query <agent> <text...>",
		Short: "Find the records nearest to a text",
		Long: `Query shows the records of an agent's memory that are nearest to a text, nearest first, each with its cosine
distance: 0 is the same direction, 1 has nothing to do with it.

` + conditionsHelp,
		Example: `  coma memory query garden what did the rose say
  coma memory query garden rain -n 3 --json
  coma memory query garden rain --where kind=dream --since 2026-11-01 --until 2026-12-01`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeFirst(completeMemories),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 {
				return usagef("-n %d: want 1 or more", n)
			}
			q := api.Query{Text: strings.Join(args[1:], " "), K: n}
			var err error
			if q.Filter, q.Since, q.Until, err = which.parse(time.Now()); err != nil {
				return usageError{err}
			}
			var matches []api.Match
			err = withMemory(cmd.Context(), args[0], func(m api.Memory) (err error) {
				matches, err = m.Query(cmd.Context(), q)
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
	which.flags(cmd)
	return cmd
}

func recordLine(r api.Record) string {
	line := r.Time.Local().Format("2006-01-02 15:04:05") + "  " + console.Printable(r.Text)
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		value := fmt.Sprint(r.Metadata[key])
		if f, ok := r.Metadata[key].(float64); ok {
			value = strconv.FormatFloat(f, 'f', -1, 64) // times in seconds, among others, are not read as 1.7e+09
		}
		line += "  " + console.Printable(key+"="+value)
	}
	return line
}
