package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func newPublish() *cobra.Command {
	var p api.Publication
	var qos int
	cmd := &cobra.Command{
		Use:   "publish <topic> [text...]",
		Short: "Publish to an MQTT topic",
		Long: `Publish sends text to whoever subscribes to an MQTT topic: the words given, joined by spaces, or without words all
of standard input. Inside a module, it is the module that publishes.`,
		Example: `  coma publish garden/pump on
  coma publish garden/level 3.5 --retain`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if qos < 0 || qos > 2 {
				return usagef("--qos %d: want 0, 1 or 2", qos)
			}
			text, err := words(cmd, args[1:])
			if err != nil {
				return err
			}
			p.Topic, p.Payload, p.QoS = args[0], []byte(text), byte(qos)
			if _, ok, err := inside(); ok || err != nil {
				return asModule(cmd, func(ctx context.Context, s api.Session) error { return s.Publish(ctx, p) })
			}
			return onBackends(cmd.Context(), false, func(b api.Backend) error { return b.Publish(cmd.Context(), "cli", p) })
		},
	}
	cmd.Flags().BoolVar(&p.Retain, "retain", false, "the broker keeps it for those who subscribe later; no text removes what it keeps")
	cmd.Flags().IntVar(&qos, "qos", 0, "how surely it arrives: 0, 1 or 2")
	return cmd
}

func newSubscribe() *cobra.Command {
	return &cobra.Command{
		Use:   "subscribe <pattern>...",
		Short: "Have what is published on topics arrive in the module's mailbox",
		Long: `Subscribe has what is published on the topics that an MQTT pattern names (+ is any one level, # any number) arrive
in the module's mailbox, from where "coma receive" takes it. It holds for as long as this generation of the module
lives, so subscribe at its beginning.`,
		Example: `  coma subscribe 'sensors/+/light'`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				return forEach(args, func(pattern string) error { return s.Subscribe(ctx, pattern) })
			})
		},
	}
}

func newUnsubscribe() *cobra.Command {
	return &cobra.Command{
		Use:     "unsubscribe <pattern>...",
		Short:   "End a subscription of the module",
		Long:    `Unsubscribe ends what "coma subscribe" with the same pattern has begun.`,
		Example: `  coma unsubscribe 'sensors/+/light'`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return asModule(cmd, func(ctx context.Context, s api.Session) error {
				return forEach(args, func(pattern string) error { return s.Unsubscribe(ctx, pattern) })
			})
		},
	}
}

// forEach calls do for each argument until one fails.
func forEach(args []string, do func(string) error) error {
	for _, arg := range args {
		if err := do(arg); err != nil {
			return err
		}
	}
	return nil
}
