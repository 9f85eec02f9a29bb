package supervisor_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/peers"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// The modules of a project of the Python framework, beside one in Go: each text that "relay" hears it tells "listener".
const (
	relay = `import concurrent_modular_agent as coma
# edited 0 times

@coma.module_main("relay")
def main(agent: coma.AgentInterface):
    while True:
        m = agent.message.receive()
        if m == "die":
            raise ValueError("as told")
        if m == "ask":
            m = input("who? ")
        if m == "remember":
            m = ", ".join(sorted(r[0] if isinstance(r, tuple) else r.text for r in agent.state.get()))
        agent.message.send("listener", m)
`
	listener = `package listener

import (
	"context"
	"strings"

	"github.com/concurrent-modular-agent/coma"
)

func Run(ctx context.Context, agent *coma.Agent) error {
	if _, err := agent.Memory.Add(ctx, "a listener was here"); err != nil {
		return err
	}
	var all []string
	for {
		m, err := agent.Receive(ctx)
		if err != nil {
			return err
		}
		if m.Text == "report" {
			agent.Log("all", strings.Join(all, " "))
			continue
		}
		all = append(all, m.Text)
		agent.Log("heard", m.Text, "from", m.From)
	}
}
`
)

// prepareFramework prepares a project with a module of the framework and one in Go.
func prepareFramework(t *testing.T, broker backend.Uplink) *agent {
	t.Helper()
	python, dir, err := peers.Framework()
	if err != nil {
		t.Skip(err)
	}
	t.Setenv("PYTHONPATH", dir+string(filepath.ListSeparator)+os.Getenv("PYTHONPATH"))
	t.Setenv("VIRTUAL_ENV", filepath.Dir(filepath.Dir(python)))
	return prepareAt(t, broker, map[string]string{"mod1.py": relay, "listener/listener.go": listener})
}

// everyBroker tests with coma's own broker, and with one elsewhere.
func everyBroker(t *testing.T, test func(t *testing.T, broker backend.Uplink)) {
	t.Run("own", func(t *testing.T) { test(t, backend.Uplink{}) })
	t.Run("elsewhere", func(t *testing.T) { test(t, backend.Uplink{URL: peers.Mosquitto(t, peers.BrokerOptions{}).URL()}) })
}

// TestModulesOfThePythonFramework: they run as they are, talk with a Go module of the agent and share its memory. No
// message is lost while they are edited, nor done twice.
func TestModulesOfThePythonFramework(t *testing.T) {
	everyBroker(t, testModulesOfThePythonFramework)
}

func testModulesOfThePythonFramework(t *testing.T, broker backend.Uplink) {
	a := prepareFramework(t, broker)
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "listener") // Python is not there yet: messages wait
	a.send("relay", "hello")
	a.hear("listener", "heard hello from garden/relay")
	a.send("relay", "remember")
	a.hear("listener", "heard a listener was here from garden/relay")

	const edits, each = 3, 40
	all := []string{"hello", "a listener was here"}
	for edit := range edits {
		for range each {
			all = append(all, strconv.Itoa(len(all)))
			a.send("relay", all[len(all)-1])
		}
		a.write("mod1.py", relay+"# "+strconv.Itoa(edit)+"\n")
		if e := a.await(supervisor.Reloaded, "relay"); e.Generation != edit+2 {
			t.Errorf("edit %d makes generation %d", edit, e.Generation)
		}
	}
	a.send("relay", "report")
	a.hear("listener", "all "+strings.Join(all, " "))
	if box := a.mailboxes()["relay"]; box.Waiting > 1 { // the last one is in hand
		t.Errorf("mailbox %+v", box)
	}
}

// TestAModuleOfThePythonFrameworkThatDies: the message that it died of comes again, at last goes to the dead letters, and
// the others live.
func TestAModuleOfThePythonFrameworkThatDies(t *testing.T) {
	everyBroker(t, testAModuleOfThePythonFrameworkThatDies)
}

func testAModuleOfThePythonFrameworkThatDies(t *testing.T, broker backend.Uplink) {
	a := prepareFramework(t, broker)
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "listener") // Python is not there yet: messages wait
	a.send("relay", "die")
	a.send("relay", "live")
	for range 5 {
		e := a.await(supervisor.Failed, "relay")
		if got, want := e.Err.Error(), "ValueError: as told (mod1.py:9: main)"; got != want {
			t.Errorf("the error is %q, want %q", got, want)
		}
	}
	a.hear("listener", "heard live from garden/relay")
	if box := a.mailboxes()["relay"]; box.Dead != 1 {
		t.Errorf("mailbox %+v", box)
	}
}

// busy is a module of the framework that shows how it is stopped in the middle of its work.
const busy = `import time
import concurrent_modular_agent as coma

@coma.module_main("relay")
def main(agent):
    while True:
        m = agent.message.receive(timeout=0.05)
        if m == "outside":
            agent.message.send("device", "seen")
        if m == "count":
            agent.message.send("listener", str(agent.message.num_messages()))
        if m == "work":
            agent.message.send("listener", "begun")
            try:
                time.sleep(600)
            finally:
                agent.message.send("listener", "cleaned up")
`

// TestAModuleOfThePythonFrameworkThatIsStopped: its clauses run, and the message that it was at comes again. Whoever listens
// at the broker hears what is sent to no module.
func TestAModuleOfThePythonFrameworkThatIsStopped(t *testing.T) {
	everyBroker(t, func(t *testing.T, broker backend.Uplink) {
		a := prepareFramework(t, broker)
		a.write("mod1.py", busy)
		a.run(supervisor.Options{Watch: true})
		a.await(supervisor.Started, "listener")
		status, err := a.backend.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan string, 1)
		device := paho.NewClient(paho.NewClientOptions().AddBroker(status.Broker).SetClientID("device"))
		for _, do := range []func() paho.Token{device.Connect, func() paho.Token {
			return device.Subscribe("concurrent_modular_agent/message/garden/device", 1, func(_ paho.Client, m paho.Message) { heard <- string(m.Payload()) })
		}} {
			if token := do(); token.Wait() && token.Error() != nil {
				t.Fatal(token.Error())
			}
		}
		defer device.Disconnect(100)

		a.send("relay", "outside")
		if text := <-heard; text != "seen" {
			t.Errorf("the device hears %q", text)
		}
		a.send("relay", "count")
		a.hear("listener", "heard 0 from garden/relay")
		a.send("relay", "work")
		a.hear("listener", "heard begun from garden/relay")
		a.write("mod1.py", busy+"# edited\n")
		a.hear("listener", "heard cleaned up from garden/relay")
		a.hear("listener", "heard begun from garden/relay")
	})
}
