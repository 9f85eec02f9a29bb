package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/nearest"
)

// execute runs a command line and returns the exit code.
func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	out := &output{to: os.Stdout}
	root.SetOut(out)
	err := root.Execute()
	if err == nil {
		err = out.failure()
	}
	var silent silentError
	var coded codeError
	if err != nil && !errors.As(err, &silent) && !errors.As(err, &coded) {
		fmt.Fprintln(os.Stderr, "coma:", strings.TrimSpace(err.Error()))
	}
	return exitCode(err)
}

// output remembers that something could not be written, so that a command that prints need not ask after each line.
type output struct {
	to  io.Writer
	mu  sync.Mutex
	err error // the first
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.to.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Groups of commands, as "coma --help" shows them.
const (
	groupAgents  = "agents"
	groupTalk    = "talk"
	groupModule  = "module"
	groupBackend = "backend"
	groupOther   = "other"
)

func newRoot() *cobra.Command {
	root := parent(&cobra.Command{
		Use:   "coma",
		Short: "Agents made of concurrent modules, edited while they live",
		Long: `coma runs agents that are made of many small modules. The modules run at the same time,
talk by messages and share one memory, and each can be edited while the agent lives.`,
		Example: `  coma new garden          make a project
  coma run garden          run it; edit its files, and modules reload
  coma send garden/greeter hello
  coma ps                  what runs`,
		SilenceErrors: true,
		SilenceUsage:  true,
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: groupAgents, Title: "Agents:"},
		&cobra.Group{ID: groupTalk, Title: "Messages and memory:"},
		&cobra.Group{ID: groupModule, Title: "Inside a module (a script, or what a module starts):"},
		&cobra.Group{ID: groupBackend, Title: "Backend:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupAgents, newNew(), newCheck(), newBuild(), newRun(), newPs(), newForget())
	add(groupTalk, newSend(), newPublish(), newListen(), newMessages(), newMemory())
	add(groupModule, newReceive(), newSubscribe(), newUnsubscribe(), newPending(), newKeep(), newKept(), newLog(), newPrint(), newInput())
	add(groupBackend, newBackend(), newDoctor())
	add(groupOther, newVersion())
	root.AddCommand(&cobra.Command{Use: "exit-codes", Short: "What coma's exit codes mean", Long: exitCodesHelp})
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			parent(cmd) // an unknown shell is a mistake, not a call for help
		}
	}
	asUsageErrors(root)
	return root
}

// parent makes cmd one that only has commands below it: alone it shows its help.
func parent(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var known []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				known = append(known, sub.Name())
			}
		}
		return fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], nearest.Hint(args[0], known))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// asUsageErrors makes wrong arguments and unknown commands exit with the code for usage.
func asUsageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w (see %s --help)", err, cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		asUsageErrors(sub)
	}
}
