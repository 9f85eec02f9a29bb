package program

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of what the program's processes leave behind when they end, so that usage
// finds it. It fails only on systems older than Linux 3.4, where such processes are not counted.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// usage is the memory, in bytes, of all processes below pid. Memory that they share, as forked processes do, counts once.
func usage(pid int) int64 {
	var resident int64
	below := descendants(pid, nil)
	for _, p := range below {
		resident += residentOf(p)
	}
	return resident
}

// descendants are the processes below pid. Zombies that have become this process's children are let go.
func descendants(pid int, found []int) []int {
	const most = 10_000 // a fork bomb is ended for the memory of these
	folder := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(folder)
	if err != nil {
		return found // it has ended
	}
	for _, thread := range threads {
		children, err := os.ReadFile(folder + "/" + thread.Name() + "/children")
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(children)) {
			child, err := strconv.Atoi(field)
			if err != nil || len(found) >= most {
				continue
			}
			found = descendants(child, append(found, child))
		}
	}
	return found
}

// residentOf is the resident memory of a process in bytes, with what it shares with others divided among them; 0 if it has
// ended.
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
