package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
	"github.com/concurrent-modular-agent/coma/internal/memory"
	"github.com/concurrent-modular-agent/coma/internal/nearest"
)

// agent is what the backend holds of one agent while anybody uses it: an attached host, sessions, a tool's question.
type agent struct {
	backend *Backend
	name    string
	dir     string         // of mailboxes and kept values
	opened  api.Attachment // with which the mailboxes were opened: Durable and Limit
	boxes   *mailbox.Store
	kept    *keeper
	unlock  func() error
	place   *place

	mu       sync.Mutex
	host     *host                      // who runs it, if anybody
	attached chan struct{}              // closed while host is set
	states   map[string]api.ModuleState // as reported
	seats    map[string]*seat           // by module
	topics   map[string]topics          // what modules subscribe to, by module
	left     leftSeats                  // of a backend before this one
	ranBy    int                        // the process that attached last

	opening sync.Mutex // held while the memory is opened
	store   *memory.Store
	far     *remoteStore // the memory, where it is at another backend
	closed  bool         // under opening

	forgotten bool // under place.opening: what is on disk goes when it is closed
}

// stateDir returns the folder of an agent's mailboxes.
func (b *Backend) stateDir(name string) string {
	return filepath.Join(b.opt.Folders.State, "agents", fileName(name))
}

// fileName escapes a checked name as far as it must be to name a file: as in a URL's path, but with letters of all
// languages left alone, lest a long name becomes too long.
func fileName(name string) string {
	name = strings.ReplaceAll(name, "%", "%25")
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:] // not "..", and not a hidden file
	}
	return name
}

func (b *Backend) openAgent(name, dir string, as *api.Attachment) (*agent, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open agent %s: %w", name, err)
	}
	unlock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("open agent %s: %w", name, err)
	}
	log := b.log.With("agent", name)
	boxes, recovery, err := mailbox.Open(filepath.Join(dir, "mailboxes"), mailbox.Options{
		Durable: as.Durable, Limit: as.Limit, Log: log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open agent %s: %w", name, err), unlock())
	}
	if recovery.Cut > 0 {
		log.Warn("the mailboxes' file had a damaged end, which was cut off and kept", slog.Int64("bytes", recovery.Cut),
			slog.String("damage", recovery.Damage.Error()), slog.String("kept", recovery.Kept))
	}
	return &agent{
		backend: b, name: name, dir: dir, opened: *as, boxes: boxes, kept: openKeeper(filepath.Join(dir, "kept")), unlock: unlock,
		states: map[string]api.ModuleState{}, seats: map[string]*seat{}, topics: map[string]topics{},
		attached: make(chan struct{}), left: readLeft(dir, log),
	}, nil
}

// readAttachment returns how the agent was run last, so that its mailboxes keep their promises for whoever opens them.
func readAttachment(dir string) (*api.Attachment, error) {
	path := filepath.Join(dir, attachmentFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &api.Attachment{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open agent: %w", err)
	}
	as := &api.Attachment{}
	if err := json.Unmarshal(data, as); err != nil {
		return nil, fmt.Errorf("open agent: %s is damaged: %w: remove it, and run the agent to write it anew", path, err)
	}
	return as, nil
}

func writeAttachment(dir string, as api.Attachment) error {
	data, err := json.Marshal(as)
	if err != nil {
		return fmt.Errorf("encode attachment: %w", err)
	}
	return folders.WriteFile(filepath.Join(dir, attachmentFile), data)
}

// What is in an agent's folder beside its mailboxes and kept values.
const (
	attachmentFile = "agent.json" // how it was run last
	lockName       = "lock"       // held by the backend that has it open
)

func (a *agent) close() error {
	a.mu.Lock()
	err := a.leave()
	seats := a.seats
	a.seats = map[string]*seat{}
	for module := range a.topics {
		a.unsubscribeAll(module)
	}
	for _, s := range seats {
		s.end()
	}
	a.mu.Unlock()
	a.uncarryAll()
	err = errors.Join(err, a.boxes.Close())
	a.opening.Lock()
	defer a.opening.Unlock()
	a.closed = true
	if a.far != nil {
		a.far.close()
	}
	if a.store != nil {
		err = errors.Join(err, a.store.Close())
		a.store = nil
	}
	if a.forgotten {
		err = errors.Join(err, a.remove())
	}
	return errors.Join(err, a.unlock())
}

// remove removes what is on disk of an agent that is closed but for its lock, which goes last: as long as something is left,
// nobody else opens it.
func (a *agent) remove() error {
	err := memory.Remove(a.backend.memoryDir(), a.name)
	if errors.Is(err, api.ErrNotFound) {
		err = nil
	}
	entries, readErr := os.ReadDir(a.dir)
	err = errors.Join(err, readErr)
	for _, entry := range entries {
		if entry.Name() != lockName {
			err = errors.Join(err, os.RemoveAll(filepath.Join(a.dir, entry.Name())))
		}
	}
	if err == nil {
		err = errors.Join(os.Remove(filepath.Join(a.dir, lockName)), os.Remove(a.dir))
	}
	if err != nil {
		return fmt.Errorf("forget agent %s: %w", a.name, err)
	}
	return nil
}

// box finds the mailbox of a module that runs or has run.
func (a *agent) box(module string) (*mailbox.Box, error) {
	if box, ok := a.boxes.Lookup(module); ok {
		return box, nil
	}
	return nil, fmt.Errorf("%w: agent %s has no module %q%s", api.ErrUnknown, a.name, module, nearest.Hint(module, a.boxes.Names()))
}

func (b *Backend) unknownAgent(name string) error {
	return fmt.Errorf("%w: no agent %q runs or has run%s", api.ErrUnknown, name, nearest.Hint(name, b.knownAgents()))
}

// knownAgents returns the names of all agents that have been run.
func (b *Backend) knownAgents() []string {
	entries, err := os.ReadDir(filepath.Join(b.opt.Folders.State, "agents"))
	if err != nil {
		return nil // none has been run
	}
	var names []string
	for _, e := range entries {
		if name, err := url.PathUnescape(e.Name()); err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
