//go:build unix

package compile

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock lets one build at a time use a folder, of all processes of the user. It waits for the others.
func lock(dir string) (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock build folder: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("lock build folder: %w", err)
	}
	return f.Close, nil // and the lock goes with it
}
