// Package planner finds the cheapest way from a state of the world to a goal: actions in a table, A* over facts, and
// plans that are carried out, disturbed and made anew.
package planner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

// fact is a bit of the world.
type fact uint16

const (
	hasWood fact = 1 << iota
	hasAxe
	hasFire
	hasFish
	cooked
	fed
	atHome
	atLake
	atForest
	facts = iota
)

var factNames = [facts]string{"wood", "axe", "fire", "fish", "cooked", "fed", "home", "lake", "forest"}

const places = atHome | atLake | atForest

// world is a set of facts: comparable, so that it can be a key.
type world struct {
	facts fact
	coins int8
}

func (w world) has(f fact) bool { return w.facts&f == f }

func (w world) String() string {
	var names []string
	for i, n := range factNames {
		if w.has(1 << i) {
			names = append(names, n)
		}
	}
	return fmt.Sprintf("{%s +%d}", strings.Join(names, " "), w.coins)
}

type action struct {
	name   string
	cost   int
	needs  fact
	not    fact
	adds   fact
	drops  fact
	coins  int8
	effect func(world) world // what the table cannot say
}

func (a *action) possible(w world) bool {
	return w.has(a.needs) && w.facts&a.not == 0 && w.coins+a.coins >= 0
}

func (a *action) apply(w world) world {
	w.facts = w.facts&^a.drops | a.adds
	w.coins += a.coins
	if a.effect != nil {
		w = a.effect(w)
	}
	return w
}

func move(to fact) func(world) world {
	return func(w world) world {
		w.facts = w.facts&^places | to
		return w
	}
}

var actions = []action{
	{name: "walk home", cost: 2, not: atHome, effect: move(atHome)},
	{name: "walk to the lake", cost: 3, not: atLake, effect: move(atLake)},
	{name: "walk to the forest", cost: 1, not: atForest, effect: move(atForest)},
	{name: "buy an axe", cost: 1, needs: atHome, not: hasAxe, adds: hasAxe, coins: -3},
	{name: "gather sticks", cost: 8, needs: atForest, not: hasWood, adds: hasWood},
	{name: "chop wood", cost: 2, needs: atForest | hasAxe, not: hasWood, adds: hasWood},
	{name: "sell wood", cost: 1, needs: atHome | hasWood, drops: hasWood, coins: 2},
	{name: "light a fire", cost: 1, needs: hasWood, not: hasFire | atLake, adds: hasFire, drops: hasWood},
	{name: "fish", cost: 4, needs: atLake, not: hasFish, adds: hasFish},
	{name: "buy a fish", cost: 1, needs: atHome, not: hasFish, adds: hasFish, coins: -4},
	{name: "cook", cost: 1, needs: hasFish | hasFire, adds: cooked, drops: hasFish},
	{name: "eat", cost: 1, needs: cooked, adds: fed, drops: cooked},
	{name: "eat raw", cost: 20, needs: hasFish, adds: fed, drops: hasFish},
}

var errNoPlan = errors.New("no plan")

type goal struct {
	want  fact
	coins int8
}

func (g goal) met(w world) bool { return w.has(g.want) && w.coins >= g.coins }

// guess never says more than what is left to pay.
func (g goal) guess(w world) (n int) {
	for i := range facts {
		if f := fact(1 << i); g.want&f != 0 && !w.has(f) {
			n++
		}
	}
	return n
}

// open is a priority queue, small and plain: sorted by what a way costs and will cost, then by age.
type open[T any] struct {
	items []prioritized[T]
	count int
}

type prioritized[T any] struct {
	value    T
	priority int
	age      int
}

func (o *open[T]) push(v T, priority int) {
	o.count++
	p := prioritized[T]{v, priority, o.count}
	i, _ := slices.BinarySearchFunc(o.items, p, func(a, b prioritized[T]) int {
		if a.priority != b.priority {
			return b.priority - a.priority
		}
		return b.age - a.age
	})
	o.items = slices.Insert(o.items, i, p)
}

func (o *open[T]) pop() (v T, ok bool) {
	if len(o.items) == 0 {
		return v, false
	}
	last := len(o.items) - 1
	v, o.items = o.items[last].value, o.items[:last]
	return v, true
}

type step struct {
	from world
	by   *action
	cost int
}

type plan struct {
	steps []*action
	cost  int
	seen  int
}

func (p plan) String() string {
	var names []string
	for _, a := range p.steps {
		names = append(names, a.name)
	}
	return fmt.Sprintf("%s (cost %d, %d worlds)", strings.Join(names, ", "), p.cost, p.seen)
}

func find(start world, g goal, forbidden map[string]bool) (plan, error) {
	best := map[world]step{start: {}}
	var queue open[world]
	queue.push(start, g.guess(start))
	closed := map[world]bool{}
	for {
		w, ok := queue.pop()
		if !ok {
			return plan{}, fmt.Errorf("from %v to %v: %w after %d worlds", start, world{g.want, g.coins}, errNoPlan, len(closed))
		}
		if closed[w] {
			continue
		}
		closed[w] = true
		if g.met(w) {
			p := plan{cost: best[w].cost, seen: len(closed)}
			for at := w; best[at].by != nil; at = best[at].from {
				p.steps = append(p.steps, best[at].by)
			}
			slices.Reverse(p.steps)
			return p, nil
		}
		for i := range actions {
			a := &actions[i]
			if forbidden[a.name] || !a.possible(w) {
				continue
			}
			next := a.apply(w)
			if next.coins > 6 {
				continue
			}
			cost := best[w].cost + a.cost
			if known, ok := best[next]; ok && known.cost <= cost {
				continue
			}
			best[next] = step{w, a, cost}
			queue.push(next, cost+g.guess(next))
		}
	}
}

// planner is what commands change.
type planner struct {
	now       world
	forbidden map[string]bool
	trace     []string
}

type command struct {
	usage string
	run   func(p *planner, words []string) (string, error)
}

var commands = map[string]command{
	"plan":   {"facts…: how to get there", (*planner).plan},
	"do":     {"facts…: go there", (*planner).do},
	"forbid": {"action", func(p *planner, words []string) (string, error) { return p.rule(words, true) }},
	"allow":  {"action", func(p *planner, words []string) (string, error) { return p.rule(words, false) }},
	"set":    {"facts…: the world", (*planner).set},
}

func parseFacts(words []string) (g goal, err error) {
	for _, w := range words {
		i := slices.Index(factNames[:], w)
		switch {
		case i >= 0:
			g.want |= 1 << i
		case strings.Trim(w, "$") == "":
			g.coins = int8(len(w))
		default:
			err = errors.Join(err, fmt.Errorf("no fact %q", w))
		}
	}
	return g, err
}

func (p *planner) set(words []string) (string, error) {
	g, err := parseFacts(words)
	if err == nil {
		p.now = world{g.want, g.coins}
	}
	return p.now.String(), err
}

func (p *planner) plan(words []string) (string, error) {
	g, err := parseFacts(words)
	if err != nil {
		return "", err
	}
	found, err := find(p.now, g, p.forbidden)
	return found.String(), err
}

// do carries a plan out; every third step goes wrong, and the plan is made anew from where it led.
func (p *planner) do(words []string) (string, error) {
	g, err := parseFacts(words)
	if err != nil {
		return "", err
	}
	p.trace = p.trace[:0]
	for n := 1; !g.met(p.now); n++ {
		found, err := find(p.now, g, p.forbidden)
		if err != nil {
			return "", err
		}
		a := found.steps[0]
		p.now = a.apply(p.now)
		p.trace = append(p.trace, a.name)
		if n%3 == 0 && p.now.has(hasFish) {
			p.now.facts &^= hasFish
			p.trace = append(p.trace, "(a cat takes the fish)")
		}
	}
	return strings.Join(p.trace, ", ") + " → " + p.now.String(), nil
}

func (p *planner) rule(words []string, forbid bool) (string, error) {
	name := strings.Join(words, " ")
	if !slices.ContainsFunc(actions, func(a action) bool { return a.name == name }) {
		return "", fmt.Errorf("no action %q", name)
	}
	if forbid {
		p.forbidden[name] = true
	} else {
		delete(p.forbidden, name)
	}
	return fmt.Sprint("forbidden: ", slices.Sorted(maps.Keys(p.forbidden))), nil
}

func Run(ctx context.Context, agent *coma.Agent) error {
	p := &planner{now: world{atHome, 1}, forbidden: map[string]bool{}}
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		words := strings.Fields(msg.Text)
		c, ok := commands[words[0]]
		var answer string
		if !ok {
			var lines []string
			for name, c := range commands {
				lines = append(lines, name+" "+c.usage)
			}
			slices.Sort(lines)
			answer = strings.Join(lines, "\n")
		} else if answer, err = c.run(p, words[1:]); err != nil {
			answer = fmt.Sprintf("error: %v (no plan: %t)", err, errors.Is(err, errNoPlan))
		}
		if err := agent.Send(ctx, "out", answer); err != nil {
			return err
		}
	}
}
