package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

type passwdOptions struct {
	access.Permissions
	remove, list, asJSON bool
}

func newBackendPasswd() *cobra.Command {
	var opt passwdOptions
	cmd := &cobra.Command{
		Use:   "passwd [user]",
		Short: "Add, change, list and remove the users who may come in from outside",
		Long: `Passwd sets the password of a user, and what the user may do. The password is asked for at the terminal, or
read from standard input (one line). Of a user who is there already, what no flag names stays as it is, and an
empty password keeps the old one. A backend that runs takes changes over within a second, and cuts off those who are gone.

A user may do nothing that no flag allows. A wildcard does not reach into agents: their topics take --agents.`,
		Example: `  coma backend passwd lamp --publish 'room/lamp/#' --subscribe 'room/+/switch'
  coma backend passwd gardener --agents garden      send to its modules, see them, use its memory
  coma backend passwd anna --admin                  everything: run agents, remove memories, stop the backend
  coma backend passwd --ls
  coma backend passwd lamp --rm`,
		Args: func(cmd *cobra.Command, args []string) error {
			if opt.list {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := folders.FromEnv()
			if err != nil {
				return err
			}
			users, err := access.Open(backend.UsersPath(dirs))
			if err != nil {
				return err
			}
			switch {
			case opt.list:
				return listUsers(cmd.OutOrStdout(), users, opt.asJSON)
			case opt.remove:
				if err := users.Remove(args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "user %s is removed\n", args[0])
				return err
			}
			return setUser(cmd, users, args[0], opt.Permissions)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&opt.Agents, "agents", nil, "agents that the user may speak to, see, and whose memory it may use; * is all")
	flags.StringSliceVar(&opt.Publish, "publish", nil, "MQTT topics or patterns that the user may publish on")
	flags.StringSliceVar(&opt.Subscribe, "subscribe", nil, "MQTT topics or patterns that the user may subscribe to")
	flags.BoolVar(&opt.Admin, "admin", false, "the user may do everything")
	flags.BoolVar(&opt.remove, "rm", false, "remove the user")
	flags.BoolVar(&opt.list, "ls", false, "list the users")
	jsonFlag(cmd, &opt.asJSON)
	cmd.MarkFlagsMutuallyExclusive("rm", "ls")
	return cmd
}

// setUser adds a user or changes one.
func setUser(cmd *cobra.Command, users *access.Users, name string, given access.Permissions) error {
	user, known := users.All()[name]
	for flag, take := range map[string]func(){
		"agents":    func() { user.Agents = given.Agents },
		"publish":   func() { user.Publish = given.Publish },
		"subscribe": func() { user.Subscribe = given.Subscribe },
		"admin":     func() { user.Admin = given.Admin },
	} {
		if cmd.Flags().Changed(flag) {
			take()
		}
	}
	if err := access.CheckUser(name, user.Permissions); err != nil { // before a password is asked for
		return usageError{err}
	}
	password, err := readPassword(cmd, name, known)
	if err != nil {
		return err
	}
	if password != "" || !known {
		if user.Hash, err = access.HashPassword(password); err != nil {
			return err
		}
	}
	if err := users.Set(name, user); err != nil {
		return err
	}
	what := "is added"
	if known {
		what = "is changed"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "user %s %s: %s\n", name, what, allowed(user.Permissions))
	return err
}

// readPassword asks twice at the terminal, without echo, or reads a line of standard input.
func readPassword(cmd *cobra.Command, name string, known bool) (string, error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	prompt := fmt.Sprintf("Password for %s: ", name)
	if known {
		prompt = fmt.Sprintf("New password for %s (empty: as it is): ", name)
	}
	password, err := hidden(cmd, in, prompt)
	if err != nil || password == "" && known {
		return "", err
	}
	again, err := hidden(cmd, in, "Once more: ")
	if err != nil {
		return "", err
	}
	if again != password {
		return "", fmt.Errorf("the two passwords differ: %w: nothing was changed", api.ErrInvalid)
	}
	return password, nil
}

// hidden reads a line without echo, which is there again when it returns, also by Ctrl-C.
func hidden(cmd *cobra.Command, in *os.File, prompt string) (string, error) {
	state, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	fmt.Fprint(cmd.ErrOrStderr(), prompt)
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() { // left behind at Ctrl-C, when the process ends
		text, err := term.ReadPassword(int(in.Fd()))
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		fmt.Fprintln(cmd.ErrOrStderr())
		if l.err != nil {
			return "", fmt.Errorf("read password: %w", l.err)
		}
		return string(l.text), nil
	case <-ctx.Done():
		fmt.Fprintln(cmd.ErrOrStderr())
		return "", errors.Join(silentError{context.Cause(ctx)}, term.Restore(int(in.Fd()), state))
	}
}

func listUsers(out io.Writer, users *access.Users, asJSON bool) error {
	all := users.All()
	if asJSON {
		plain := map[string]access.Permissions{} // without the hashes
		for name, user := range all {
			plain[name] = user.Permissions
		}
		return printJSON(out, plain)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, `no users: "coma backend passwd <user>" adds one`)
		return err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	t := newTable(out, "USER", "MAY")
	for _, name := range names {
		t.row(name, allowed(all[name].Permissions))
	}
	return t.flush()
}

// allowed tells what a user may do, in a line.
func allowed(p access.Permissions) string {
	if p.Admin {
		return "everything"
	}
	var parts []string
	for _, part := range []struct {
		what string
		list []string
	}{{"agents", p.Agents}, {"publish", p.Publish}, {"subscribe", p.Subscribe}} {
		if len(part.list) > 0 {
			parts = append(parts, part.what+" "+strings.Join(part.list, ","))
		}
	}
	if len(parts) == 0 {
		return "nothing (--agents, --publish, --subscribe or --admin allow something)"
	}
	return strings.Join(parts, "; ")
}
