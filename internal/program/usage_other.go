//go:build unix && !linux

package program

import "github.com/shirou/gopsutil/v4/process"

// adoptOrphans does nothing: other systems give orphans to init.
func adoptOrphans() {}

// reapOrphans does nothing: init does.
func reapOrphans(int, <-chan struct{}) {}

// killAll does nothing: what has left the process group is not known here.
func killAll() {}

// usage is the memory, in bytes, of all processes below pid; what they share counts in each.
func usage(pid int, _ int64) int64 {
	self, err := process.NewProcess(int32(pid))
	if err != nil {
		return 0
	}
	return below(self, 8)
}

// below sums up to so many levels of children.
func below(p *process.Process, levels int) (sum int64) {
	children, err := p.Children()
	if err != nil || levels == 0 {
		return 0 // it has ended, or has none
	}
	for _, child := range children {
		if memory, err := child.MemoryInfo(); err == nil {
			sum += int64(memory.RSS)
		}
		sum += below(child, levels-1)
	}
	return sum
}
