package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	gopsnet "github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// owner names the program that listens on a port, as far as this user may know.
func owner(ctx context.Context, port int) string {
	connections, err := gopsnet.ConnectionsWithContext(ctx, "tcp")
	if err != nil {
		return ""
	}
	for _, c := range connections {
		if c.Status != "LISTEN" || c.Laddr.Port != uint32(port) || c.Pid == 0 {
			continue
		}
		text := fmt.Sprintf(" (pid %d", c.Pid)
		if p, err := process.NewProcess(c.Pid); err == nil {
			if name, err := p.Name(); err == nil {
				text += ", " + name
			}
		}
		return text + ")"
	}
	return ""
}

// watches compares the folders that this user watches with what Linux allows: coma run watches each folder of a project.
// Other systems have no such limit.
func watches() []Finding {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_watches")
	if err != nil {
		return nil
	}
	most, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil
	}
	used := 0
	infos, err := filepath.Glob("/proc/[0-9]*/fdinfo/*")
	if err != nil {
		return nil
	}
	for _, info := range infos {
		if target, err := os.Readlink(strings.Replace(info, "fdinfo", "fd", 1)); err != nil || target != "anon_inode:inotify" {
			continue // also: not this user's, or just closed
		}
		if data, err := os.ReadFile(info); err == nil {
			used += bytes.Count(data, []byte("inotify wd:"))
		}
	}
	f := Finding{"folder watches", OK, fmt.Sprintf("%d of %d in use (fs.inotify.max_user_watches)", used, most), ""}
	if used*10 > most*9 || most < 8192 {
		f.Verdict = Warn
		f.Do = "sysctl fs.inotify.max_user_watches=524288, or edits may go unseen"
	}
	return []Finding{f}
}
