package exchange

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"
)

const (
	// settling is how long after its own connection a host waits for the others to tell what they have.
	settling = 300 * time.Millisecond
	// retelling is the pause before what could not be published, or was not heard to come back, is published again.
	retelling = time.Second
	// heartbeat is how often a host tells what it has in any case: what the others believe may be wrong, if they have heard
	// things in another order than they were said.
	heartbeat = time.Minute
	// rivalry is how often another instance of this host's name must be heard before it is taken for one that is there:
	// a broker may tell again what an earlier process of this host has said.
	rivalry = 3
)

// announce tells the others of this host until the exchange ends. It publishes again until it has heard itself: before
// that, its subscriptions may not be there yet.
func (h *hosts) announce() {
	timer := time.NewTimer(retelling)
	defer timer.Stop()
	for {
		timer.Reset(h.say())
		select {
		case <-h.told:
		case <-timer.C:
		case <-h.x.life.Done():
			return
		}
	}
}

// say publishes what is to be published and returns after which time it is to be called again at the latest.
func (h *hosts) say() time.Duration {
	here := h.x.opt.Local.Modules()
	h.compare(here)
	text, err := json.Marshal(listModules(here))
	if err != nil {
		h.x.log.Error("the modules of this host cannot be told", slog.Any("error", err))
		return heartbeat
	}
	h.mu.Lock()
	tell := h.tell || h.there && !h.heard || time.Since(h.spoken) >= heartbeat
	there := h.there
	h.tell = false
	h.mu.Unlock()
	if !there {
		return heartbeat
	}
	if tell || h.list != string(text) {
		if err := h.x.tell(h.x.life, hostTopics+h.x.opt.Host+"/modules", text); err != nil {
			return h.retell(err)
		}
		h.list = string(text)
	}
	if tell {
		if err := h.publishStatus(h.x.life, up); err != nil {
			return h.retell(err)
		}
		h.spoken = time.Now()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.heard:
		return retelling
	case !h.hasClosed:
		h.hasClosed = true
		time.AfterFunc(settling, func() { close(h.settled) })
	}
	return heartbeat
}

func (h *hosts) retell(err error) time.Duration {
	h.mu.Lock()
	h.tell = true
	h.mu.Unlock()
	h.x.log.Debug("what this host has could not be told", slog.Any("error", err))
	return retelling
}

func (h *hosts) publishStatus(ctx context.Context, state string) error {
	h.mu.Lock()
	s := status{State: state, Instance: h.x.opt.Instance, Count: h.count, Found: h.found}
	h.mu.Unlock()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return h.x.tell(ctx, hostTopics+h.x.opt.Host, text)
}

// leave says goodbye, unless the broker is away: then the last will does, or has.
func (h *hosts) leave() {
	h.mu.Lock()
	heard := h.heard
	h.mu.Unlock()
	if !heard {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if err := h.publishStatus(ctx, away); err != nil {
		h.x.log.Debug("the other hosts were not told that this one leaves", slog.Any("error", err))
	}
}

// goodbye bounds how long a host that leaves waits to have said so.
const goodbye = time.Second

// listModules is the list of modules as it is told.
func listModules(here map[string]bool) (m modules) {
	m.Running = []string{}
	for name, runs := range here {
		if runs {
			m.Running = append(m.Running, name)
		} else {
			m.Other = append(m.Other, name)
		}
	}
	slices.Sort(m.Running)
	slices.Sort(m.Other)
	return m
}

// compare tells, once each time, of modules that run here and at another host too.
func (h *hosts) compare(here map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	both := map[string]bool{}
	for name, o := range h.others {
		for m, runs := range o.modules {
			if !runs || !here[m] || o.state != up {
				continue
			}
			both[m] = true
			if !h.warned[m] {
				h.x.log.Error("the module runs at another host too: which of the two gets what other hosts send is not decided; stop one",
					slog.String("module", m), slog.String("host", name))
			}
		}
	}
	h.warned = both
}
