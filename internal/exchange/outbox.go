package exchange

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/mailbox"
)

// outbox is the messages that wait to leave, a mailbox for each module, and the name of the numbers that they have there.
type outbox struct {
	path  string // of the journal
	store *mailbox.Store

	mu    sync.Mutex
	epoch string
}

// outboxNames are the files' names: of what is not durable, and of what is.
var outboxNames = [...]string{"outbox", "outbox-durable"}

// Waiting counts the messages that wait to leave in the folder of an exchange that is not open.
func Waiting(dir string) (n int, err error) {
	for _, name := range outboxNames {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		store, _, err := mailbox.Open(path, mailbox.Options{})
		if err != nil {
			return n, fmt.Errorf("count messages that wait to leave: %w", err)
		}
		for _, to := range store.Names() {
			n += store.Box(to).Pending()
		}
		if err := store.Close(); err != nil {
			return n, fmt.Errorf("count messages that wait to leave: %w", err)
		}
	}
	return n, nil
}

// openOutbox opens the journal at path, or makes one. The epoch is kept beside it: numbers that a receiver has seen must not
// be given again under it, so it is renewed where the journal is not there any more, or has lost its end.
func openOutbox(path string, durable bool, log *slog.Logger) (*outbox, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	_, missing := os.Stat(path)
	store, recovery, err := mailbox.Open(path, mailbox.Options{Durable: durable, Log: log})
	if err != nil {
		return nil, err
	}
	o := &outbox{path: path, store: store}
	if missing == nil && recovery.Cut == 0 {
		err = o.load()
	} else {
		err = o.renew()
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return o, nil
}

// outboxFile is what is kept beside the journal.
type outboxFile struct {
	Epoch string `json:"epoch"`
}

func (o *outbox) load() error {
	data, err := os.ReadFile(o.path + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return o.renew()
	}
	if err != nil {
		return err
	}
	var file outboxFile
	if json.Unmarshal(data, &file) != nil || file.Epoch == "" {
		return o.renew() // it is damaged, and all that it could say is what is said now anew
	}
	o.epoch = file.Epoch
	return nil
}

// renew begins a new epoch.
func (o *outbox) renew() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	epoch := rand.Text()
	data, err := json.Marshal(outboxFile{epoch})
	if err == nil {
		err = folders.WriteFile(o.path+".json", data)
	}
	if err != nil {
		return fmt.Errorf("begin a new epoch: %w", err)
	}
	o.epoch = epoch
	return nil
}

func (o *outbox) current() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.epoch
}

func (o *outbox) is(epoch string) bool { return o.current() == epoch }
