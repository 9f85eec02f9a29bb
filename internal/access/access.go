// Package access decides who may reach a backend from outside, and what they may do there: users and their passwords, what
// each may publish, hear and speak to, how fast somebody may guess, how many may be connected, and the TLS certificate
// that the sockets show.
//
// Read access.go first: an Identity is who a connection belongs to, and every question about permissions is asked of it.
// topics.go compares MQTT patterns; users.go keeps the users' file; login.go checks passwords; throttle.go slows down those
// who guess; limit.go bounds connections, rate.go and intake.go what comes through them; certificate.go is TLS. The package
// knows nothing of brokers and HTTP: package backend asks it.
package access

import (
	"slices"
	"strings"
)

// Permissions are what a user may do. The zero value permits nothing.
type Permissions struct {
	// Admin permits everything: to run agents, to remove memories, to stop the backend.
	Admin bool `json:"admin,omitempty"`
	// Agents are those that the user may speak to, whose states and messages it may see, and whose memory it may use; "*" is
	// all of them.
	Agents []string `json:"agents,omitempty"`
	// Publish and Subscribe are MQTT patterns: the topics that the user may write and read beside its agents' own. A
	// wildcard in one does not reach into an agent or into coma's own topics: see ruled.
	Publish   []string `json:"publish,omitempty"`
	Subscribe []string `json:"subscribe,omitempty"`
}

// Identity is who a connection belongs to. What it permits is what the users' file says now, not what it said when the
// connection was made. The zero Identity is a stranger, who may do nothing.
type Identity struct {
	owner bool
	users *Users
	name  string
	hash  string // of the password that was given: another password is another identity
}

// Owner is the identity of whoever the backend belongs to: its own processes, and those who know its token.
func Owner() Identity { return Identity{owner: true} }

// User is the user's name; "" for the owner, and for a stranger.
func (id Identity) User() string { return id.name }

// Same reports whether two connections belong to the same user, whatever passwords they gave.
func (id Identity) Same(other Identity) bool { return id.owner == other.owner && id.name == other.name }

// Permissions returns what is permitted now; ok is false where the user is gone or has another password now.
func (id Identity) Permissions() (p Permissions, ok bool) {
	if id.owner {
		return Permissions{Admin: true}, true
	}
	if id.users == nil {
		return Permissions{}, false
	}
	u, ok := id.users.lookup(id.name)
	if !ok || u.Hash != id.hash {
		return Permissions{}, false
	}
	return u.Permissions, true
}

// Admin reports whether everything is permitted.
func (id Identity) Admin() bool {
	if id.owner {
		return true
	}
	p, _ := id.Permissions()
	return p.Admin
}

// Valid reports whether the identity is still somebody's: the user is there, and the password is the one that was given.
func (id Identity) Valid() bool {
	_, ok := id.Permissions()
	return ok
}

// Agent reports whether the identity may speak to an agent, see it and use its memory.
func (id Identity) Agent(name string) bool {
	p, _ := id.Permissions()
	return p.agent(name)
}

// Publish reports whether the identity may publish on a topic.
func (id Identity) Publish(topic string) bool {
	p, _ := id.Permissions()
	return p.topic(p.Publish, topic, messages)
}

// Hear reports whether the identity may be told what is published on a topic.
func (id Identity) Hear(topic string) bool { return id.Within(topic) }

// Subscribe reports whether the identity may subscribe to a pattern. What it hears by it is still to be decided topic by
// topic (see Hear): "#" may be subscribed to by whoever has "#", who then hears nothing of others' agents. A shared
// subscription takes messages from others: it has to lie within what may be heard.
func (id Identity) Subscribe(pattern string) bool {
	plain := unshared(pattern)
	if plain != pattern || !strings.ContainsAny(plain, "+#") {
		return id.Within(plain)
	}
	p, _ := id.Permissions()
	return p.Admin || p.topic(nil, plain, messages, states) ||
		slices.ContainsFunc(p.Subscribe, func(allowed string) bool { return Covers(allowed, plain) })
}

// Within reports whether the identity may hear all that is published on topics that match a pattern.
func (id Identity) Within(pattern string) bool {
	p, _ := id.Permissions()
	return p.topic(p.Subscribe, pattern, messages, states)
}

func (p Permissions) agent(name string) bool {
	return p.Admin || slices.Contains(p.Agents, name) || slices.Contains(p.Agents, "*")
}

// The topics that belong to agents: api.MessageTopic and api.StateTopic begin so, followed by the agent's name.
const (
	messages = "concurrent_modular_agent/message/"
	states   = "coma/agents/"
)

// topic decides about one topic, or about a pattern that is to lie within an agent's own topics. Which of an agent's
// topics its users may use is told by own.
func (p Permissions) topic(patterns []string, topic string, own ...string) bool {
	if p.Admin {
		return true
	}
	for _, prefix := range own {
		rest, ok := strings.CutPrefix(topic, prefix)
		if !ok {
			continue
		}
		agent, below, ok := strings.Cut(rest, "/")
		if ok && below != "" && !strings.ContainsAny(agent, "+#") && p.agent(agent) {
			return true
		}
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return Covers(pattern, topic) && (!ruled(topic) || spelled(pattern))
	})
}

// ruled reports whether a topic, or one that a pattern matches, is an agent's or coma's own. Wildcards do not reach there: a
// pattern that gives access to such topics has to spell the first three levels, which name the agent or the host.
func ruled(topic string) bool {
	first, _, _ := strings.Cut(topic, "/")
	return first == "coma" || first == "concurrent_modular_agent" || first == "+" || first == "#"
}

func spelled(pattern string) bool {
	levels := strings.SplitN(pattern, "/", 4)
	return len(levels) >= 3 && !slices.ContainsFunc(levels[:3], func(l string) bool { return l == "+" || l == "#" || l == "" })
}
