package soak

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// daemon is a backend in the background, which agents of several runs share.
type daemon struct {
	h     *home
	ports []string // the flags that name them: it has the same ports in all its lives
}

func (h *home) daemon() *daemon {
	h.t.Helper()
	d := &daemon{h: h, ports: []string{"--mqtt-port", freePort(h.t), "--api-port", freePort(h.t)}}
	d.start()
	h.t.Cleanup(func() { h.Coma("", "backend", "stop") })
	return d
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

func (d *daemon) start() {
	d.h.t.Helper()
	d.h.Coma("", append([]string{"backend", "start"}, d.ports...)...)
}
func (d *daemon) restart() { d.h.t.Helper(); d.h.Coma("", "backend", "restart") }

// kill ends the daemon as kill -9 does, and starts another one.
func (d *daemon) kill() {
	d.h.t.Helper()
	var backends []struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(d.h.Coma("", "backend", "status", "--json")), &backends); err != nil || len(backends) != 1 {
		d.h.t.Fatalf("backends: %+v, %v", backends, err)
	}
	if err := syscall.Kill(backends[0].PID, syscall.SIGKILL); err != nil {
		d.h.t.Fatal(err)
	}
	gone(d.h.t, []int{backends[0].PID})
	d.start()
}

// A sink that writes what it got into a file, too: a line of the log may be said twice, or not at all, while the backend
// is away.
const writingSink = `package sink

import (
	"context"
	"fmt"
	"os"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	got, err := os.OpenFile(os.Getenv("GOT"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer got.Close()
	for {
		msg, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(got, msg.Text); err != nil {
			return err
		}
		agent.Log("got", msg.Text)
	}
}
`

// A source that sends as fast as it can: mailboxes are full, and senders wait, when the backend goes.
const flood = `package source

import (
	"context"
	"strconv"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	for n := 1; ; n++ {
		if err := agent.Send(ctx, "relay", strconv.Itoa(n)); err != nil {
			return err
		}
	}
}
`

// TestBackendStorm restarts the backend that two agents share, while one sends numbered messages to itself and to the
// other: both go on by themselves. Clean restarts lose no message, and none is handled twice or out of order; where the
// backend is killed, durable agents lose none.
func TestBackendStorm(t *testing.T) {
	for name, source := range map[string]string{"calm": storm["source/source.go"], "flood": flood} {
		for _, isolation := range []string{"process", "none"} {
			t.Run("restart/"+isolation+"/"+name, func(t *testing.T) {
				one, other := backendStorm(t, source, "isolation: "+isolation+"\n", (*daemon).restart)
				inOrder(t, "sink", one)
				inOrder(t, "other/sink", other)
			})
			t.Run("kill/"+isolation+"/"+name, func(t *testing.T) {
				one, other := backendStorm(t, source, "durable: true\nisolation: "+isolation+"\n", (*daemon).kill)
				missing(t, one, slices.Max(one))
				missing(t, other, slices.Max(other))
			})
		}
	}
}

// backendStorm returns what both sinks got.
func backendStorm(t *testing.T, source, settings string, strike func(*daemon)) (one, other []int) {
	random := seeded(t)
	h := newHome(t)
	sinkOf := func(agent string) (settingsOf, got string) {
		got = filepath.Join(h.Dir, agent+".got")
		return fmt.Sprintf("agent: %s\nmailbox: {limit: 100}\n%smodules:\n  sink:\n    env: {GOT: %s}\n", agent, settings, got), got
	}
	stormSettings, gotOne := sinkOf("storm")
	otherSettings, gotOther := sinkOf("other")
	both := `agent.Send(context.WithoutCancel(ctx), "sink", msg.Text); err != nil {
			return err
		}
		if err := agent.Send(context.WithoutCancel(ctx), "other/sink", msg.Text)`
	relay := strings.Replace(storm["relay/relay.go"], `agent.Send(context.WithoutCancel(ctx), "sink", msg.Text)`, both, 1)
	sender := h.project("storm", map[string]string{
		"coma.yaml": stormSettings, "source/source.go": source, "relay/relay.go": relay, "sink/sink.go": writingSink,
	})
	receiver := h.project("other", map[string]string{"coma.yaml": otherSettings, "sink/sink.go": writingSink})

	d := h.daemon()
	b := h.run("--backend", "auto", "--no-watch", receiver)
	b.Await(0, "start of other/sink", func(l event) bool { return l.Event == "started" })
	a := h.run("--backend", "auto", "--no-watch", sender)
	goOn := func() {
		t.Helper()
		for _, r := range []running{a, b} {
			from := len(r.Events())
			wait := 10 + random.IntN(30)
			if source == flood {
				wait *= 20
			}
			for range wait {
				_, from = r.Await(from, "message at a sink", func(l event) bool { return l.Module == "sink" && strings.HasPrefix(l.Text, "got ") })
			}
		}
	}
	goOn()
	strikes := long(20, 3)
	for range strikes {
		strike(d)
		goOn()
	}
	var listed []struct {
		Modules []struct {
			State    string `json:"state"`
			Restarts int    `json:"restarts"`
		} `json:"modules"`
	}
	if err := json.Unmarshal([]byte(h.Coma("", "ps", "--json")), &listed); err != nil || len(listed) != 2 {
		t.Errorf("coma ps lists %+v, %v: want two agents", listed, err)
	}
	for _, agent := range listed {
		for _, m := range agent.Modules {
			if m.State != "running" || m.Restarts != 0 {
				t.Errorf("coma ps says of a module %+v", m)
			}
		}
	}
	a.Stop()
	b.Stop()
	for _, r := range []running{a, b} {
		for _, l := range r.Events() {
			if l.Event == "failed" || l.Event == "restarted" {
				t.Errorf("a module did not outlive the backend: %+v", l)
			}
		}
	}
	one, other = numbersIn(t, gotOne), numbersIn(t, gotOther)
	t.Logf("%d strikes, %d and %d messages", strikes, len(one), len(other))
	return one, other
}

func numbersIn(t *testing.T, path string) []int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for word := range strings.FieldsSeq(string(text)) {
		var n int
		if _, err := fmt.Sscan(word, &n); err != nil {
			t.Fatalf("%s: %q is no number", path, word)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// inOrder fails unless got counts from 1.
func inOrder(t *testing.T, name string, got []int) {
	t.Helper()
	for i, n := range got {
		if n != i+1 {
			t.Errorf("%s: message %d of %d is number %d; around it: %v", name, i+1, len(got), n, got[max(0, i-5):min(len(got), i+6)])
			return
		}
	}
}
