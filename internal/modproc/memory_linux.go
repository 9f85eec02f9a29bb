//go:build !race

package modproc

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// hardLimit bounds the private memory that this process can map from now on, in bytes above what it has. The allocation
// that goes beyond ends the process.
func hardLimit(more int64) {
	limit := uint64(mapped() + more)
	// It cannot fail: lowering one's own limit needs no rights.
	_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit})
}

// mapped is the private writable memory that this process has mapped, in bytes; 0 if the system does not say.
func mapped() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmData:")); ok {
			kilobytes, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}
