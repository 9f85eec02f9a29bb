package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/link"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// The test program is also what stands before a module's program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "module" {
		os.Exit(module.ChildMain(func(ctx context.Context, address, token string, id api.Identity) (api.Session, error) {
			return link.Open(ctx, address, token, id)
		}))
	}
	os.Exit(m.Run())
}

// hearsPython says what it hears, by the words of another file; "die", "end" and "exit" are its ends.
const hearsPython = `import os
import coma
import words

agent = coma.connect()
print("on", agent.generation)
while True:
    m = agent.receive()
    print(words.HEARD, m.text)
    if m.text == "die":
        raise ValueError("as told")
    if m.text == "end":
        os._exit(0)
`

func preparePython(t *testing.T) *agent {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // where coma.py is unpacked
	return prepare(t, map[string]string{"eye.py": hearsPython, "words.py": "HEARD = 'heard'\n", "other.go": waits})
}

func TestAnEditSwapsGenerationsOfAProgram(t *testing.T) {
	a := preparePython(t)
	a.run(supervisor.Options{Watch: true})
	if e := a.await(supervisor.Started, "eye"); e.PID == 0 {
		t.Error("no process is told")
	}
	a.hear("eye", "on 1")
	a.send("eye", "one")
	a.hear("eye", "heard one")

	a.write("words.py", "HEARD = 'HEARD'\n")
	if e := a.await(supervisor.Reloaded, "eye"); e.Generation != 2 {
		t.Errorf("generation %d after one edit", e.Generation)
	}
	a.send("eye", "two")
	a.hear("eye", "HEARD two")

	a.write("eye.py", hearsPython+"if x\n")
	e := a.await(supervisor.LoadFailed, "eye")
	var load *module.LoadError
	if !errors.As(e.Err, &load) || load.Problems[0].File != "eye.py" || load.Problems[0].Line != strings.Count(hearsPython, "\n")+1 || load.Problems[0].SourceLine != "if x" {
		t.Errorf("the error is %v", e.Err)
	}
	a.send("eye", "three")
	a.hear("eye", "HEARD three")

	for _, state := range a.states() {
		if state.Module == "eye" && (state.Engine != "exec" || state.Isolation != "process" || state.State != api.Running) {
			t.Errorf("state %+v", state)
		}
	}
}

func TestAProgramThatDiesGetsItsMessageAgain(t *testing.T) {
	a := preparePython(t)
	a.run(supervisor.Options{Watch: true})
	a.hear("eye", "on 1")
	a.send("eye", "die")
	e := a.await(supervisor.Failed, "eye")
	if got, want := e.Err.Error(), "ValueError: as told (eye.py:11)"; got != want {
		t.Errorf("the error is %q, want %q", got, want)
	}
	a.await(supervisor.Restarted, "eye")
	a.hear("eye", "heard die")
}

func TestAProgramThatEndsHasFinishedWithItsMessage(t *testing.T) {
	a := preparePython(t)
	a.run(supervisor.Options{Watch: true})
	a.hear("eye", "on 1")
	a.send("eye", "end")
	a.await(supervisor.Ended, "eye")
	if box := a.mailboxes()["eye"]; box.Waiting != 0 {
		t.Errorf("mailbox %+v", box)
	}
}

// A program that is edited while messages come in, and while it is busy with one, hears each once, in order.
func TestAProgramThatIsEditedHearsEachMessageOnce(t *testing.T) {
	a := preparePython(t)
	a.write("eye.py", "import time\n"+strings.ReplaceAll(hearsPython, "    print(words", "    time.sleep(0.01)\n    print(words"))
	a.run(supervisor.Options{Watch: true})
	a.hear("eye", "on 1")
	const edits, each = 3, 20
	heard := 0
	for edit := range edits {
		a.write("words.py", fmt.Sprintf("HEARD = 'heard'\nEDIT = %d\n", edit))
		for i := range each {
			a.send("eye", strconv.Itoa(edit*each+i))
		}
		for reloaded := false; !reloaded || heard < (edit+1)*each; {
			e := a.next()
			switch {
			case e.Module == "eye" && e.Kind == supervisor.Reloaded:
				reloaded = true
			case e.Kind == supervisor.Logged && strings.HasPrefix(e.Log.Text, "heard"):
				if want := fmt.Sprintf("heard %d", heard); e.Log.Text != want {
					t.Fatalf("it says %q, want %q", e.Log.Text, want)
				}
				heard++
			case e.Kind == supervisor.Failed || e.Kind == supervisor.LoadFailed:
				t.Fatal(e.Err)
			}
		}
	}
}

// next returns the next event.
func (a *agent) next() supervisor.Event {
	a.t.Helper()
	select {
	case e := <-a.events:
		return e
	case <-time.After(20 * time.Second):
		a.t.Fatal("nothing happens")
		return supervisor.Event{}
	}
}

// A module says how it takes its messages before it runs, so that none is on its way to it in the wrong form.
func TestAModuleThatIsAnMQTTClientSaysSo(t *testing.T) {
	a := prepare(t, map[string]string{"coma.yaml": "modules:\n  ear: {mailbox: mqtt}\n", "ear.go": waits, "other.go": waits})
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "ear")
	a.mailboxOf("ear", "mqtt")
	a.mailboxOf("other", "")
	a.write("coma.yaml", "modules:\n  ear: {mailbox: host}\n")
	a.await(supervisor.Reloaded, "ear")
	a.mailboxOf("ear", "")
}

// mailboxOf waits until a running module is reported to take its messages so.
func (a *agent) mailboxOf(module, want string) {
	a.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		states := a.states()
		if slices.ContainsFunc(states, func(s api.ModuleState) bool {
			return s.Module == module && s.State == api.Running && s.Mailbox == want
		}) {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("no running %s with mailbox %q: %+v", module, want, states)
		}
	}
}

func (a *agent) states() []api.ModuleState {
	a.t.Helper()
	agents, err := a.backend.Agents(a.t.Context())
	if err != nil || len(agents) != 1 {
		a.t.Fatal(agents, err)
	}
	return agents[0].Modules
}
