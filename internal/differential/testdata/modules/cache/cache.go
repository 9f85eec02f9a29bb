// Package cache keeps what is dear to make: a generic cache with an eviction of choice, expiry, and one maker at a time
// for each key.
package cache

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/concurrent-modular-agent/coma"
)

// Policy decides which key goes when there is no room.
type Policy[K comparable] interface {
	Touch(key K)
	Remove(key K)
	Victim() (K, bool)
}

type lru[K comparable] struct {
	order *list.List
	at    map[K]*list.Element
}

func newLRU[K comparable]() *lru[K] { return &lru[K]{list.New(), map[K]*list.Element{}} }

func (l *lru[K]) Touch(key K) {
	if e, ok := l.at[key]; ok {
		l.order.MoveToFront(e)
		return
	}
	l.at[key] = l.order.PushFront(key)
}

func (l *lru[K]) Remove(key K) {
	if e, ok := l.at[key]; ok {
		l.order.Remove(e)
		delete(l.at, key)
	}
}

func (l *lru[K]) Victim() (key K, ok bool) {
	e := l.order.Back()
	if e == nil {
		return key, false
	}
	return e.Value.(K), true
}

type lfu[K cmp.Ordered] map[K]int

func (l lfu[K]) Touch(key K)  { l[key]++ }
func (l lfu[K]) Remove(key K) { delete(l, key) }
func (l lfu[K]) Victim() (key K, ok bool) {
	for k, n := range l {
		if !ok || n < l[key] || n == l[key] && k < key {
			key, ok = k, true
		}
	}
	return key, ok
}

type entry[V any] struct {
	value   V
	expires int
}

// Stats counts.
type Stats struct{ Hits, Misses, Evicted, Expired int }

func (s Stats) String() string {
	return fmt.Sprintf("%d/%d hits, %d evicted, %d expired", s.Hits, s.Hits+s.Misses, s.Evicted, s.Expired)
}

// Cache is safe for concurrent use.
type Cache[K cmp.Ordered, V any] struct {
	mu      sync.Mutex
	size    int
	now     int
	entries map[K]entry[V]
	policy  Policy[K]
	flights map[K]*flight[V]
	onEvict []func(K, V)
	Stats
}

type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// Option changes a cache that is made.
type Option[K cmp.Ordered, V any] func(*Cache[K, V])

func WithPolicy[K cmp.Ordered, V any](p Policy[K]) Option[K, V] {
	return func(c *Cache[K, V]) { c.policy = p }
}

func OnEvict[K cmp.Ordered, V any](f func(K, V)) Option[K, V] {
	return func(c *Cache[K, V]) { c.onEvict = append(c.onEvict, f) }
}

func New[K cmp.Ordered, V any](size int, options ...Option[K, V]) *Cache[K, V] {
	c := &Cache[K, V]{size: size, entries: make(map[K]entry[V], size), policy: newLRU[K](), flights: map[K]*flight[V]{}}
	for _, o := range options {
		o(c)
	}
	return c
}

func (c *Cache[K, V]) Get(key K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.get(key)
}

func (c *Cache[K, V]) get(key K) (v V, ok bool) {
	e, ok := c.entries[key]
	if ok && e.expires != 0 && e.expires <= c.now {
		c.drop(key)
		c.Expired++
		ok = false
	}
	if !ok {
		c.Misses++
		return v, false
	}
	c.Hits++
	c.policy.Touch(key)
	return e.value, true
}

func (c *Cache[K, V]) drop(key K) {
	delete(c.entries, key)
	c.policy.Remove(key)
}

func (c *Cache[K, V]) Put(key K, v V, ttl int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(key, v, ttl)
}

func (c *Cache[K, V]) put(key K, v V, ttl int) {
	e := entry[V]{value: v}
	if ttl > 0 {
		e.expires = c.now + ttl
	}
	if _, there := c.entries[key]; !there && len(c.entries) >= c.size {
		if victim, ok := c.policy.Victim(); ok {
			old := c.entries[victim].value
			c.drop(victim)
			c.Evicted++
			for _, f := range c.onEvict {
				f(victim, old)
			}
		}
	}
	c.entries[key] = e
	c.policy.Touch(key)
}

// Do returns the value of key, made by make if it is not there, by one caller only.
func (c *Cache[K, V]) Do(key K, make func(K) (V, error)) (V, error) {
	c.mu.Lock()
	if v, ok := c.get(key); ok {
		c.mu.Unlock()
		return v, nil
	}
	if f, ok := c.flights[key]; ok {
		c.mu.Unlock()
		<-f.done
		return f.value, f.err
	}
	f := &flight[V]{done: newSignal()}
	c.flights[key] = f
	c.mu.Unlock()

	f.value, f.err = make(key)

	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, key)
	if f.err == nil {
		c.put(key, f.value, 0)
	}
	close(f.done)
	return f.value, f.err
}

func newSignal() chan struct{} { return make(chan struct{}) }

// All goes through the cache in the order of its keys.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		c.mu.Lock()
		keys := slices.Sorted(maps.Keys(c.entries))
		c.mu.Unlock()
		for _, k := range keys {
			c.mu.Lock()
			e, ok := c.entries[k]
			c.mu.Unlock()
			if ok && !yield(k, e.value) {
				return
			}
		}
	}
}

type page struct {
	Title string
	Links []string
}

// Run takes commands: put, get, do, tick, all, storm; the keys of numbers go to a second cache.
func Run(ctx context.Context, agent *coma.Agent) error {
	var evicted []string
	pages := New(3, OnEvict(func(k string, p page) { evicted = append(evicted, k+"="+p.Title) }))
	numbers := New(2, WithPolicy[int, float64](lfu[int]{}))
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		words := strings.Fields(msg.Text)
		words = append(words, "", "")
		key, arg := words[1], words[2]
		var answer string
		if n, err := strconv.Atoi(key); err == nil && words[0] != "tick" {
			answer = command(numbers, words[0], n, float64(len(arg))+0.5, 0)
		} else {
			ttl := strings.Count(arg, "!")
			answer = command(pages, words[0], key, page{Title: arg, Links: strings.Split(arg, "-")}, ttl)
		}
		answer += fmt.Sprint("; evicted ", evicted)
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}

var errNothing = errors.New("nothing to make it of")

func command[K cmp.Ordered, V any](c *Cache[K, V], verb string, key K, v V, ttl int) string {
	switch verb {
	case "put":
		c.Put(key, v, ttl)
		return fmt.Sprintf("put %v %+v", key, v)
	case "get":
		v, ok := c.Get(key)
		return fmt.Sprintf("%+v %t", v, ok)
	case "do":
		got, err := c.Do(key, func(k K) (V, error) {
			if len(fmt.Sprint(k)) > 5 {
				return *new(V), fmt.Errorf("make %v: %w", k, errNothing)
			}
			return v, nil
		})
		return fmt.Sprintf("%+v %v %t", got, err, errors.Is(err, errNothing))
	case "tick":
		c.now += 2
		return fmt.Sprint("now ", c.now)
	case "all":
		var b strings.Builder
		for k, v := range c.All() {
			fmt.Fprintf(&b, "%v:%v ", k, v)
		}
		return b.String() + fmt.Sprintf("%v %T", c.Stats, c)
	case "storm":
		var made atomic.Int32
		var wg sync.WaitGroup
		release := make(chan struct{})
		results := make([]string, 8)
		for i := range results {
			wg.Go(func() {
				got, err := c.Do(key, func(K) (V, error) { made.Add(1); <-release; return v, nil })
				results[i] = fmt.Sprint(got, err)
			})
		}
		for made.Load() == 0 {
			if _, ok := c.Get(key); ok {
				break
			}
		}
		close(release)
		wg.Wait()
		c.Stats = Stats{} // how often it was looked up is chance
		return fmt.Sprint(made.Load(), len(slices.Compact(results)), results[0])
	}
	return "what is " + strconv.Quote(verb)
}
