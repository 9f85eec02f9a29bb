package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/project"
)

func newMessages() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "messages",
		Short: "Look into mailboxes, and deal with dead letters",
		Long: `Messages wait in their module's mailbox until the module has finished with them, whether it runs or
not. A message that a module has died on five times becomes a dead letter: it can be looked at,
delivered again (after a repair) or dropped.`,
		Example: `  coma messages ls garden
  coma messages dead garden/greeter
  coma messages redeliver garden/greeter`,
	})
	cmd.AddCommand(newMessagesLs(), newMessagesDead(), newMessagesRedeliver(), newMessagesDrop())
	return cmd
}

func newMessagesLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [agent[/module]]",
		Short: "List mailboxes, or the messages in one",
		Long:  `Ls lists the mailboxes of all agents, or of one; or the messages that wait for a module, oldest first.`,
		Example: `  coma messages ls
  coma messages ls garden/greeter --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFirst(completeModules),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return mailboxes(cmd.Context(), cmd.OutOrStdout(), nil, asJSON)
			case !strings.Contains(args[0], "/"):
				if err := project.CheckName(args[0]); err != nil {
					return usageError{err}
				}
				return mailboxes(cmd.Context(), cmd.OutOrStdout(), args, asJSON)
			}
			return waiting(cmd.Context(), cmd.OutOrStdout(), args[0], false, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// agentMailbox is a mailbox with its agent's name.
type agentMailbox struct {
	Agent string `json:"agent"`
	api.Mailbox
}

// mailboxes lists the mailboxes of the agents named, or of all that run or have run.
func mailboxes(ctx context.Context, out io.Writer, agents []string, asJSON bool) error {
	all := len(agents) == 0
	if all {
		dirs, err := folders.FromEnv()
		if err != nil {
			return err
		}
		agents = pastAgents(dirs)
	}
	found := []agentMailbox{}
	for _, agent := range agents {
		err := onBackends(ctx, true, func(b api.Backend) error {
			boxes, err := b.Mailboxes(ctx, agent)
			for _, box := range boxes {
				found = append(found, agentMailbox{agent, box})
			}
			return err
		})
		if err != nil && !(all && errors.Is(err, api.ErrUnknown)) { // unknown: removed meanwhile
			return err
		}
	}
	if asJSON {
		return printJSON(out, found)
	}
	t := newTable(out, "MAILBOX", "WAITING", "DEAD", "DROPPED")
	for _, box := range found {
		t.row(box.Agent+"/"+box.Module, box.Waiting, box.Dead, box.Dropped)
	}
	return t.flush()
}

// waiting lists the messages, or the dead letters, of a module.
func waiting(ctx context.Context, out io.Writer, of string, dead, asJSON bool) error {
	agent, module, err := address(of)
	if err != nil {
		return err
	}
	messages := []api.Message{}
	err = onBackends(ctx, true, func(b api.Backend) error {
		found, err := b.Waiting(ctx, agent, module, dead)
		if err == nil {
			messages = append(messages, found...)
		}
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, messages)
	}
	t := newTable(out, "ID", "TIME", "FROM", "DEATHS", "TEXT")
	for _, m := range messages {
		t.row(m.ID, clock(m.Time), m.From, m.Deaths, shortened(m.Text, 200))
	}
	return t.flush()
}

func newMessagesDead() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "dead <agent>/<module>",
		Short: "List dead letters",
		Long:  `Dead lists the messages that a module has died on five times, oldest first.`,
		Example: `  coma messages dead garden/greeter
  coma messages dead garden/greeter --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFirst(completeModules),
		RunE: func(cmd *cobra.Command, args []string) error {
			return waiting(cmd.Context(), cmd.OutOrStdout(), args[0], true, asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newMessagesRedeliver() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "redeliver <agent>/<module> [id...]",
		Short: "Put dead letters back into the mailbox",
		Long: `Redeliver puts dead letters (those named by ID, or all) back into their module's mailbox, behind what
waits there, with their deaths forgotten.`,
		Example: `  coma messages redeliver garden/greeter`,
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: completeFirst(completeModules),
		RunE: func(cmd *cobra.Command, args []string) error {
			return deadLetters(cmd, args, asJSON, "delivered again", api.Backend.Redeliver)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newMessagesDrop() *cobra.Command {
	var asJSON, yes bool
	cmd := &cobra.Command{
		Use:   "drop <agent>/<module> [id...]",
		Short: "Forget dead letters",
		Long:  `Drop forgets dead letters (those named by ID, or all) for good. It asks first; without a terminal it needs --yes.`,
		Example: `  coma messages drop garden/greeter
  coma messages drop garden/greeter 01JD… --yes`,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeFirst(completeModules),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := address(args[0]); err != nil {
				return err
			}
			question := "Forget all dead letters of " + args[0] + "?"
			if n := len(args) - 1; n > 0 {
				question = "Forget " + plural(n, "dead letter") + " of " + args[0] + "?"
			}
			if err := confirmed(cmd, yes, question); err != nil {
				return err
			}
			return deadLetters(cmd, args, asJSON, "forgotten", api.Backend.DropDead)
		},
	}
	jsonFlag(cmd, &asJSON)
	yesFlag(cmd, &yes)
	return cmd
}

// deadLetters does something to dead letters and tells how many they were.
func deadLetters(cmd *cobra.Command, args []string, asJSON bool, done string,
	do func(b api.Backend, ctx context.Context, agent, module string, ids []string) (int, error)) error {
	agent, module, err := address(args[0])
	if err != nil {
		return err
	}
	count := 0
	err = onBackends(cmd.Context(), true, func(b api.Backend) (err error) {
		count, err = do(b, cmd.Context(), agent, module, args[1:])
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), map[string]int{"count": count})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", plural(count, "dead letter"), done)
	return err
}
