package backend_test

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// byHand starts a program of the Python framework as module py of agent a. What it returns waits for its end.
func byHand(t *testing.T, b *backend.Backend) (wait func()) {
	t.Helper()
	python, dir, err := peers.Framework()
	if err != nil {
		t.Skip(err)
	}
	status, err := b.Status(within(t))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"../peers/framework/by_hand.py", dir}
	for _, address := range []string{status.API, status.Broker} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(u.Host)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, port)
	}
	command := exec.CommandContext(t.Context(), python, args...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := command.Wait(); err != nil {
			t.Errorf("%v: %s", err, output.Bytes())
		}
	}
}

func expect(t *testing.T, s api.Session, want string) api.Message {
	t.Helper()
	m, err := s.Receive(within(t))
	if err != nil || m.Text != want {
		t.Fatalf("received %q, %v, want %q", m.Text, err, want)
	}
	return m
}

// TestAProgramOfThePythonFramework that runs beside a module of the same agent: they talk both ways, in order, and share
// the agent's memory, with times as seconds in the metadata key timestamp.
func TestAProgramOfThePythonFramework(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"gomod"}}, newConsole())
	s := sit(t, h, "a", "gomod", 1)
	wait := byHand(t, b)
	expect(t, s, "ready")
	records, err := s.Memory().Get(within(t), api.Selection{})
	if err != nil || len(records) != 1 || records[0].Text != "from Python" || records[0].Metadata["by"] != "py" ||
		!records[0].Time.Equal(time.UnixMilli(1700000000250)) {
		t.Errorf("the module sees %+v, %v", records, err)
	}
	record := api.Record{Text: "from Go", Time: time.UnixMilli(1700000001500), Metadata: map[string]any{"by": "go"}}
	if _, err := s.Memory().Add(within(t), []api.Record{record}); err != nil {
		t.Fatal(err)
	}
	send(t, s, "py", "remember")
	expect(t, s, "[('from Go', 1700000001.5, {'by': 'go'})]")
	const n = 1000
	go func() {
		for i := range n {
			if err := s.Send(t.Context(), api.Message{To: "py", Text: fmt.Sprint(i)}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := range n {
		expect(t, s, fmt.Sprint(i))
	}
	send(t, s, "py", "end")
	wait()
}

// TestAProgramOfThePythonFrameworkThatIsAModule: what is sent while it is away waits for it.
func TestAProgramOfThePythonFrameworkThatIsAModule(t *testing.T) {
	b := open(t)
	h := attach(t, b, api.Attachment{Agent: "a", Modules: []string{"gomod", "py"}, MQTT: []string{"py"}}, newConsole())
	runs(t, h)
	s := sit(t, h, "a", "gomod", 1)
	n := 0
	for range 2 {
		first := n
		for range 100 {
			send(t, s, "py", fmt.Sprint(n))
			n++
		}
		wait := byHand(t, b)
		expect(t, s, "ready")
		for i := range n - first {
			expect(t, s, fmt.Sprint(first+i))
		}
		send(t, s, "py", "end")
		wait()
		settled(t, b, 0)
	}
}
