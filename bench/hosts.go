package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// hosts measures two modules of one agent at two hosts, each a process with a backend, through each kind of broker; beside
// them the same two at one backend, the second by the link, and bare MQTT clients at the same brokers.
func (b *bench) hosts() error {
	type result struct{ roundTrip, rate, durable float64 }
	var one result
	measured := map[string]result{}
	bare := map[string][2]float64{}
	var err error
	if one.roundTrip, one.rate, err = b.across("", "one", false); err != nil {
		return err
	}
	kinds := []struct {
		name   string
		start  func(peers.Test, peers.BrokerOptions) *peers.Broker
		config string
	}{
		{"Mosquitto", peers.Mosquitto, "persistence false\nmax_inflight_messages 0\nset_tcp_nodelay true\n"}, {"NATS", peers.NATS, ""}, {"RabbitMQ", peers.RabbitMQ, ""},
	}
	for _, kind := range kinds {
		skipped, err := b.beside(func(t peers.Test) error {
			// Mosquitto as in the benchmark of messages, for the bare clients' sake: coma needs none of it.
			k := kind.start(t, peers.BrokerOptions{Config: kind.config})
			var r result
			var err error
			if r.roundTrip, r.rate, err = b.across(k.URL(), kind.name, false); err != nil {
				return err
			}
			if _, r.durable, err = b.across(k.URL(), kind.name+"-durable", true); err != nil {
				return err
			}
			measured[kind.name] = r
			var p [2]float64
			p[0], p[1], err = paho(k.Addr(), 2)
			bare[kind.name] = p
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		if skipped != "" {
			b.row("two hosts through "+kind.name, "not measured", skipped)
		}
	}
	b.row("round trip p50: two processes, one backend", fmt.Sprintf("%.0f µs", one.roundTrip), "")
	for _, kind := range kinds {
		if r := measured[kind.name]; r.roundTrip > 0 {
			b.row("round trip p50: two hosts through "+kind.name, fmt.Sprintf("%.0f µs", r.roundTrip),
				fmt.Sprintf("bare paho.mqtt.golang, QoS 2: %.0f µs (%.2f ×)", bare[kind.name][0], r.roundTrip/bare[kind.name][0]))
		}
	}
	b.row("messages/s: two processes, one backend", fmt.Sprintf("%.0f", one.rate), "")
	for _, kind := range kinds {
		if r := measured[kind.name]; r.rate > 0 {
			b.row("messages/s: two hosts through "+kind.name, fmt.Sprintf("%.0f", r.rate),
				fmt.Sprintf("bare paho.mqtt.golang, QoS 2: %.0f (%.2f ×); durable, 64 senders: %.0f", bare[kind.name][1], r.rate/max(1, bare[kind.name][1]), r.durable))
		}
	}
	return nil
}

const (
	hostRole  = "host"
	hostTrips = 2000
	hostFlood = 50_000
)

// hostPart is what this program is as the second host.
type hostPart struct {
	Dir     string
	Broker  string // URL; "": it has no backend of its own, but uses
	API     string // this one
	Durable bool
}

// across measures round trips (p50, in microseconds) and messages per second between a module here and one in another process,
// whose backend is at the same broker; with no broker both use the backend here.
func (b *bench) across(broker, name string, durable bool) (roundTrip, rate float64, err error) {
	dir := filepath.Join(b.dir, "hosts-"+name)
	host, seat, err := openHost(b.ctx, filepath.Join(dir, "here"), broker, "here", "ping", durable)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	part := hostPart{Dir: filepath.Join(dir, "there"), Broker: broker, Durable: durable}
	if broker == "" {
		status, err := host.Status(b.ctx)
		if err != nil {
			return 0, 0, err
		}
		part.API = "unix://" + status.Socket
	}
	text, err := json.Marshal(part)
	if err != nil {
		return 0, 0, err
	}
	other := exec.CommandContext(b.ctx, os.Args[0])
	other.Env = append(os.Environ(), peerEnv+"="+hostRole+" "+string(text))
	other.Stderr = os.Stderr
	stdin, err := other.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := other.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		stdin.Close()
		err = errors.Join(err, other.Wait())
	}()
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return 0, 0, fmt.Errorf("the second host does not start: %w", err)
	}
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	for { // until it has been heard of
		err := seat.Send(ctx, api.Message{To: "pong", Text: "ping"})
		if err == nil {
			break
		}
		if !errors.Is(err, api.ErrUnknown) || ctx.Err() != nil {
			return 0, 0, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := seat.Receive(ctx); err != nil {
		return 0, 0, err
	}
	senders, flood := 1, hostFlood
	if durable {
		senders, flood = 64, hostFlood/5
	} else {
		var times []float64
		for i := range hostTrips {
			start := time.Now()
			if err := seat.Send(ctx, api.Message{To: "pong", Text: "ping"}); err != nil {
				return 0, 0, err
			}
			if _, err := seat.Receive(ctx); err != nil {
				return 0, 0, err
			}
			if i >= hostTrips/4 {
				times = append(times, float64(time.Since(start).Nanoseconds())/1000)
			}
		}
		slices.Sort(times)
		roundTrip = times[len(times)/2]
	}
	text100 := strings.Repeat("x", 100)
	start := time.Now()
	failed := make(chan error, senders)
	for range senders {
		go func() {
			for range flood / senders {
				if err := seat.Send(ctx, api.Message{To: "pong", Text: text100}); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range senders {
		if err := <-failed; err != nil {
			return 0, 0, err
		}
	}
	if err := seat.Send(ctx, api.Message{To: "pong", Text: "ping"}); err != nil {
		return 0, 0, err
	}
	if _, err := seat.Receive(ctx); err != nil { // the answer to the last one: all before it have been received
		return 0, 0, err
	}
	return roundTrip, float64(flood/senders*senders) / time.Since(start).Seconds(), nil
}

// openHost opens a backend and seats its one module, of agent "a".
func openHost(ctx context.Context, dir, broker, name, module string, durable bool) (*backend.Backend, api.Session, error) {
	b, err := backend.Open(backend.Options{
		Folders: folders.Folders{Data: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")},
		Uplink:  backend.Uplink{URL: broker, HostName: name, NoMirror: true},
	})
	if err != nil {
		return nil, nil, err
	}
	host, err := b.Attach(ctx, api.Attachment{Agent: "a", PID: os.Getpid(), Modules: []string{module}, Durable: durable}, noConsole{})
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	seat, err := host.Open(ctx, api.Identity{Agent: "a", Module: module, Generation: 1})
	if err != nil {
		return nil, nil, errors.Join(err, b.Close())
	}
	return b, seat, nil
}

// beHost answers pings and takes in all else, until standard input ends.
func beHost(text string) error {
	var part hostPart
	if err := json.Unmarshal([]byte(text), &part); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var seat api.Session
	var err error
	end := func() error { return nil }
	if part.Broker == "" {
		seat, err = link.Open(ctx, part.API, "", api.Identity{Agent: "a", Module: "pong", Generation: 1})
	} else {
		var b *backend.Backend
		if b, seat, err = openHost(ctx, part.Dir, part.Broker, "there", "pong", part.Durable); err == nil {
			end = b.Close
		}
	}
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	for {
		m, err := seat.Receive(ctx)
		if err == nil && m.Text == "ping" {
			err = seat.Send(ctx, api.Message{To: "ping", Text: "pong"})
		}
		if ctx.Err() != nil {
			return errors.Join(seat.Close(api.Stopped), end())
		}
		if err != nil {
			return errors.Join(err, end())
		}
	}
}

type noConsole struct{}

func (noConsole) Log(_ string, e api.LogEntry)                          { fmt.Fprintln(os.Stderr, e) }
func (noConsole) Print(string, string)                                  {}
func (noConsole) Input(context.Context, string, string) (string, error) { return "", api.ErrNoInput }

// errSkipped ends what cannot be measured here.
type errSkipped string

func (e errSkipped) Error() string { return string(e) }

// beside measures beside something that package peers starts, and ends that. skipped says why it cannot be started here.
func (b *bench) beside(measure func(peers.Test) error) (skipped string, err error) {
	t := &testOfBench{bench: b}
	defer func() {
		for _, f := range slices.Backward(t.cleanups) {
			f()
		}
		switch cause := recover().(type) {
		case nil:
		case errSkipped:
			skipped = string(cause)
		case error:
			err = cause
		default:
			panic(cause)
		}
	}()
	return "", measure(t)
}

// testOfBench is what package peers asks of a test.
type testOfBench struct {
	bench    *bench
	cleanups []func()
}

func (t *testOfBench) Helper()                         {}
func (t *testOfBench) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }
func (t *testOfBench) Context() context.Context        { return t.bench.ctx }
func (t *testOfBench) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (t *testOfBench) Skipf(format string, args ...any) {
	panic(errSkipped(fmt.Sprintf(format, args...)))
}
func (t *testOfBench) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

func (t *testOfBench) TempDir() string {
	dir, err := os.MkdirTemp(t.bench.dir, "peer-")
	if err != nil {
		panic(err)
	}
	return dir
}
