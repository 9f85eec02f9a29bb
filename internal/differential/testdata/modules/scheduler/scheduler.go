// Package scheduler runs tasks by time and priority on a clock of its own: a heap of what is due, tasks that repeat, that
// wait for others, that are cancelled, and workers that take a round's tasks at the same time.
package scheduler

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// Priority orders what is due at the same time.
type Priority int8

const (
	Low Priority = iota - 1
	Normal
	High
)

func (p Priority) String() string { return [...]string{"low", "normal", "high"}[p+1] }

// Task is something to do.
type Task struct {
	Name  string
	Due   time.Duration
	Every time.Duration
	Priority
	After []string // names of tasks that must have run
	Job   func() (string, error)

	index int
	seq   int
	runs  int
}

// String shows a task as the log does.
func (t *Task) String() string {
	s := fmt.Sprintf("%s@%v/%v", t.Name, t.Due, t.Priority)
	if len(t.After) > 0 {
		s += "<" + strings.Join(t.After, "+")
	}
	return s
}

type queue []*Task

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].Due, q[j].Due), -cmp.Compare(q[i].Priority, q[j].Priority), q[i].seq-q[j].seq) < 0
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	t := x.(*Task)
	t.index = len(*q)
	*q = append(*q, t)
}
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	t.index = -1
	return t
}

var (
	errCycle   = errors.New("tasks wait for each other")
	errUnknown = errors.New("no such task")
)

// Scheduler is used by one goroutine.
type Scheduler struct {
	now     time.Duration
	queue   queue
	byName  map[string]*Task
	done    map[string]int
	seq     int
	workers int
	log     []string
}

func (s *Scheduler) Add(t *Task) error {
	if path := s.cycle(t); path != nil {
		return fmt.Errorf("add %v: %w: %s", t, errCycle, strings.Join(path, "→"))
	}
	if old := s.byName[t.Name]; old != nil && old.index >= 0 {
		heap.Remove(&s.queue, old.index)
	}
	s.seq++
	t.seq = s.seq
	s.byName[t.Name] = t
	heap.Push(&s.queue, t)
	return nil
}

// cycle returns the way from t to itself, if there is one.
func (s *Scheduler) cycle(t *Task) []string {
	var walk func(name string, path []string) []string
	seen := map[string]bool{}
	walk = func(name string, path []string) []string {
		if name == t.Name && len(path) > 0 {
			return append(path, name)
		}
		if seen[name] {
			return nil
		}
		seen[name] = true
		after := t.After
		if name != t.Name {
			next, ok := s.byName[name]
			if !ok {
				return nil
			}
			after = next.After
		}
		for _, a := range after {
			if found := walk(a, append(path, name)); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(t.Name, nil)
}

func (s *Scheduler) Cancel(name string) error {
	t, ok := s.byName[name]
	if !ok || t.index < 0 {
		return fmt.Errorf("cancel %q: %w", name, errUnknown)
	}
	heap.Remove(&s.queue, t.index)
	delete(s.byName, name)
	return nil
}

func (s *Scheduler) ready(t *Task) bool {
	return !slices.ContainsFunc(t.After, func(name string) bool { return s.done[name] == 0 })
}

// Advance moves the clock and runs what becomes due, round by round.
func (s *Scheduler) Advance(d time.Duration) {
	until := s.now + d
	for s.queue.Len() > 0 && s.queue[0].Due <= until {
		s.now = max(s.now, s.queue[0].Due)
		var round, waiting []*Task
		for s.queue.Len() > 0 && s.queue[0].Due <= s.now {
			t := heap.Pop(&s.queue).(*Task)
			if s.ready(t) {
				round = append(round, t)
			} else {
				waiting = append(waiting, t)
			}
		}
		for _, t := range waiting {
			t.Due = s.now + time.Second
			heap.Push(&s.queue, t)
		}
		if len(round) == 0 && len(waiting) > 0 && until-s.now < time.Second {
			break
		}
		s.run(round)
	}
	s.now = until
}

// run does a round's tasks on the workers; the log is in the order of the round.
func (s *Scheduler) run(round []*Task) {
	type outcome struct {
		text string
		err  error
	}
	outcomes := make([]outcome, len(round))
	slots := make(chan struct{}, s.workers)
	var wg sync.WaitGroup
	for i, t := range round {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			defer func() {
				if r := recover(); r != nil {
					outcomes[i].err = fmt.Errorf("panic: %v", r)
				}
			}()
			outcomes[i].text, outcomes[i].err = t.Job()
		}()
	}
	wg.Wait()
	for i, t := range round {
		t.runs++
		o := outcomes[i]
		line := fmt.Sprintf("%v %v #%d", s.now, t.Name, t.runs)
		switch {
		case o.err != nil:
			line += " failed: " + o.err.Error()
		default:
			s.done[t.Name]++
			line += " " + o.text
		}
		s.log = append(s.log, line)
		if t.Every > 0 {
			t.Due = s.now + t.Every
			heap.Push(&s.queue, t)
		}
	}
}

// job is what a task's last word asks for.
func job(word string) func() (string, error) {
	verb, arg, _ := strings.Cut(word, ":")
	switch verb {
	case "fail":
		return func() (string, error) { return "", errors.New(arg) }
	case "panic":
		return func() (string, error) { panic(arg) }
	case "divide":
		n, _ := strconv.Atoi(arg)
		return func() (string, error) { return fmt.Sprint(100 / n), nil }
	case "count":
		n := 0
		return func() (string, error) { n++; return strings.Repeat(arg, n), nil }
	}
	return func() (string, error) { return "did " + word, nil }
}

// parse reads "name due [every=d] [high|low] [after=a,b] job".
func parse(words []string, now time.Duration) (*Task, error) {
	if len(words) < 3 {
		return nil, fmt.Errorf("want name, due and job, have %q", words)
	}
	due, err := time.ParseDuration(words[1])
	if err != nil {
		return nil, err
	}
	t := &Task{Name: words[0], Due: now + due, Job: job(words[len(words)-1]), index: -1}
	for _, w := range words[2 : len(words)-1] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "every":
			if t.Every, err = time.ParseDuration(value); err != nil {
				return nil, err
			}
		case "high", "low":
			t.Priority = map[string]Priority{"high": High, "low": Low}[key]
		case "after":
			t.After = strings.Split(value, ",")
		default:
			return nil, fmt.Errorf("unknown %q", w)
		}
	}
	return t, nil
}

func Run(ctx context.Context, agent *coma.Agent) error {
	s := &Scheduler{byName: map[string]*Task{}, done: map[string]int{}, workers: 3}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		words := strings.Fields(msg.Text)
		answer := "ok"
		switch words[0] {
		case "add":
			var t *Task
			if t, err = parse(words[1:], s.now); err == nil {
				err = s.Add(t)
			}
		case "cancel":
			err = s.Cancel(words[1])
		case "list":
			tasks := slices.Clone(s.queue)
			slices.SortFunc(tasks, func(a, b *Task) int { return cmp.Compare(a.Name, b.Name) })
			answer = fmt.Sprint(tasks)
		default:
			var d time.Duration
			if d, err = time.ParseDuration(words[0]); err == nil {
				s.Advance(d)
				answer = fmt.Sprintf("now %v, %d wait\n%s", s.now, s.queue.Len(), strings.Join(s.log, "\n"))
				s.log = nil
			}
		}
		if err != nil {
			answer = fmt.Sprintf("error: %v (cycle %t, unknown %t)", err, errors.Is(err, errCycle), errors.Is(err, errUnknown))
		}
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}
