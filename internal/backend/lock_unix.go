//go:build unix

package backend

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// lockFile takes the lock that a file stands for; it goes with the process at the latest. The file holds the number of
// the process, for the error of the next.
func lockFile(path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, readErr := os.ReadFile(path)
		err = fmt.Errorf("another backend has it (process %s): %w: stop that one, or run both under \"coma backend start\"",
			strings.TrimSpace(string(holder)), api.ErrInUse)
		return nil, errors.Join(err, readErr, file.Close())
	}
	err = file.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(file, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file.Close, nil
}

func processExists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
