package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// caller is the module that this command speaks for: one that has started it, or a script that is a module.
type caller struct {
	api.Identity
	address, token string // of its host
}

// inside returns the module that this process belongs to, as its environment says; ok is false outside of any.
func inside() (c caller, ok bool, err error) {
	c = caller{
		Identity: api.Identity{Agent: os.Getenv("COMA_AGENT"), Module: os.Getenv("COMA_MODULE")},
		address:  os.Getenv("COMA_API"), token: os.Getenv("COMA_TOKEN"),
	}
	if c.Agent == "" || c.Module == "" || c.address == "" {
		return c, false, nil
	}
	if text := os.Getenv("COMA_GENERATION"); text != "" {
		if c.Generation, err = strconv.Atoi(text); err != nil {
			return c, false, fmt.Errorf("COMA_GENERATION is %q: want a number: leave it as coma has set it", text)
		}
	}
	return c, true, nil
}

// absence is how long a command waits for a host that is away, as while a backend is restarted: as long as modules do
// before their seat is given up.
const absence = 30 * time.Second

// join opens a session.
func (c caller) join(ctx context.Context, mode link.Mode) (*link.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, absence)
	defer cancel()
	return link.Join(ctx, c.address, c.token, c.Identity, mode)
}

// asModule speaks for the module that the command runs in. Outside of any it is an error.
func asModule(cmd *cobra.Command, do func(context.Context, api.Session) error) error {
	c, ok, err := inside()
	if err != nil {
		return err
	}
	if !ok {
		return usagef("%s is for the programs of a module: COMA_AGENT, COMA_MODULE and COMA_API, which coma sets for them, are not set here", cmd.CommandPath())
	}
	return c.asGuest(cmd.Context(), do)
}

// asGuest makes calls as a guest, beside the module's own session.
func (c caller) asGuest(ctx context.Context, do func(context.Context, api.Session) error) error {
	session, err := c.join(ctx, link.Guest)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, session), session.Leave(ctx))
}

// ofAgent lets a command whose first argument is an agent go without it inside a module, where it is the module's own,
// and takes another by --agent.
func ofAgent(cmd *cobra.Command) *cobra.Command {
	var named string
	cmd.Flags().StringVar(&named, "agent", "", "of this agent; the name is not an argument then, nor inside a module, where it is the module's own")
	complete := func(args []string) ([]string, error) {
		agent := named
		if agent == "" {
			c, ok, err := inside()
			if err != nil || !ok {
				return args, err
			}
			agent = c.Agent
		}
		return append([]string{agent}, args...), nil
	}
	check, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		all, err := complete(args)
		if err == nil {
			err = check(cmd, all)
		}
		if err != nil && len(all) > len(args) {
			return fmt.Errorf("%w, with the agent's name (%s), which is not given as an argument here", err, all[0])
		}
		return err
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		args, err := complete(args)
		if err != nil {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// words are the text that a command is given: its arguments, joined by spaces, or without any all of standard input.
func words(cmd *cobra.Command, args []string) (string, error) {
	return textOf(cmd.InOrStdin(), args)
}
