// Package backend is the services behind agents: the MQTT broker, the mailboxes, the memories, and the API over them. It
// runs inside "coma run" or as a daemon of its own.
//
// backend.go opens and closes it; agent.go is what it holds of one agent, and place.go has that open once for all who use
// it. seat.go is how a module takes its seat and gives it up, session.go what it does there, kept.go what it keeps,
// topics.go what it subscribes to; guest.go is a program beside it, and left.go what scripts find again after a restart.
// host.go is the seat of who runs an agent; tools.go answers the commands, memories.go those about memories.
//
// embedder.go opens an agent's memory with the embedder that is meant, memory.go has it ready for each call, remote.go is
// one at another backend, collections.go is all of them as Chroma's clients see them.
//
// broker.go says what is asked of an MQTT broker. embedded.go and hook.go have the one inside, courier.go and couriers.go
// bring modules that are its clients their messages; external.go, devices.go, states.go, uplink.go and hostname.go have one
// elsewhere, and abroad.go the other hosts at it.
//
// listen.go has the sockets; guard.go and gate.go decide whose a connection is, by HTTP and by MQTT; guarded.go,
// guarded_seat.go and guarded_collections.go what it may ask for, tenure.go for how long; door.go, meter.go, body.go and
// quota.go bound what it can do. registry.go lets processes of one user find the backends that run.
package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/access"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/embed"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
)

// Options say how a backend runs.
type Options struct {
	Folders folders.Folders
	Log     *slog.Logger // what goes wrong without anybody having asked; nil: discarded
	Version string

	// Offline opens the stores alone: no broker, no sockets, nothing that others can find.
	Offline bool
	Daemon  bool

	Host     string // address to listen on; "": 127.0.0.1
	MQTTPort int    // 0: 1883 if it is free, else any free one
	APIPort  int    // 0: 8000 if it is free, else any free one
	// StrictPorts refuses to start where a port is taken, instead of choosing another.
	StrictPorts bool
	User        string // of MQTT clients; "": coma
	Password    string // of MQTT clients; "": none is asked for, which only loopback allows
	Token       string // of the API; "": a fresh one
	ChromaToken string // of Chroma's clients, who may send Token instead; "": they need none on loopback

	TLSCert, TLSKey string        // PEM files, both or none: what is not this machine's own speaks TLS; they may be replaced at any time
	AllowHosts      []string      // names by which HTTP clients may call this machine beside its own
	AllowOrigins    []string      // web pages of other machines that may use the API, as in the Origin header
	Limits          access.Limits // of what clients may take

	// Uplink names a broker elsewhere that takes the place of the embedded one.
	Uplink Uplink

	Embedder string // the name of the one that memories are to use where their agent asks for none; "": their own, else embed.Default
	Stop     func() // what Shutdown calls; nil: Shutdown is refused
}

// Backend is open services. It implements api.Backend and link.Local.
type Backend struct {
	opt     Options
	log     *slog.Logger
	started time.Time

	broker      broker
	abroad      *abroad             // nil where there are no other hosts
	users       *access.Users       // nil offline
	certificate *access.Certificate // nil without TLS
	limits      access.Limits
	rates       rates
	tenures     tenures
	intake      *access.Intake
	full        rarely         // tells of messages for which that has no room
	watching    sync.WaitGroup // for changes of the users

	server *link.Server // nil offline
	listen *sockets     // nil offline
	socket string
	unlock func() error // of the daemon's place; nil for others

	embedders *embed.Library

	life context.Context // ends at Close
	stop context.CancelFunc

	mu     sync.Mutex
	places map[string]*place // of agents, by name
	ending bool              // Close has begun
	closed bool              // no agent is opened any more
}

// Open starts the services.
func Open(opt Options) (*Backend, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if _, err := embed.Parse(opt.Embedder); err != nil {
		return nil, fmt.Errorf("start backend: %s: %w", embed.Variable, err)
	}
	if err := opt.Folders.Ensure(); err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.Background())
	b := &Backend{opt: opt, log: opt.Log, started: time.Now(), life: life, stop: stop, broker: offline{}, places: map[string]*place{},
		full: rarely{every: time.Minute}, embedders: embed.NewLibrary(os.Getenv)}
	if opt.Offline {
		return b, nil
	}
	if err := b.serve(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// serve opens everything that others connect to.
func (b *Backend) serve() (err error) {
	if err := b.openAccess(); err != nil {
		return err
	}
	if b.opt.Daemon {
		if b.unlock, err = lockFile(filepath.Join(b.opt.Folders.Runtime, "backend.lock")); err != nil {
			return fmt.Errorf("start backend: %w", err)
		}
	}
	if b.opt.Token == "" {
		if b.opt.Token, err = loadToken(b.opt.Folders.State); err != nil {
			return err
		}
	}
	b.server = link.NewServer(b, b.opt.Version)
	if err := b.openBroker(); err != nil {
		return err
	}
	if k, ok := b.broker.(*external); ok {
		if b.abroad, err = openAbroad(b, k); err != nil {
			return err
		}
	}
	if b.listen, err = openSockets(b); err != nil {
		return err
	}
	b.watching.Go(b.watchUsers)
	return b.register()
}

// Close ends all services. Mailboxes and memories are on disk when it returns.
func (b *Backend) Close() error {
	b.mu.Lock()
	if b.ending {
		b.mu.Unlock()
		return nil
	}
	b.ending = true
	b.mu.Unlock()
	// Connections end before anything that they are for is refused: what has no answer is asked again at the next backend.
	var errs []error
	if b.socket != "" {
		errs = append(errs, b.unregister())
	}
	b.stop()
	b.watching.Wait()
	if b.listen != nil {
		errs = append(errs, b.listen.close())
	}
	if b.server != nil {
		b.server.Close()
	}
	errs = append(errs, b.abroad.close(), b.broker.close())
	b.mu.Lock()
	places := b.places
	b.places, b.closed = nil, true
	b.mu.Unlock()
	for _, p := range places {
		if a := b.clear(p); a != nil {
			errs = append(errs, a.close())
		}
	}
	if b.unlock != nil {
		errs = append(errs, b.unlock())
	}
	return errors.Join(errs...)
}

// Shutdown implements api.Backend.
func (b *Backend) Shutdown(context.Context) error {
	if b.opt.Stop == nil {
		return fmt.Errorf("stop backend: %w: it is part of a coma run (pid %d), and ends with it", api.ErrInvalid, b.pid())
	}
	b.opt.Stop()
	return nil
}
