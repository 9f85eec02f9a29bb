package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/folders"
	"github.com/concurrent-modular-agent/coma/internal/module"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// agent is an agent under test: real files, a real backend, modules as goroutines.
type agent struct {
	t       *testing.T
	dir     string
	backend *backend.Backend
	events  chan supervisor.Event
	cancel  context.CancelFunc
	done    chan struct{} // closed when Run has returned
	result  supervisor.Result
	err     error
}

func prepare(t *testing.T, files map[string]string) *agent {
	t.Helper()
	return prepareAt(t, backend.Uplink{}, files)
}

// prepareAt prepares an agent whose backend is at a broker elsewhere.
func prepareAt(t *testing.T, broker backend.Uplink, files map[string]string) *agent {
	t.Helper()
	root, err := os.MkdirTemp("", "coma")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	a := &agent{t: t, dir: filepath.Join(root, "garden"), events: make(chan supervisor.Event, 1000), done: make(chan struct{})}
	for name, text := range files {
		a.write(name, text)
	}
	a.backend, err = backend.Open(backend.Options{Uplink: broker, Folders: folders.Folders{
		Data: filepath.Join(root, "data"), State: filepath.Join(root, "state"), Runtime: filepath.Join(root, "run"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.backend.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// write writes a file of the project by renaming it into place, in folders made as needed.
func (a *agent) write(name, text string) {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		a.t.Fatal(err)
	}
}

// run starts the agent; it is stopped at the test's end.
func (a *agent) run(opt supervisor.Options) {
	a.t.Helper()
	p, err := project.Load(a.dir)
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	opt.Backend, opt.Isolation, opt.Debounce = a.backend, "none", 5*time.Millisecond
	opt.Events = func(e supervisor.Event) { a.events <- e }
	if opt.RestartDelay == 0 {
		opt.RestartDelay = time.Millisecond
	}
	go func() {
		defer close(a.done)
		a.result, a.err = supervisor.Run(ctx, p, opt)
	}()
	a.t.Cleanup(func() {
		cancel()
		<-a.done
		if a.err != nil {
			a.t.Error(a.err)
		}
	})
}

// await returns the next event of that kind about that module; others are passed over.
func (a *agent) await(kind supervisor.Kind, module string) supervisor.Event {
	a.t.Helper()
	timeout := time.After(20 * time.Second)
	var passed []string
	for {
		select {
		case e := <-a.events:
			if e.Kind == kind && e.Module == module {
				return e
			}
			passed = append(passed, fmt.Sprintf("%s %s %s %v", e.Module, e.Kind, e.Log.Text, e.Err))
		case <-timeout:
			a.t.Fatalf("no %q of %q; passed over:\n%s", kind, module, strings.Join(passed, "\n"))
		}
	}
}

// hear waits for a log line.
func (a *agent) hear(module, text string) {
	a.t.Helper()
	for {
		if e := a.await(supervisor.Logged, module); e.Log.Text == text {
			return
		}
	}
}

func (a *agent) send(to, text string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.backend.Post(ctx, "test", api.Message{To: "garden/" + to, Text: text}); err != nil {
		a.t.Fatal(err)
	}
}

func (a *agent) mailboxes() map[string]api.Mailbox {
	a.t.Helper()
	boxes, err := a.backend.Mailboxes(context.Background(), "garden")
	if err != nil {
		a.t.Fatal(err)
	}
	byName := map[string]api.Mailbox{}
	for _, b := range boxes {
		byName[b.Module] = b
	}
	return byName
}

// source returns a module whose Run has this body.
func source(body string) string {
	return `package m

import (
	"context"
	"errors"

	"github.com/concurrent-modular-agent/coma"
)

var errTired = errors.New("tired")

func Run(ctx context.Context, agent *coma.Agent) error {
` + body + `
}
`
}

var (
	waits  = source("<-ctx.Done()\nreturn ctx.Err()")
	ends   = source("return nil")
	fails  = source("return errTired")
	hears  = source("for {\nmsg, err := agent.Receive(ctx)\nif err != nil { return err }\nagent.Log(\"heard\", msg.Text)\n}")
	refuse = source("msg, err := agent.Receive(ctx)\nif err != nil { return err }\nagent.Log(\"refused\", msg.Text)\nreturn errTired")
)

func TestOnceEndsWhenAllModulesHave(t *testing.T) {
	a := prepare(t, map[string]string{"good/good.go": ends, "bad.go": fails, "broken.go": "package broken\nfunc Run("})
	a.run(supervisor.Options{Once: true})
	a.await(supervisor.Failed, "bad")
	<-a.done
	if got := strings.Join(a.result.Failed, " "); got != "bad broken" {
		t.Errorf("failed: %q", got)
	}
}

func TestRestartPolicies(t *testing.T) {
	for _, c := range []struct {
		policy, source string
		restarts       bool
	}{
		{"on-failure", fails, true}, {"on-failure", ends, false},
		{"always", fails, true}, {"always", ends, true},
		{"never", fails, false}, {"never", ends, false},
	} {
		a := prepare(t, map[string]string{"coma.yaml": "restart: " + c.policy + "\n", "m/m.go": c.source, "other.go": waits})
		a.run(supervisor.Options{})
		kind := supervisor.Ended
		if c.source == fails {
			kind = supervisor.Failed
		}
		if e := a.await(kind, "m"); (e.Delay > 0) != c.restarts {
			t.Errorf("restart: %s, %s: starts again after %v", c.policy, kind, e.Delay)
		}
		if c.restarts {
			if e := a.await(supervisor.Restarted, "m"); e.Generation != 1 {
				t.Errorf("a restart is generation %d", e.Generation)
			}
		}
		a.cancel()
		<-a.done
	}
}

func TestAnEditSwapsGenerations(t *testing.T) {
	a := prepare(t, map[string]string{"m/m.go": hears, "other.go": waits})
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "m")
	a.send("m", "one")
	a.hear("m", "heard one")
	a.write("m/m.go", strings.Replace(hears, "heard", "HEARD", 1))
	if e := a.await(supervisor.Reloaded, "m"); e.Generation != 2 {
		t.Errorf("generation %d after one edit", e.Generation)
	}
	a.send("m", "two")
	a.hear("m", "HEARD two")
}

func TestABadEditKeepsTheRunningGeneration(t *testing.T) {
	a := prepare(t, map[string]string{"m/m.go": hears, "other.go": waits})
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "m")
	for _, bad := range []string{"package m\nfunc Run(", "package m\n", strings.Replace(hears, "agent.Receive", "agent.Recieve", 1)} {
		a.write("m/m.go", bad)
		e := a.await(supervisor.LoadFailed, "m")
		if e.Generation != 1 || e.Err == nil {
			t.Errorf("after %q: generation %d, error %v", bad, e.Generation, e.Err)
		}
		a.send("m", "hello")
		a.hear("m", "heard hello")
	}
	a.write("m/m.go", hears+"\n// mended\n")
	if e := a.await(supervisor.Reloaded, "m"); e.Generation != 2 {
		t.Errorf("generation %d after the repair", e.Generation)
	}
	a.send("m", "again")
	a.hear("m", "heard again")
}

func TestAFailureAfterABadEditRestartsTheGoodSource(t *testing.T) {
	a := prepare(t, map[string]string{"m/m.go": refuse, "other.go": waits})
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "m")
	a.write("m/m.go", "package m\nfunc Run(")
	a.await(supervisor.LoadFailed, "m")
	a.send("m", "hello")
	a.await(supervisor.Failed, "m")
	if e := a.await(supervisor.Restarted, "m"); e.Generation != 1 {
		t.Errorf("generation %d restarted", e.Generation)
	}
	a.hear("m", "refused hello") // the same message, by the old code
}

func TestAddedAndRemovedModules(t *testing.T) {
	a := prepare(t, map[string]string{"first/first.go": hears, "other.go": waits})
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "first")
	a.write("second/second.go", hears)
	a.await(supervisor.Started, "second")
	a.send("second", "hello")
	a.hear("second", "heard hello")
	if err := os.RemoveAll(filepath.Join(a.dir, "second")); err != nil {
		t.Fatal(err)
	}
	a.await(supervisor.Removed, "second")
	if _, there := a.mailboxes()["second"]; there {
		t.Error("the mailbox of a removed module is still there")
	}
	ctx := context.Background()
	if err := a.backend.Post(ctx, "test", api.Message{To: "garden/second", Text: "?"}); !errors.Is(err, api.ErrUnknown) {
		t.Errorf("sending to a removed module: %v", err)
	}
}

func TestADisabledModuleKeepsItsMailbox(t *testing.T) {
	a := prepare(t, map[string]string{"m/m.go": waits, "other.go": waits})
	a.run(supervisor.Options{Watch: true})
	a.await(supervisor.Started, "m")
	a.send("m", "for later")
	a.write("coma.yaml", "modules:\n  m:\n    disabled: true\n")
	a.await(supervisor.Removed, "m")
	if box := a.mailboxes()["m"]; box.Waiting != 1 {
		t.Errorf("mailbox of the disabled module: %+v", box)
	}
	a.write("m/m.go", hears)
	a.write("coma.yaml", "")
	a.await(supervisor.Started, "m")
	a.hear("m", "heard for later")
}

func TestAMessageThatKillsGoesToTheDeadLetters(t *testing.T) {
	a := prepare(t, map[string]string{"m/m.go": refuse})
	a.run(supervisor.Options{})
	a.await(supervisor.Started, "m")
	a.send("m", "poison")
	for range 5 {
		a.await(supervisor.Failed, "m")
	}
	a.send("m", "next")
	a.hear("m", "refused next")
	dead, err := a.backend.Waiting(context.Background(), "garden", "m", true)
	if err != nil {
		t.Fatal(err)
	}
	if len(dead) != 1 || dead[0].Text != "poison" || dead[0].Deaths != 5 {
		t.Errorf("dead letters: %+v", dead)
	}
}

func TestAFailureTellsItsCauseAndPlace(t *testing.T) {
	a := prepare(t, map[string]string{"m/m.go": source("var none map[string]int\nnone[\"a\"] = 1\nreturn nil")})
	a.run(supervisor.Options{Once: true})
	e := a.await(supervisor.Failed, "m")
	var failure *module.Failure
	if !errors.As(e.Err, &failure) {
		t.Fatalf("%T %v", e.Err, e.Err)
	}
	if !strings.Contains(failure.Cause, "nil map") || len(failure.Frames) == 0 || failure.Frames[0].File != "m/m.go" || failure.Frames[0].Line != 14 {
		t.Errorf("failure: %+v", failure)
	}
}

func TestStatesAreReported(t *testing.T) {
	a := prepare(t, map[string]string{"m/m.go": fails, "other.go": waits})
	a.run(supervisor.Options{RestartDelay: time.Hour})
	a.await(supervisor.Failed, "m")
	deadline := time.Now().Add(10 * time.Second)
	for {
		agents, err := a.backend.Agents(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		states := map[string]api.ModuleState{}
		for _, m := range agents[0].Modules {
			states[m.Module] = m
		}
		if states["m"].State == api.Waiting && states["other"].State == api.Running {
			if !strings.Contains(states["m"].LastError, "tired") || states["m"].Generation != 1 {
				t.Errorf("state of m: %+v", states["m"])
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("states: %+v", states)
		}
	}
}

func TestFuncsAreModulesToo(t *testing.T) {
	a := prepare(t, map[string]string{"echo.go": waits}) // what is on disk is not looked at
	a.run(supervisor.Options{Funcs: map[string]coma.RunFunc{
		"echo": func(ctx context.Context, agent *coma.Agent) error {
			msg, err := agent.Receive(ctx)
			if err != nil {
				return err
			}
			agent.Log("heard", msg.Text)
			return nil
		},
	}})
	a.await(supervisor.Started, "echo")
	a.send("echo", "hello")
	a.hear("echo", "heard hello")
	a.await(supervisor.Ended, "echo")
}

func TestOneRunAnAgent(t *testing.T) {
	a := prepare(t, map[string]string{"m.go": waits})
	a.run(supervisor.Options{})
	a.await(supervisor.Started, "m")
	p, err := project.Load(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = supervisor.Run(context.Background(), p, supervisor.Options{Backend: a.backend, Events: func(supervisor.Event) {}})
	if !errors.Is(err, api.ErrInUse) {
		t.Errorf("a second run of the same agent: %v", err)
	}
}
