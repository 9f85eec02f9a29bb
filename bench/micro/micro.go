// Package micro holds small pieces of Go, each run n times by a function. The benchmarks link it, which is the compiled
// run, and interpret this same file. It is written without what is newer than Go 1.21, so that yaegi runs it, too.
package micro

import "encoding/json"

//go:noinline
func add(a, b int) int { return a + b }

// FunctionCall calls a function, which the compiler must not make a part of the loop.
func FunctionCall(n int) int {
	sum := 0
	for i := 0; i < n; i++ {
		sum = add(sum, i)
	}
	return sum
}

type counter struct{ sum int }

//go:noinline
func (c *counter) add(i int) { c.sum += i }

// MethodCall calls a method of a struct by its pointer.
func MethodCall(n int) int {
	c := &counter{}
	for i := 0; i < n; i++ {
		c.add(i)
	}
	return c.sum
}

type adder interface{ add(int) }

type negative struct{ sum int }

func (c *negative) add(i int) { c.sum -= i }

// InterfaceCall calls a method of an interface that holds one type, then the other.
func InterfaceCall(n int) int {
	c, d := &counter{}, &negative{}
	adders := []adder{c, d}
	for i := 0; i < n; i++ {
		adders[i&1].add(i)
	}
	return c.sum + d.sum
}

// Arithmetic is a loop of a few operations on integers.
func Arithmetic(n int) int {
	x := uint64(88172645463325252)
	for i := 0; i < n; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return int(x >> 1)
}

// MapAccess reads and writes one of a hundred entries.
func MapAccess(n int) int {
	m := make(map[int]int, 100)
	for i := 0; i < n; i++ {
		m[i%100] += i
	}
	return len(m)
}

// ChannelRoundTrip passes a number to a goroutine and back.
func ChannelRoundTrip(n int) int {
	there, back := make(chan int), make(chan int)
	go func() {
		for i := range there {
			back <- i + 1
		}
		close(back)
	}()
	sum := 0
	for i := 0; i < n; i++ {
		there <- i
		sum += <-back
	}
	close(there)
	<-back
	return sum
}

// reading is a struct of the module's own, as modules send them.
type reading struct {
	Sensor string            `json:"sensor"`
	Values []float64         `json:"values"`
	Tags   map[string]string `json:"tags,omitempty"`
	Next   *reading          `json:"next,omitempty"`
}

// Marshal writes a struct of its own as JSON.
func Marshal(n int) int {
	r := reading{Sensor: "a", Values: []float64{1, 2.5}, Tags: map[string]string{"unit": "C"}, Next: &reading{Sensor: "b"}}
	size := 0
	for i := 0; i < n; i++ {
		text, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		size += len(text)
	}
	return size
}
