package program

import (
	"bytes"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of what the program's processes leave behind when they end, so that usage
// finds it. It fails only on systems older than Linux 3.4, where such processes are not counted.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// reapOrphans lets go of what the program's processes left behind and this process has adopted, when that ends too.
func reapOrphans(program int, ended <-chan struct{}) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	defer signal.Stop(died)
	// The system's list of children may leave out some while others end, and some may have ended before this began.
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		for _, child := range children(os.Getpid()) {
			if child != program { // that one is waited for where it was started
				_, _ = unix.Wait4(child, nil, unix.WNOHANG, nil) // fails only if it was let go already
			}
		}
		select {
		case <-ended:
			return
		case <-died:
		case <-again.C:
		}
	}
}

// killAll kills what the program has started, wherever that is now: in its process group or out of it. What appears while
// we look is found by looking again.
func killAll() {
	for range 10 {
		below := descendants(os.Getpid(), nil)
		if len(below) == 0 {
			return
		}
		for _, p := range below {
			_ = unix.Kill(p, unix.SIGKILL) // fails only if it has ended, or has become another user's
		}
	}
}

// usage is the memory, in bytes, of all processes below pid: what is resident, and of what they share, as forked processes
// do, each one's part where it matters.
func usage(pid int, limit int64) int64 {
	below := descendants(pid, nil)
	if resident := sum(below, residentOf); resident <= limit || len(below) == 1 {
		return resident
	}
	return sum(below, partOf) // slower: only where the limit seems to be exceeded
}

func sum(processes []int, of func(pid int) int64) (bytes int64) {
	for _, p := range processes {
		bytes += of(p)
	}
	return bytes
}

// descendants are the processes below pid.
func descendants(pid int, found []int) []int {
	const most = 10_000 // a fork bomb is ended for the memory of these
	for _, child := range children(pid) {
		if len(found) < most {
			found = descendants(child, append(found, child))
		}
	}
	return found
}

// children are the processes that pid has started, or adopted; none if it has ended.
func children(pid int) (found []int) {
	folder := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	for _, thread := range threads {
		text, err := os.ReadFile(folder + "/" + thread.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// residentOf is the resident memory of a process in bytes; 0 if it has ended.
func residentOf(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// partOf is the same with what is shared divided among those that share it.
func partOf(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return residentOf(pid) // systems older than Linux 4.14
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Pss:")); ok {
			if fields := bytes.Fields(rest); len(fields) == 2 {
				if kilobytes, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
					return kilobytes << 10
				}
			}
		}
	}
	return residentOf(pid)
}
