package main

import (
	"context"
	"errors"
	"os"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// onBackends calls do with each backend of the user that runs, until one of them knows what is asked about: its answer
// counts. With offline, the stores on disk are asked where no backend runs. Inside a module it is the module's own that
// is asked, and no other.
func onBackends(ctx context.Context, offline bool, do func(api.Backend) error) error {
	if c, ok, err := inside(); ok || err != nil {
		if err != nil {
			return err
		}
		host, err := link.Dial(ctx, c.address, c.token)
		if err != nil {
			return err
		}
		return errors.Join(do(host), host.Close())
	}
	dirs, err := folders.FromEnv()
	if err != nil {
		return err
	}
	found, err := backend.Running(ctx, dirs)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range found {
			f.Close() // nothing was left unsaid
		}
	}()
	if len(found) == 0 && !offline {
		return errors.New("no backend runs: start an agent with \"coma run <project>\", or a backend with \"coma backend start\"")
	}
	var last error
	for _, f := range found {
		last = do(f.Client)
		if !errors.Is(last, api.ErrUnknown) && !errors.Is(last, api.ErrInUse) && !errors.Is(last, api.ErrNotFound) {
			return last
		}
	}
	if len(found) > 0 {
		return last
	}
	stores, err := backend.Open(backend.Options{Folders: dirs, Offline: true, Version: version(), Embedder: os.Getenv(embed.Variable)})
	if err != nil {
		return err
	}
	return errors.Join(do(stores), stores.Close())
}
