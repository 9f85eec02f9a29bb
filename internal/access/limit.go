package access

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Limits bound what others can make a backend do and keep. The zero Limits are the defaults, which are meant to be
// noticed by nobody who means well.
type Limits struct {
	Connections   int `json:"connections,omitempty"`   // at a time, of each port; default 2000
	PerAddress    int `json:"per_address,omitempty"`   // connections of one address that is not this machine's; default 100
	Rate          int `json:"rate,omitempty"`          // messages a second of one MQTT client of another machine, or of one user by the API, on average; default 2000; more are slowed down
	MessageBytes  int `json:"message_bytes,omitempty"` // of one message of another machine; default api.MaxMessageBytes
	Subscriptions int `json:"subscriptions,omitempty"` // of one MQTT client; default 1000

	InFlight int64 `json:"in_flight,omitempty"` // bytes of messages that are being received, of all users; default 256 MiB, a quarter of it for one user

	Retained      int   `json:"retained,omitempty"`       // MQTT messages that clients leave at the broker; default 100 000
	RetainedBytes int64 `json:"retained_bytes,omitempty"` // their payloads, all together; default 256 MiB

	Sessions     int           `json:"sessions,omitempty"`      // persistent MQTT sessions of clients that are away; default 2000, the one away longest goes
	SessionAge   time.Duration `json:"session_age,omitempty"`   // how long one is kept, in nanoseconds; default 7 days
	SessionBytes int64         `json:"session_bytes,omitempty"` // messages that wait for all of them; default 256 MiB
}

// WithDefaults fills in what is not set.
func (l Limits) WithDefaults() Limits {
	set(&l.Connections, 2000)
	set(&l.PerAddress, 100)
	set(&l.Rate, 2000)
	set(&l.MessageBytes, api.MaxMessageBytes)
	set(&l.Subscriptions, 1000)
	set(&l.InFlight, 256<<20)
	set(&l.Retained, 100_000)
	set(&l.RetainedBytes, 256<<20)
	set(&l.Sessions, 2000)
	set(&l.SessionAge, 7*24*time.Hour)
	set(&l.SessionBytes, 256<<20)
	return l
}

// named are the limits that are counts or sizes, with the names by which Set and Strings know them.
func (l *Limits) named() map[string]any {
	return map[string]any{
		"connections": &l.Connections, "per-address": &l.PerAddress, "rate": &l.Rate, "message-bytes": &l.MessageBytes,
		"subscriptions": &l.Subscriptions, "in-flight": &l.InFlight, "retained": &l.Retained, "retained-bytes": &l.RetainedBytes,
		"sessions": &l.Sessions, "session-age": &l.SessionAge, "session-bytes": &l.SessionBytes,
	}
}

// Set sets one limit by its name, as in "rate=500" or "session-age=48h". The names are those of the fields in JSON, with
// hyphens.
func (l *Limits) Set(text string) error {
	name, value, _ := strings.Cut(text, "=")
	switch field := l.named()[name].(type) {
	case *time.Duration:
		age, err := time.ParseDuration(value)
		if err != nil || age < time.Second {
			return fmt.Errorf("limit %s: %w: want a duration of a second or more, as in 48h", text, api.ErrInvalid)
		}
		*field = age
	case *int:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 1 || field == &l.MessageBytes && n > api.MaxMessageBytes {
			return fmt.Errorf("limit %s: %w: want a whole number from 1 on, of message-bytes at most %d", text, api.ErrInvalid, api.MaxMessageBytes)
		}
		*field = int(n)
	case *int64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 1 {
			return fmt.Errorf("limit %s: %w: want a number of bytes", text, api.ErrInvalid)
		}
		*field = n
	default:
		return fmt.Errorf("limit %s: %w: want name=value with one of %s", text, api.ErrInvalid,
			strings.Join(slices.Sorted(maps.Keys(l.named())), ", "))
	}
	return nil
}

// Strings are the limits that are set, in Set's form.
func (l Limits) Strings() []string {
	var texts []string
	for name, field := range l.named() {
		switch field := field.(type) {
		case *time.Duration:
			if *field > 0 {
				texts = append(texts, name+"="+field.String())
			}
		case *int:
			if *field > 0 {
				texts = append(texts, fmt.Sprintf("%s=%d", name, *field))
			}
		case *int64:
			if *field > 0 {
				texts = append(texts, fmt.Sprintf("%s=%d", name, *field))
			}
		}
	}
	slices.Sort(texts)
	return texts
}

func set[N int | int64 | time.Duration](field *N, value N) {
	if *field <= 0 {
		*field = value
	}
}

// Limit returns a listener that takes no more connections at a time than the limits allow. Those beyond are closed
// without a word; full, if not nil, is told their addresses.
func Limit(l net.Listener, limits Limits, full func(address string)) net.Listener {
	limits = limits.WithDefaults()
	return &limited{Listener: l, limits: limits, full: full, by: map[string]int{}}
}

type limited struct {
	net.Listener
	limits Limits
	full   func(address string)

	mu  sync.Mutex
	all int
	by  map[string]int // by network; see Network
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		address := Host(conn.RemoteAddr())
		network := Network(address)
		if l.take(network) {
			return &counted{Conn: conn, release: sync.OnceFunc(func() { l.release(network) })}, nil
		}
		conn.Close() // it is nobody's yet
		if l.full != nil {
			l.full(address)
		}
	}
}

func (l *limited) take(network string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.limits.Connections || network != "" && l.by[network] >= l.limits.PerAddress {
		return false
	}
	l.all++
	l.by[network]++
	return true
}

func (l *limited) release(network string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.by[network]--; l.by[network] == 0 {
		delete(l.by, network)
	}
}

type counted struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// Host is the address of one end of a connection without its port; "" where it has none.
func Host(address net.Addr) string {
	if address == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return ""
	}
	return host
}
