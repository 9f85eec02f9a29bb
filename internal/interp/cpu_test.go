package interp

import (
	"syscall"
	"testing"
	"time"
)

// processor is the processor time that the process has used.
func processor() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// timed runs f b.N times and reports processor time beside the time that has passed, which says little on a busy machine.
func timed(b *testing.B, f func()) {
	start := processor()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(processor()-start)/float64(b.N), "cpu-ns/op")
}
