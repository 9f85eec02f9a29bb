//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// detach gives the process a session of its own: neither the terminal's Ctrl-C nor its end reaches it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// lock takes the lock that the file at path stands for, which ends with the process at the latest, and writes the
// process's number into it.
func lock(path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for tries := 0; syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; tries++ {
		if tries == 100 {
			return nil, errors.Join(fmt.Errorf("another one runs already (process %d): %w: coma backend stop ends it", holder(path), api.ErrInUse), file.Close())
		}
		time.Sleep(10 * time.Millisecond) // somebody may only be asking who holds it, or be dying of a kill -9
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

// holder returns the process that holds a lock, or 0 if nobody does.
func holder(path string) int {
	file, err := os.Open(path)
	if err != nil {
		return 0 // nobody ever held it
	}
	defer file.Close()
	// A shared lock: several that ask at once do not take each other for the holder.
	if syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return pid
}
