package interp

import (
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/tools/txtar"
)

// Everything here waits or runs for ever, after it has called started.
const endless = `
-- a.go --
package endless

import (
	"sync"
	"time"
)

var started, deferred func()

func Set(s, d func()) { started, deferred = s, d }

func Loop()    { defer deferred(); started(); for i := 0; ; i++ {} }
func Goto()    { started(); again: goto again }
func Calls()   { started(); for { leaf() } }
func leaf()    {}
func Receive() { defer deferred(); c := make(chan int); started(); <-c }
func Nil()     { var c chan int; started(); c <- 1 }
func Send()    { c := make(chan string); started(); c <- "" }
func Range()   { c := make(chan int); started(); for range c {} }
func Select()  { a, b := make(chan int), make(chan int); started(); select { case <-a: case b <- 1: } }
func Empty()   { started(); select {} }
func Sleep()   { started(); time.Sleep(time.Hour) }
func Lock()    { var m sync.Mutex; m.Lock(); started(); m.Lock() }
func Embedded() { var s struct{ sync.RWMutex }; s.RLock(); started(); s.Lock() }
func Read()    { var m sync.RWMutex; m.Lock(); started(); m.RLock() }
func Group()   { var g sync.WaitGroup; g.Go(Receive); g.Wait() }
func Counted() {
	var g sync.WaitGroup
	g.Add(1)
	go func() { defer g.Done(); Nil() }()
	g.Wait()
}
func Many() {
	var tree func(depth int)
	tree = func(depth int) {
		if depth > 0 { go tree(depth - 1); go tree(depth - 1) }
		select {}
	}
	go tree(4)
	Receive()
}
func Iterator() {
	started()
	for range func(yield func(int) bool) { for yield(1) {} } {}
}
`

func TestHalt(t *testing.T) {
	for _, name := range []string{
		"Loop", "Goto", "Calls", "Receive", "Nil", "Send", "Range", "Select", "Empty", "Sleep", "Lock", "Embedded", "Read", "Group",
		"Counted", "Many", "Iterator",
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			p, errs, err := loadWith(t, txtar.Parse([]byte(endless)), "endless", Options{Interruptible: true})
			if err != nil || len(errs) > 0 {
				t.Fatal(err, errs)
			}
			p.Init()
			started, ended := make(chan struct{}), make(chan struct{})
			set := p.Lookup("endless", "Set").Interface().(func(s, d func()))
			set(func() { close(started) }, func() { t.Error("a deferred call has run") })
			run := p.Lookup("endless", name).Interface().(func())
			go func() {
				defer close(ended)
				run()
				t.Error("it has returned")
			}()
			<-started
			p.Halt()
			<-ended
		})
	}
}

func TestWaitGroupCounter(t *testing.T) {
	p, errs, err := loadWith(t, txtar.Parse([]byte(`
-- a.go --
package a
import "sync"
func Sum() int {
	var g sync.WaitGroup
	var m sync.Mutex
	sum := 0
	for i := range 100 {
		g.Go(func() { for range 10 { m.Lock(); sum += i; m.Unlock() } })
	}
	g.Wait()
	return sum
}
`)), "a", Options{Interruptible: true})
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	p.Init()
	if got := p.Lookup("a", "Sum").Interface().(func() int)(); got != 49500 {
		t.Errorf("got %d, want 49500", got)
	}
}
