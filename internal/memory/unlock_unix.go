//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package memory

import (
	"os"
	"syscall"
)

// unlock gives up bbolt's lock on a file. Closing the file does not where bbolt panicked while it opened it: the mapping
// that it left behind keeps the file open, and with it the lock.
func unlock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
}
