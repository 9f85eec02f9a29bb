// Package host runs an agent that is built from Go functions, in a program of one's own: the declarative way, beside
// the folders of "coma run". Modules are goroutines here and are not reloaded; everything else is the same: mailboxes,
// memory, restarts, MQTT, and every coma command.
//
//	func main() {
//		host.Main(host.Agent{
//			Name: "garden",
//			Modules: host.Modules{
//				"greeter":  greet,
//				"listener": listen,
//			},
//		})
//	}
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/concurrent-modular-agent/coma"
	"github.com/concurrent-modular-agent/coma/internal/attach"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/project"
	"github.com/concurrent-modular-agent/coma/internal/supervisor"
)

// Modules are an agent's modules by name.
type Modules map[string]coma.RunFunc

// Agent says what to run. Name and Modules must be set.
type Agent struct {
	Name    string
	Modules Modules
	Durable bool   // a message is on disk before its sender is told
	Restart string // "on-failure" (the default), "always" or "never"
	Once    bool   // restart nothing; Run ends when all modules have ended
	Backend string // "" or "auto": the daemon of "coma backend start" if it runs, else an own one; "own"; or host:port

	Quiet bool // show only what modules print for the person, and what goes wrong
	JSON  bool // show a JSON object a line
}

// ErrFailed is what Run returns, with Once, when a module has failed.
var ErrFailed = errors.New("modules failed")

// Run runs the agent until ctx ends, or, with Once, until all modules have ended.
func Run(ctx context.Context, agent Agent) error {
	p, err := agent.project()
	if err != nil {
		return err
	}
	names := []string{"coma"}
	for _, m := range p.Modules {
		names = append(names, m.Name)
	}
	out := console.New(console.Options{JSON: agent.JSON, Quiet: agent.Quiet, Color: console.ColorWanted(os.Stdout), Names: names})
	services, err := attach.Open(ctx, attach.Options{Address: agent.Backend, Log: slog.New(out.LogHandler())})
	if err != nil {
		return err
	}
	out.Say("%s", services.Note)
	result, err := supervisor.Run(ctx, p, supervisor.Options{
		Backend: services, Events: out.Event, Input: out.Input, Once: agent.Once, Funcs: agent.Modules,
	})
	if err := errors.Join(err, services.Close()); err != nil {
		return err
	}
	if agent.Once && len(result.Failed) > 0 {
		return fmt.Errorf("%w: %s", ErrFailed, strings.Join(result.Failed, ", "))
	}
	return nil
}

// Main is Run for a main function: the first Ctrl-C stops the modules, a second one ends the program at once, and a
// failure is the program's exit code 1.
func Main(agent Agent) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // from here on, signals do what they usually do
	}()
	if err := Run(ctx, agent); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// project is the agent in the form in which the supervisor knows one.
func (a Agent) project() (*project.Project, error) {
	if err := project.CheckName(a.Name); err != nil {
		return nil, fmt.Errorf("agent: %w", err)
	}
	if len(a.Modules) == 0 {
		return nil, fmt.Errorf("agent %s has no modules", a.Name)
	}
	restart := a.Restart
	switch restart {
	case "":
		restart = "on-failure"
	case "on-failure", "always", "never":
	default:
		return nil, fmt.Errorf("agent %s: restart %q: want on-failure, always or never", a.Name, restart)
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", a.Name, err)
	}
	p := &project.Project{Dir: dir, Agent: a.Name, Durable: a.Durable}
	for name, run := range a.Modules {
		if err := project.CheckName(name); err != nil {
			return nil, fmt.Errorf("module: %w", err)
		}
		if run == nil {
			return nil, fmt.Errorf("module %s of agent %s is nil", name, a.Name)
		}
		p.Modules = append(p.Modules, &project.Module{
			Name: name, Dir: dir, Engine: project.EngineGo, Isolation: "none", Restart: restart, Grace: 5 * time.Second,
		})
	}
	slices.SortFunc(p.Modules, func(x, y *project.Module) int { return strings.Compare(x.Name, y.Name) })
	return p, nil
}
