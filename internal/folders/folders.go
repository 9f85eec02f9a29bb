// Package folders says where coma keeps what is a user's own: data, state and what lives only as long as a backend, each
// where the XDG base directory specification puts it. WriteFile writes small files there.
package folders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Folders are a user's folders. All are made, readable by the user alone, when they are first asked for by Ensure.
type Folders struct {
	Data    string // memories: $XDG_DATA_HOME/coma, ~/.local/share/coma
	State   string // mailboxes, kept values, logs: $XDG_STATE_HOME/coma, ~/.local/state/coma
	Runtime string // sockets of running backends: $XDG_RUNTIME_DIR/coma, else coma-<uid> in the temporary folder
}

// FromEnv reads the environment.
func FromEnv() (Folders, error) {
	data, err := base("XDG_DATA_HOME", ".local/share")
	if err != nil {
		return Folders{}, err
	}
	state, err := base("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return Folders{}, err
	}
	runtime := filepath.Join(os.TempDir(), "coma-"+strconv.Itoa(os.Getuid()))
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		runtime = filepath.Join(dir, "coma")
	}
	return Folders{
		Data:    filepath.Join(data, "coma"),
		State:   filepath.Join(state, "coma"),
		Runtime: runtime,
	}, nil
}

// base returns the folder that an XDG variable names. As the specification says, a relative one is ignored.
func base(variable, fallback string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for coma's data: %w: set HOME or %s", err, variable)
	}
	return filepath.Join(home, fallback), nil
}

// Ensure makes the folders. It refuses a runtime folder that another user has made before: sockets are put there.
func (f Folders) Ensure() error {
	for _, dir := range []string{f.Data, f.State, f.Runtime} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	info, err := os.Lstat(f.Runtime)
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if !info.IsDir() || !ownedByUser(info) {
		return fmt.Errorf("runtime folder %s: %w: remove it, or set XDG_RUNTIME_DIR to a folder of your own", f.Runtime, errForeign)
	}
	return os.Chmod(f.Runtime, 0o700)
}

var errForeign = errors.New("belongs to another user")
