//go:build unix

package modproc

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// limitMemory makes the collector work harder as the process comes near limit bytes, and calls exceeded, once, when what
// is alive is more than that. It looks after each collection, by an object that each of them finds dead, and so costs
// nothing while the module is idle. What grows faster than that meets the system's own limit, a little above.
func limitMemory(limit int64, exceeded func()) {
	debug.SetMemoryLimit(limit)
	hardLimit(limit + limit/8 + slack)
	m := &memoryLimit{limit: uint64(limit), exceeded: exceeded}
	for i, name := range []string{
		"/gc/heap/live:bytes", // as the last collection found it
		"/memory/classes/heap/stacks:bytes",
		"/memory/classes/os-stacks:bytes",
	} {
		m.samples[i].Name = name
	}
	m.arm()
}

// slack is for what the runtime maps and does not use yet: it takes address space from the system by 64 MiB.
const slack = 256 << 20

type memoryLimit struct {
	limit    uint64
	exceeded func()
	samples  [3]metrics.Sample
}

// arm leaves an object behind for the next collection.
func (m *memoryLimit) arm() {
	runtime.AddCleanup(new([32]*byte), func(m *memoryLimit) { m.check() }, m)
}

func (m *memoryLimit) check() {
	metrics.Read(m.samples[:])
	var used uint64
	for _, s := range m.samples {
		used += s.Value.Uint64()
	}
	if used > m.limit {
		m.exceeded()
		return
	}
	m.arm()
}
