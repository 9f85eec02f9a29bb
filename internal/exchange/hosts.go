package exchange

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// maxHosts bounds how many hosts are known: whoever may publish at the broker can make up names.
const maxHosts = 4096

// hostTopics begins the topics of the exchange.
const hostTopics = "coma/hosts/"

const (
	up   = "up"
	away = "away"
)

// status is what a host says of itself.
type status struct {
	State    string `json:"state"`
	Instance string `json:"instance,omitempty"` // of its process
	Count    int    `json:"count,omitempty"`    // of its connections
	Found    string `json:"found,omitempty"`    // another instance of its name that it found when it came
}

// modules is where a host tells what it has.
type modules struct {
	Running []string `json:"running"`         // agent/module, sorted
	Other   []string `json:"other,omitempty"` // whose mailboxes are there, but which do not run
}

// Will is what the broker is to publish, retained, when it loses the connection of a host.
func Will(host, instance string) (topic string, payload []byte) {
	payload, err := json.Marshal(status{State: away, Instance: instance})
	if err != nil {
		panic(err) // three strings
	}
	return hostTopics + host, payload
}

// hosts is what is known of the hosts at the broker.
type hosts struct {
	x       *Exchange
	told    chan struct{} // capacity 1: announce has something to do
	settled chan struct{} // closed once the others have had time to answer

	list   string    // the modules as they were published last; announce's alone, as is
	spoken time.Time // when all was published last

	mu        sync.Mutex
	others    map[string]*other
	there     bool   // the connection has been made
	count     int    // how often
	heard     bool   // what this host has published since has come back
	tell      bool   // status and modules are to be published
	found     string // an instance of this host's name that was there at the beginning
	greeted   bool   // heard was true once
	rivals    map[string]int
	warned    map[string]bool // modules that run here and at another host
	refused   error
	hasClosed bool // settled is closed
}

// other is another host.
type other struct {
	state    string // "" where only its modules have been heard of
	instance string
	count    int
	modules  map[string]bool // true: it runs
}

func newHosts(x *Exchange) *hosts {
	return &hosts{x: x, told: make(chan struct{}, 1), settled: make(chan struct{}), others: map[string]*other{},
		rivals: map[string]int{}, warned: map[string]bool{}}
}

func (h *hosts) connected() {
	h.mu.Lock()
	h.there, h.heard, h.tell = true, false, true
	h.count++
	h.mu.Unlock()
	h.wake()
}

func (h *hosts) changed() { h.wake() }

func (h *hosts) wake() {
	select {
	case h.told <- struct{}{}:
	default:
	}
}

// host returns what is known of a host, nil where that is one too many. The caller holds mu.
func (h *hosts) host(name string) *other {
	o := h.others[name]
	if o == nil && len(h.others) >= maxHosts {
		h.x.log.Warn("there are too many hosts at the broker: one is not looked at", slog.String("host", name), slog.Int("known", maxHosts))
		return nil
	}
	if o == nil {
		o = &other{}
		h.others[name] = o
	}
	return o
}

// takeStatus takes what a host says of itself.
func (h *hosts) takeStatus(topic string, payload []byte) {
	name := strings.TrimPrefix(topic, hostTopics)
	if len(payload) == 0 { // somebody has removed it
		h.mu.Lock()
		if o := h.others[name]; o != nil {
			o.state = away
		}
		h.mu.Unlock()
		return
	}
	var s status
	if err := json.Unmarshal(payload, &s); err != nil || !isName(name) {
		h.x.log.Warn("what a host says of itself cannot be read", slog.String("topic", topic))
		return
	}
	if name == h.x.opt.Host {
		h.takeOwn(s)
		return
	}
	h.mu.Lock()
	o := h.host(name)
	if o == nil {
		h.mu.Unlock()
		return
	}
	joined := s.State == up && (o.state != up || o.instance != s.Instance || o.count != s.Count)
	o.state, o.instance, o.count = s.State, s.Instance, s.Count
	if joined { // its broker may have told it nothing of this host, nor kept what was on its way
		h.tell = true
	}
	h.mu.Unlock()
	if joined {
		h.wake()
		h.x.repeat(name)
	}
	h.x.look()
}

// takeOwn takes what was published under this host's own name: by itself, by the broker as its last will, or by another.
func (h *hosts) takeOwn(s status) {
	h.mu.Lock()
	var refused error
	switch own := s.Instance == h.x.opt.Instance; {
	case own && s.State == up:
		h.heard, h.greeted = true, true
	case s.State != up:
		h.tell = h.there // a last will that came late
	case !h.greeted:
		h.found = s.Instance // perhaps an earlier process of this host
	default:
		h.rivals[s.Instance]++
		h.tell = true
		if h.rivals[s.Instance] == rivalry {
			refused = h.rival(s)
		}
	}
	h.mu.Unlock()
	h.wake()
	if refused != nil {
		h.x.log.Error("this host has left the broker", slog.Any("error", refused))
		h.x.stop()
		if h.x.opt.Refused != nil {
			h.x.opt.Refused(refused)
		}
	}
}

// rival decides between two hosts of one name: who was there first stays. It returns why this one must go.
func (h *hosts) rival(s status) error {
	first := h.found == s.Instance || s.Found != h.x.opt.Instance && s.Instance < h.x.opt.Instance
	if !first {
		h.x.log.Error("another host at the broker has the name of this one, and is told to leave", slog.String("host", h.x.opt.Host))
		return nil
	}
	h.refused = fmt.Errorf("another host at the broker has the name %s: %w: give this one a name of its own", h.x.opt.Host, api.ErrInUse)
	return h.refused
}

func (h *hosts) refusal() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

// takeModules takes a host's list of modules.
func (h *hosts) takeModules(topic string, payload []byte) {
	name := strings.TrimSuffix(strings.TrimPrefix(topic, hostTopics), "/modules")
	if name == h.x.opt.Host {
		return
	}
	var list modules
	if err := json.Unmarshal(payload, &list); len(payload) > 0 && err != nil || !isName(name) {
		h.x.log.Warn("a host's list of modules cannot be read", slog.String("topic", topic))
		return
	}
	there := map[string]bool{}
	for _, m := range list.Other {
		there[m] = false
	}
	for _, m := range list.Running {
		there[m] = true
	}
	maps.DeleteFunc(there, func(m string, _ bool) bool { return !isAddress(m) })
	h.mu.Lock()
	if o := h.host(name); o != nil {
		o.modules = there
	}
	h.mu.Unlock()
	h.wake()
	h.x.look()
}

// find returns the host that has a module, "" for none, and whether it is there. One where the module runs is preferred
// to one that has only its mailbox, then one that is there, then the one that had it before.
func (h *hosts) find(to, before string) (name string, there bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	best := -1
	for host, o := range h.others {
		runs, ok := o.modules[to]
		if !ok {
			continue
		}
		rank := 0
		if runs {
			rank += 4
		}
		if o.state != away {
			rank += 2
		}
		if host == before {
			rank++
		}
		if rank > best || rank == best && host < name {
			best, name, there = rank, host, o.state != away
		}
	}
	return name, there
}

// Host is what is known of another host.
type Host struct {
	Name    string
	Up      bool
	Modules map[string]bool // by "agent/module"; true: it runs
}

// Hosts tells of the other hosts, by name.
func (x *Exchange) Hosts() []Host {
	h := x.hosts
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Host
	for name, o := range h.others {
		list = append(list, Host{Name: name, Up: o.state == up, Modules: maps.Clone(o.modules)})
	}
	slices.SortFunc(list, func(a, b Host) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Runs returns the host that runs a module, and whether it is there; "" for none.
func (x *Exchange) Runs(to string) (host string, there bool) {
	h := x.hosts
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, o := range h.others {
		if now := o.state == up; o.modules[to] && (host == "" || now && !there || now == there && name < host) {
			host, there = name, now
		}
	}
	return host, there
}

// Settled waits until the other hosts have had time to tell what they have, or ctx ends.
func (x *Exchange) Settled(ctx context.Context) {
	select {
	case <-x.hosts.settled:
	case <-x.life.Done():
	case <-ctx.Done():
	}
}
