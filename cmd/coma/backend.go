package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/daemon"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

func newBackend() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "backend",
		Short: "Run the services behind agents in the background",
		Long: `The backend is the services behind agents: message broker, mailboxes, memory and their API.
"coma run" brings its own if none runs. One in the background lets several runs share it, and
goes on when they end.

It listens on this machine only (127.0.0.1). Any other --host needs users ("coma backend passwd"), or two secrets
in the environment: COMA_PASSWORD, which MQTT clients give (user: coma), and COMA_TOKEN, which the API asks for.
With --tls-cert and --tls-key, other machines speak TLS: mqtts, https and wss at the same ports. docs/network.md has
an example.

Chroma clients on this machine need no secret, unless COMA_CHROMA_TOKEN asks for one (X-Chroma-Token, or a bearer
token); others need COMA_TOKEN's or that one, or a user's password.

COMA_EMBEDDER names the embedder of memories whose agent asks for none. Keys of embedders that are services
(OPENAI_API_KEY, COMA_EMBEDDER_KEY) and OLLAMA_HOST are read from the environment that the backend is started in.`,
		Example: `  coma backend start
  coma backend status
  coma backend logs -f
  coma backend start --mqtt-port 1884 --api-port 8001
  coma backend start --broker mqtts://broker.example:8883 --broker-ca ca.pem
  coma backend passwd lamp --subscribe 'room/lamp/#'`,
	})
	cmd.AddCommand(newBackendPasswd(), newBackendStart(), newBackendStop(), newBackendRestart(), newBackendStatus(), newBackendLogs())
	return cmd
}

type backendOptions struct {
	daemon.Config
	foreground bool
	announce   bool // this process was started by "backend start"
	limits     []string
}

func (o *backendOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.Host, "host", "", "address to listen on (default 127.0.0.1)")
	flags.IntVar(&o.MQTTPort, "mqtt-port", 0, "port of the MQTT broker (default 1883)")
	flags.IntVar(&o.APIPort, "api-port", 0, "port of the API (default 8000)")
	flags.StringVar(&o.TLSCert, "tls-cert", "", "PEM file of the TLS certificate, with its chain; read again when it changes")
	flags.StringVar(&o.TLSKey, "tls-key", "", "PEM file of its key")
	flags.StringSliceVar(&o.AllowHosts, "allow-host", nil, "another name by which HTTP clients may call this machine")
	flags.StringSliceVar(&o.AllowOrigins, "allow-origin", nil, "a web page of another machine that may use the API, as https://example.org")
	brokerFlags(cmd, &o.Uplink)
	flags.StringSliceVar(&o.limits, "limit", nil, "bound what clients may take, as rate=500 (messages a second); wrong names list all")
}

// settle completes what flags have set: paths that a process in another folder can read, and limits.
func (o *backendOptions) settle() error {
	if err := settleBroker(&o.Uplink); err != nil {
		return err
	}
	for _, path := range []*string{&o.TLSCert, &o.TLSKey} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = absolute
	}
	for _, limit := range o.limits {
		if err := o.Limits.Set(limit); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// arguments are the flags that make the same settings in another process.
func arguments(c daemon.Config) []string {
	args := []string{
		"--host", c.Host, "--mqtt-port", fmt.Sprint(c.MQTTPort), "--api-port", fmt.Sprint(c.APIPort),
		"--tls-cert", c.TLSCert, "--tls-key", c.TLSKey,
	}
	for _, host := range c.AllowHosts {
		args = append(args, "--allow-host", host)
	}
	for _, origin := range c.AllowOrigins {
		args = append(args, "--allow-origin", origin)
	}
	if u := c.Uplink; u.URL != "" {
		args = append(args, "--broker", u.URL, "--broker-ca", u.CA, "--broker-cert", u.Cert, "--broker-key", u.Key,
			"--host-name", u.HostName, fmt.Sprintf("--no-mirror=%t", u.NoMirror))
	}
	for _, limit := range c.Limits.Strings() {
		args = append(args, "--limit", limit)
	}
	return args
}

func newBackendStart() *cobra.Command {
	var opt backendOptions
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the backend",
		Long: `Start starts the backend in the background and returns when it answers, or with the reason why it
does not. One runs already: says so and is content.`,
		Example: `  coma backend start
  coma backend start --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
  coma backend start --foreground      for systemd and the like`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opt.settle(); err != nil {
				return err
			}
			if opt.foreground {
				return serveBackend(cmd.Context(), opt)
			}
			return startBackend(cmd.Context(), cmd.OutOrStdout(), opt.Config)
		},
	}
	opt.flags(cmd)
	cmd.Flags().BoolVar(&opt.foreground, "foreground", false, "run it in this process, with its log on standard error")
	cmd.Flags().BoolVar(&opt.announce, "announce", false, "")
	cmd.Flags().MarkHidden("announce")
	return cmd
}

func newBackendStop() *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop the backend",
		Long: `Stop ends the backend in the background and returns when it has gone. Agents that use it wait for the
next one. None runs: says so and is content.`,
		Example: `  coma backend stop`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dirs, err := folders.FromEnv()
			if err != nil {
				return err
			}
			return stopBackend(cmd.Context(), cmd.OutOrStdout(), dirs)
		},
	}
}

func newBackendRestart() *cobra.Command {
	var opt backendOptions
	cmd := &cobra.Command{
		Use:   "restart",
		Short: "Stop the backend and start it again",
		Long: `Restart stops the backend and starts it again, with the settings that it had unless others
are given. Agents that use it go on, with no message lost. Secrets are read from the environment anew.`,
		Example: `  coma backend restart
  coma backend restart --mqtt-port 1884`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dirs, err := folders.FromEnv()
			if err != nil {
				return err
			}
			config, err := daemon.LoadConfig(dirs)
			if err != nil {
				return err
			}
			opt.Limits = config.Limits
			if err := opt.settle(); err != nil {
				return err
			}
			config.Limits = opt.Limits
			if cmd.Flags().Changed("host") {
				config.Host = opt.Host
			}
			if cmd.Flags().Changed("mqtt-port") {
				config.MQTTPort = opt.MQTTPort
			}
			if cmd.Flags().Changed("api-port") {
				config.APIPort = opt.APIPort
			}
			if cmd.Flags().Changed("tls-cert") || cmd.Flags().Changed("tls-key") {
				config.TLSCert, config.TLSKey = opt.TLSCert, opt.TLSKey
			}
			if cmd.Flags().Changed("allow-host") {
				config.AllowHosts = opt.AllowHosts
			}
			if cmd.Flags().Changed("allow-origin") {
				config.AllowOrigins = opt.AllowOrigins
			}
			if cmd.Flags().Changed("broker") { // "" goes back to coma's own
				config.Uplink = opt.Uplink
			}
			if _, err := backend.ChooseUplink(os.Getenv, config.Uplink); err != nil {
				return usageError{err}
			}
			if err := checkConfig(dirs, config); err != nil {
				return err // before anything is stopped
			}
			if err := stopBackend(cmd.Context(), cmd.OutOrStdout(), dirs); err != nil {
				return err
			}
			return startBackend(cmd.Context(), cmd.OutOrStdout(), config)
		},
	}
	opt.flags(cmd)
	return cmd
}

// startBackend starts the daemon: this program again, in the background.
func startBackend(ctx context.Context, out io.Writer, config daemon.Config) error {
	dirs, err := folders.FromEnv()
	if err != nil {
		return err
	}
	if config.Uplink, err = backend.ChooseUplink(os.Getenv, config.Uplink); err != nil {
		return usageError{err}
	}
	if err := checkConfig(dirs, config); err != nil {
		return err
	}
	found, ok, pid := daemon.Find(ctx, dirs)
	switch {
	case ok:
		defer found.Close()
		fmt.Fprintf(out, "the backend runs already (%s)\n", described(found.Status))
		return nil
	case pid != 0:
		return fmt.Errorf("start backend: process %d is one already, and does not answer here (another XDG_RUNTIME_DIR?)", pid)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start backend: find this program: %w", err)
	}
	for variable, secret := range config.Uplink.Secrets() { // others can see a command line
		if err := os.Setenv(variable, secret); err != nil {
			return fmt.Errorf("start backend: %w", err)
		}
	}
	status, err := daemon.Start(ctx, dirs, append([]string{self, "backend", "start", "--foreground", "--announce"}, arguments(config)...))
	if errors.Is(err, api.ErrInvalid) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the backend runs (%s)\n", described(status))
	return nil
}

func checkConfig(dirs folders.Folders, config daemon.Config) error {
	users, err := daemon.Users(dirs)
	if err != nil {
		return err
	}
	if err := config.Check(daemon.SecretsFromEnv(), users); err != nil {
		return usageError{err}
	}
	return nil
}

func described(s api.Status) string { return fmt.Sprintf("pid %d, %s, %s", s.PID, s.Broker, s.API) }

func stopBackend(ctx context.Context, out io.Writer, dirs folders.Folders) error {
	pid, err := daemon.Stop(ctx, dirs)
	if errors.Is(err, daemon.ErrNotRunning) {
		fmt.Fprintln(out, err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the backend has stopped (pid %d)\n", pid)
	return nil
}

// serveBackend is the daemon's process.
func serveBackend(ctx context.Context, opt backendOptions) error {
	dirs, err := folders.FromEnv()
	if err != nil {
		return err
	}
	if opt.Uplink, err = backend.ChooseUplink(os.Getenv, opt.Uplink); err != nil {
		if opt.announce {
			daemon.Excuse(os.Stdout, err)
		}
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	service := daemon.Service{
		Folders: dirs, Config: opt.Config, Secrets: daemon.SecretsFromEnv(), Embedder: os.Getenv(embed.Variable), Version: version(),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Ready: func(s api.Status) error {
			fmt.Printf("the backend runs (%s)\n", described(s))
			return nil
		},
	}
	if !opt.announce {
		err := service.Run(ctx)
		if errors.Is(err, api.ErrInvalid) {
			return usageError{err}
		}
		return err
	}
	log, err := daemon.OpenLog(daemon.LogPath(dirs))
	if err != nil {
		daemon.Excuse(os.Stdout, err)
		return err
	}
	service.Log = slog.New(slog.NewTextHandler(log, nil))
	service.Ready = daemon.Announce(os.Stdout)
	err = service.Run(ctx)
	if err != nil {
		service.Log.Error("ended", slog.Any("error", err))
		daemon.Excuse(os.Stdout, err)
		err = silentError{err}
	}
	return errors.Join(err, log.Close())
}

func newBackendStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the backends that run",
		Long: `Status shows the backend in the background and those that are part of a "coma run".
The exit code is 1 if none runs.`,
		Example: `  coma backend status
  coma backend status --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return backendStatus(cmd.Context(), cmd.OutOrStdout(), asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func backendStatus(ctx context.Context, out io.Writer, asJSON bool) error {
	dirs, err := folders.FromEnv()
	if err != nil {
		return err
	}
	found, err := backend.Running(ctx, dirs)
	if err != nil {
		return err
	}
	all := []api.Status{}
	for _, f := range found {
		all = append(all, f.Status)
		f.Close()
	}
	switch {
	case asJSON:
		err = printJSON(out, all)
	case len(all) > 0:
		for _, s := range all {
			if s.Away != "" {
				fmt.Fprintf(out, "the broker %s is away %s (pid %d)\n", s.Broker, console.Printable(s.Away), s.PID)
			}
		}
		t := newTable(out, "BACKEND", "PID", "VERSION", "UP", "AGENTS", "MQTT CLIENTS", "BROKER", "API")
		for _, s := range all {
			kind := "coma run"
			if s.Daemon {
				kind = "background"
			}
			t.row(kind, s.PID, s.Version, rough(time.Since(s.Started)), s.Agents, s.Clients, s.Broker, s.API)
		}
		err = t.flush()
		for _, s := range all {
			for _, problem := range s.Problems {
				fmt.Fprintf(out, "problem (pid %d): %s\n", s.PID, console.Printable(problem))
			}
		}
	default:
		fmt.Fprintln(out, `no backend runs: "coma backend start" starts one`)
	}
	if err == nil && len(all) == 0 {
		err = silentError{daemon.ErrNotRunning}
	}
	return err
}

func newBackendLogs() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the background backend's log",
		Long: `Logs prints the log of the backend in the background: what went wrong without anybody having asked.
It is kept to about 10 MiB, with one older file (backend.log.1) beside it.`,
		Example: `  coma backend logs -n 20
  coma backend logs -f`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dirs, err := folders.FromEnv()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return daemon.Tail(ctx, cmd.OutOrStdout(), daemon.LogPath(dirs), lines, follow)
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", -1, "show the last so many lines only")
	cmd.Flags().Lookup("lines").DefValue = "all"
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on showing what is added, until Ctrl-C")
	return cmd
}

func jsonFlag(cmd *cobra.Command, value *bool) {
	cmd.Flags().BoolVar(value, "json", false, "print JSON, for programs")
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
