package backend

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

// hostName returns the name of this host among those that share a broker, and the folder of what it keeps under that
// name, locked until unlock. The name is the one that is wanted, or made once from the machine's and kept in the state
// folder. A second backend of the same user at the same time is another host: its name ends with -2, and so on.
func hostName(state, wanted string) (name, dir string, unlock func() error, err error) {
	if wanted == "" {
		if wanted, err = ownName(filepath.Join(state, "host.json")); err != nil {
			return "", "", nil, err
		}
	}
	if strings.ContainsAny(wanted, "/+#\x00") || strings.HasPrefix(wanted, ".") || strings.HasPrefix(wanted, "$") || len(wanted) > 100 {
		return "", "", nil, fmt.Errorf("host name %q: %w: want one level of an MQTT topic (no /, + or #), at most 100 bytes", wanted, api.ErrInvalid)
	}
	for n := 1; ; n++ {
		name = wanted
		if n > 1 {
			name = fmt.Sprintf("%s-%d", wanted, n)
		}
		dir = filepath.Join(state, "hosts", name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", "", nil, fmt.Errorf("open host %s: %w", name, err)
		}
		unlock, err = lockFile(filepath.Join(dir, "lock"))
		if err == nil {
			return name, dir, unlock, nil
		}
		if !errors.Is(err, api.ErrInUse) || n == 1000 {
			return "", "", nil, fmt.Errorf("open host %s: %w", name, err)
		}
	}
}

// ownName reads the name that this user's hosts have on this machine, or makes it.
func ownName(path string) (string, error) {
	var kept struct {
		ID string `json:"id"`
	}
	data, err := os.ReadFile(path)
	if err == nil {
		if err = json.Unmarshal(data, &kept); err == nil && kept.ID != "" {
			return kept.ID, nil
		}
		return "", fmt.Errorf("read the host's name: %s is damaged: remove it, or set COMA_HOST", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the host's name: %w", err)
	}
	machine, err := os.Hostname()
	if err != nil {
		machine = "host"
	}
	machine, _, _ = strings.Cut(machine, ".")
	machine = strings.Map(func(r rune) rune {
		if strings.ContainsRune("/+#$\x00", r) {
			return '-'
		}
		return r
	}, machine)
	letters := make([]byte, 4)
	rand.Read(letters)
	kept.ID = machine[:min(len(machine), 60)] + "-" + hex.EncodeToString(letters)
	if data, err = json.Marshal(kept); err != nil {
		return "", fmt.Errorf("keep the host's name: %w", err)
	}
	if err := folders.WriteFile(path, append(data, '\n')); err != nil {
		return "", fmt.Errorf("keep the host's name: %w", err)
	}
	return kept.ID, nil
}
