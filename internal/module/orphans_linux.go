package module

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// killMarked kills all processes that have the variable in their environment: what a module started that left its process
// group. A process that appears while we look (a parent is killed just after it forks) is found by looking again until
// there is none.
func killMarked(variable string) {
	needle := []byte(variable)
	for range 10 {
		found := false
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return // no /proc, as in some containers: the process group has been killed all the same
		}
		for _, entry := range entries {
			pid, err := strconv.Atoi(entry.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			environ, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
			if err != nil {
				continue // it has ended, or belongs to another user
			}
			for line := range bytes.SplitSeq(environ, []byte{0}) {
				if bytes.Equal(line, needle) {
					found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
				}
			}
		}
		if !found {
			return
		}
	}
}
