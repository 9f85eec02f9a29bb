package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// Service is a daemon that is to run in this process.
type Service struct {
	Folders folders.Folders
	Config  Config
	Secrets Secrets
	// Embedder is that of memories whose agent asks for none; see backend.Options.
	Embedder string
	Version  string
	Log      *slog.Logger
	Ready    func(api.Status) error // called when it answers; an error ends it
}

// Run is the daemon's life: it ends with ctx or when somebody asks it to by Shutdown.
func (s Service) Run(ctx context.Context) error {
	if err := s.Folders.Ensure(); err != nil {
		return err
	}
	users, err := Users(s.Folders)
	if err != nil {
		return err
	}
	if err := s.Config.Check(s.Secrets, users); err != nil {
		return err
	}
	unlock, err := lock(lockPath(s.Folders))
	if err != nil {
		return fmt.Errorf("start backend: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := backend.Open(backend.Options{
		Folders: s.Folders, Log: s.Log, Version: s.Version, Daemon: true,
		Host: s.Config.Host, MQTTPort: s.Config.MQTTPort, APIPort: s.Config.APIPort, StrictPorts: true,
		Password: s.Secrets.Password, Token: s.Secrets.Token, ChromaToken: s.Secrets.Chroma, Embedder: s.Embedder, Uplink: s.Config.Uplink, Stop: cancel,
		TLSCert: s.Config.TLSCert, TLSKey: s.Config.TLSKey, AllowHosts: s.Config.AllowHosts, AllowOrigins: s.Config.AllowOrigins,
		Limits: s.Config.Limits,
	})
	if err != nil {
		return errors.Join(withAdvice(err), unlock())
	}
	err = s.serve(ctx, b)
	return errors.Join(err, b.Close(), unlock())
}

// serve keeps b up until ctx ends.
func (s Service) serve(ctx context.Context, b *backend.Backend) error {
	status, err := b.Status(ctx)
	if err != nil {
		return err
	}
	s.Config.Guarded = s.Secrets.Password != ""
	if err := s.Config.save(s.Folders); err != nil {
		return err
	}
	s.Log.Info("started", slog.Int("pid", status.PID), slog.String("version", s.Version),
		slog.String("broker", status.Broker), slog.String("api", status.API))
	if err := s.Ready(status); err != nil {
		return err
	}
	<-ctx.Done()
	s.Log.Info("stopping")
	return nil
}

// withAdvice tells what to do where a port is taken.
func withAdvice(err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	kind, flag := "API", "--api-port"
	if strings.Contains(err.Error(), "MQTT") {
		kind, flag = "MQTT", "--mqtt-port"
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	return fmt.Errorf("start backend: %w: the %s port is another program's (a coma run, another broker?): end that one, or choose another port with %s", op, kind, flag)
}
