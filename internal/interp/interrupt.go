package interp

import (
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/tools/go/ssa"
)

// In an interruptible program the functions of the standard library that wait for others of the program are replaced by
// ones that end when Halt is called: those who would wake them have ended without doing so. What waits otherwise
// (sync.Cond, sync.Once, a sync.Locker, reading a file or a connection) ends no sooner than it would have.

// interruption is what replaces a compiled function in an interruptible program, if anything does.
func (p *Program) interruption(fn *ssa.Function) (reflect.Value, bool) {
	if !p.interruptible {
		return reflect.Value{}, false
	}
	var with any
	switch fn.String() {
	case "time.Sleep":
		with = p.sleep
	case "(*sync.Mutex).Lock":
		with = func(m *sync.Mutex) { p.lock(m.TryLock) }
	case "(*sync.RWMutex).Lock":
		with = func(m *sync.RWMutex) { p.lock(m.TryLock) }
	case "(*sync.RWMutex).RLock":
		with = func(m *sync.RWMutex) { p.lock(m.TryRLock) }
	case "(*sync.WaitGroup).Wait":
		with = p.wait
	default:
		return reflect.Value{}, false
	}
	return reflect.ValueOf(with), true
}

func (p *Program) sleep(d time.Duration) {
	if d <= 0 {
		runtime.Gosched() // as time.Sleep returns at once
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.halt:
		runtime.Goexit()
	}
}

// How long lock waits before it tries again: it begins at the shortest and doubles.
const (
	shortestLockWait = 10 * time.Microsecond
	longestLockWait  = time.Millisecond
	lockYields       = 16 // tries before it waits at all
)

// lock tries until it succeeds. It ends the goroutine when the program is halted.
func (p *Program) lock(try func() bool) {
	for range lockYields {
		if try() {
			return
		}
		runtime.Gosched()
	}
	for wait := shortestLockWait; !try(); wait = min(2*wait, longestLockWait) {
		p.sleep(wait)
	}
}

// wait is WaitGroup.Wait. It looks at the counter itself, since nothing wakes a Wait whose goroutines have ended without
// counting.
func (p *Program) wait(group *sync.WaitGroup) {
	if state := counterOf(group); state != nil {
		p.lock(func() bool { return state.Load()>>32 == 0 })
	}
	group.Wait() // at once, and what the others did happens before it
}

// counterOf is where a WaitGroup counts, in the upper half; nil if it is not made as this package knows it.
func counterOf(group *sync.WaitGroup) *atomic.Uint64 {
	field := reflect.ValueOf(group).Elem().FieldByName("state")
	if !field.IsValid() || field.Type() != reflect.TypeFor[atomic.Uint64]() {
		return nil
	}
	return (*atomic.Uint64)(field.Addr().UnsafePointer())
}
