package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// A backend that runs is known by a file beside its socket, named as the socket with the ending .json: an api.Status.
// What counts is whether the socket answers; a file whose socket does not is a leftover of a process that was killed.

func (b *Backend) register() error {
	status, err := b.Status(context.Background())
	if err != nil {
		return err
	}
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("register backend: %w", err)
	}
	if err := folders.WriteFile(registration(b.socket), data); err != nil {
		return fmt.Errorf("register backend: %w", err)
	}
	return nil
}

func (b *Backend) unregister() error {
	err := os.Remove(registration(b.socket))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func registration(socket string) string { return strings.TrimSuffix(socket, ".sock") + ".json" }

// Running connects to all backends of the user that run: the daemon first, then those inside coma run, the newest first.
// Leftovers of killed ones are removed. The caller closes the clients.
func Running(ctx context.Context, f folders.Folders) ([]Found, error) {
	paths, err := filepath.Glob(filepath.Join(f.Runtime, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("find backends: %w", err)
	}
	var found []Found
	for _, path := range paths {
		socket := strings.TrimSuffix(path, ".json") + ".sock"
		client, err := dialRegistered(ctx, socket)
		if err != nil {
			if ctx.Err() != nil {
				return found, ctx.Err()
			}
			if socket != daemonSocket(f) { // whose leftovers are the next daemon's to replace, while it holds the lock
				removeStale(path, socket)
			}
			continue
		}
		status, err := client.Status(ctx)
		if err != nil {
			client.Close()
			continue // it has just gone
		}
		found = append(found, Found{client, status})
	}
	slices.SortFunc(found, func(x, y Found) int {
		if x.Status.Daemon != y.Status.Daemon {
			if x.Status.Daemon {
				return -1
			}
			return 1
		}
		return y.Status.Started.Compare(x.Status.Started)
	})
	return found, nil
}

func daemonSocket(f folders.Folders) string { return filepath.Join(f.Runtime, "backend.sock") }

// Found is a backend that runs.
type Found struct {
	*link.Client
	Status api.Status
}

// Daemon connects to the user's daemon, if it runs.
func Daemon(ctx context.Context, f folders.Folders) (Found, bool) {
	client, err := dialRegistered(ctx, daemonSocket(f))
	if err != nil {
		return Found{}, false
	}
	status, err := client.Status(ctx)
	if err != nil {
		client.Close()
		return Found{}, false
	}
	return Found{client, status}, true
}

func dialRegistered(ctx context.Context, socket string) (*link.Client, error) {
	if _, err := os.Stat(socket); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return link.Dial(ctx, "unix://"+socket, "")
}

// removeStale removes what a killed backend has left, unless its process still lives (and is only slow to answer).
func removeStale(path, socket string) {
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	var status api.Status
	if json.Unmarshal(data, &status) == nil && processExists(status.PID) {
		return
	}
	os.Remove(path)
	os.Remove(socket)
}
