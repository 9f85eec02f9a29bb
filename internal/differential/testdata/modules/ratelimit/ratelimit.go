// Package ratelimit says who may do how much: token buckets, sliding windows and a limit of what runs at the same time,
// composed per client. Time is a message's own, so that it can be replayed.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// Limiter decides one question: may n be done now?
type Limiter interface {
	Allow(now time.Time, n int) error
}

// Limited is the error of a limiter that says no.
type Limited struct {
	By    string
	Retry time.Duration
}

func (l *Limited) Error() string {
	if l.Retry < 0 {
		return l.By + ": never"
	}
	return fmt.Sprintf("%s: retry in %v", l.By, l.Retry)
}

func (l *Limited) Is(target error) bool { return target == ErrLimited }

var ErrLimited = errors.New("limited")

// bucket fills at a rate up to its size.
type bucket struct {
	size   float64
	rate   float64 // a second
	tokens float64
	last   time.Time
}

func newBucket(size int, rate float64) *bucket {
	return &bucket{size: float64(size), rate: rate, tokens: float64(size)}
}

func (b *bucket) Allow(now time.Time, n int) error {
	if !b.last.IsZero() {
		b.tokens = min(b.size, b.tokens+float64(now.Sub(b.last).Seconds()*b.rate))
	}
	b.last = now
	need := float64(n)
	switch {
	case need > b.size:
		return &Limited{"bucket", -1}
	case need > b.tokens:
		return &Limited{"bucket", time.Duration((need - b.tokens) / b.rate * float64(time.Second)).Round(time.Millisecond)}
	}
	b.tokens -= need
	return nil
}

// sliding allows so many in a span of time.
type sliding struct {
	limit int
	span  time.Duration
	times []time.Time
}

func (s *sliding) Allow(now time.Time, n int) error {
	from := now.Add(-s.span)
	i := sort.Search(len(s.times), func(i int) bool { return s.times[i].After(from) })
	s.times = append(s.times[:0], s.times[i:]...)
	if len(s.times)+n > s.limit {
		if n > s.limit {
			return &Limited{"window", -1}
		}
		return &Limited{"window", s.times[len(s.times)+n-s.limit-1].Add(s.span).Sub(now)}
	}
	for range n {
		s.times = append(s.times, now)
	}
	return nil
}

// all asks limiters in order; the first no is the answer. (What earlier ones gave is lost, as in life.)
type all []Limiter

func (a all) Allow(now time.Time, n int) error {
	for i, l := range a {
		if err := l.Allow(now, n); err != nil {
			return fmt.Errorf("limit %d: %w", i, err)
		}
	}
	return nil
}

// LimiterFunc is a function as a Limiter.
type LimiterFunc func(now time.Time, n int) error

func (f LimiterFunc) Allow(now time.Time, n int) error { return f(now, n) }

// gate bounds what goes on at the same time.
type gate struct {
	slots   chan struct{}
	mu      sync.Mutex
	most    int
	running int
	refused int
}

func (g *gate) do(f func()) bool {
	select {
	case g.slots <- struct{}{}:
	default:
		g.mu.Lock()
		g.refused++
		g.mu.Unlock()
		return false
	}
	defer func() { <-g.slots }()
	g.mu.Lock()
	g.running++
	g.most = max(g.most, g.running)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
	}()
	f()
	return true
}

type clients struct {
	made map[string]Limiter
	make func(name string) Limiter
}

func (c *clients) of(name string) Limiter {
	l, ok := c.made[name]
	if !ok {
		l = c.make(name)
		c.made[name] = l
	}
	return l
}

func Run(ctx context.Context, agent *coma.Agent) error {
	curfew := LimiterFunc(func(now time.Time, n int) error {
		if now.Second() >= 50 {
			return &Limited{"curfew", time.Duration(60-now.Second()) * time.Second}
		}
		return nil
	})
	c := clients{made: map[string]Limiter{}, make: func(name string) Limiter {
		switch name[0] {
		case 'b':
			return newBucket(5, 2)
		case 'w':
			return &sliding{limit: 3, span: 2 * time.Second}
		}
		return all{curfew, newBucket(10, 1), &sliding{limit: 4, span: time.Second}}
	}}
	start := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		answer, err := handle(&c, start, strings.Fields(msg.Text))
		var limited *Limited
		switch {
		case errors.As(err, &limited):
			answer = fmt.Sprintf("no: %v (is limited: %t, retry %d ms)", err, errors.Is(err, ErrLimited), limited.Retry.Milliseconds())
		case err != nil:
			answer = "error: " + err.Error()
		}
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}

// handle takes "client seconds n", or "gate slots tasks".
func handle(c *clients, start time.Time, words []string) (string, error) {
	if len(words) != 3 {
		return "", fmt.Errorf("want 3 words, have %d", len(words))
	}
	x, err := strconv.ParseFloat(words[1], 64)
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(words[2])
	if err != nil {
		return "", fmt.Errorf("count: %w", err)
	}
	if words[0] == "gate" {
		return through(int(x), n), nil
	}
	now := start.Add(time.Duration(x * float64(time.Second)))
	if err := c.of(words[0]).Allow(now, n); err != nil {
		return "", fmt.Errorf("%s at %s: %w", words[0], now.Format("15:04:05.000"), err)
	}
	return fmt.Sprintf("yes: %s %d of %T", words[0], n, c.of(words[0])), nil
}

// through starts tasks that all hold their slot until every task has tried to get one.
func through(slots, tasks int) string {
	g := &gate{slots: make(chan struct{}, slots)}
	var tried, done sync.WaitGroup
	tried.Add(tasks)
	for range tasks {
		done.Go(func() {
			if !g.do(func() { tried.Done(); tried.Wait() }) {
				tried.Done()
			}
		})
	}
	done.Wait()
	return fmt.Sprintf("gate: at most %d, refused %d, running %d", g.most, g.refused, g.running)
}
