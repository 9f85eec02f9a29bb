// Package attach finds the backend for those who run agents: the user's daemon, one at an address, or one that is opened
// for the run and ends with it.
package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// Options say which backend is wanted.
type Options struct {
	Address           string // "auto" (or ""): the daemon if it runs, else an own one; "own"; or host:port
	MQTTPort, APIPort int    // of an own one; 0: the usual ports, or free ones
	// Uplink is the broker that an own one uses instead of the embedded one. The daemon must use the same if it is to serve.
	Uplink   backend.Uplink
	Embedder string // of an own one's memories; see backend.Options
	Version  string
	Log      *slog.Logger // what an own one logs; nil: discarded
}

// Attached is a backend to run agents at.
type Attached struct {
	api.Backend
	Close func() error
	Note  string // one line that tells which backend it is and where it listens
}

// Open finds or opens a backend.
func Open(ctx context.Context, opt Options) (Attached, error) {
	dirs, err := folders.FromEnv()
	if err != nil {
		return Attached{}, err
	}
	switch opt.Address {
	case "", "auto":
		if daemon, ok := backend.Daemon(ctx, dirs); ok {
			if err := opt.Uplink.Same(daemon.Status.Broker); err != nil {
				return Attached{}, errors.Join(fmt.Errorf("%w: start it again with that one (coma backend restart --broker), or run with --backend own", err), daemon.Close())
			}
			note := fmt.Sprintf("backend: the daemon (pid %d), %s", daemon.Status.PID, daemon.Status.Broker)
			return Attached{daemon.Client, daemon.Close, note}, nil
		}
	case "own":
	default:
		client, err := Dial(ctx, opt.Address)
		if err != nil {
			return Attached{}, err
		}
		return Attached{client, client.Close, "backend: " + opt.Address}, nil
	}
	own, err := backend.Open(backend.Options{
		Folders: dirs, Version: opt.Version, Log: opt.Log, MQTTPort: opt.MQTTPort, APIPort: opt.APIPort, Embedder: opt.Embedder, Uplink: opt.Uplink,
		ChromaToken: os.Getenv("COMA_CHROMA_TOKEN"),
	})
	if err != nil {
		return Attached{}, err
	}
	status, err := own.Status(ctx)
	if err != nil {
		return Attached{}, errors.Join(err, own.Close())
	}
	note := fmt.Sprintf("backend: %s, %s", status.Broker, status.API)
	if status.External {
		note += ", host " + status.Host
	}
	if status.Away != "" {
		note += " (the broker is away " + status.Away + ")"
	}
	if opt.MQTTPort == 0 && !status.External && !strings.HasSuffix(status.Broker, ":1883") {
		note += " (port 1883 is taken)"
	}
	if opt.APIPort == 0 && !strings.HasSuffix(status.API, ":8000") {
		note += " (port 8000 is taken)"
	}
	return Attached{own, own.Close, note}, nil
}

// Dial connects to the backend at an address that the user gave, host:port or a URL, with the token in COMA_TOKEN.
func Dial(ctx context.Context, address string) (*link.Client, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	client, err := link.Dial(ctx, address, os.Getenv("COMA_TOKEN"))
	if err != nil {
		return nil, fmt.Errorf("%w (is it a coma backend? one on another address needs COMA_TOKEN)", err)
	}
	return client, nil
}
