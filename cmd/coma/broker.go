package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/uplink"
)

// brokerFlags are those about a broker that takes the place of the backend's own.
func brokerFlags(cmd *cobra.Command, u *backend.Uplink) {
	flags := cmd.Flags()
	flags.StringVar(&u.URL, "broker", "", "MQTT broker to use in place of coma's own: mqtt://, mqtts://, ws:// or wss:// (default: COMA_BROKER, or none)")
	flags.StringVar(&u.CA, "broker-ca", "", "PEM file of the certificates that the broker's must descend from")
	flags.StringVar(&u.Cert, "broker-cert", "", "PEM file of the certificate to show the broker")
	flags.StringVar(&u.Key, "broker-key", "", "PEM file of its key")
	flags.StringVar(&u.HostName, "host-name", "", "how other hosts at that broker know this one (default: COMA_HOST, or the machine's name and some letters)")
	flags.BoolVar(&u.NoMirror, "no-mirror", false, "do not show messages between modules at that broker")
}

// settleBroker makes the paths absolute, so that a process in another folder can read them.
func settleBroker(u *backend.Uplink) error {
	for _, path := range []*string{&u.CA, &u.Cert, &u.Key} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = absolute
	}
	if u.URL != "" {
		if err := uplink.Check(u.URL); err != nil {
			return usageError{err}
		}
	} else if u.CA != "" || u.Cert != "" || u.Key != "" {
		return usagef("--broker-ca, --broker-cert and --broker-key need --broker")
	}
	return nil
}
