package peers

import "syscall"

// ownGroup gives a process a group of its own, and an end when the test's process ends.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
