package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/backend"
	"github.com/concurrent-modular-agent/coma/internal/console"
	"github.com/concurrent-modular-agent/coma/internal/folders"
)

type psOptions struct{ json, watch bool }

func newPs() *cobra.Command {
	var opt psOptions
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "Show the agents and modules that run",
		Long: `Ps shows the modules of all agents that run: state, generation, process, CPU (percent of one core over
a moment) and memory in use, restarts, messages that wait, dead letters, and the last error. Modules
that share their host's process (isolation: none) have no numbers of their own.`,
		Example: `  coma ps
  coma ps -w
  coma ps --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.watch {
				return watchPs(cmd.Context())
			}
			return ps(cmd.Context(), cmd.OutOrStdout(), opt)
		},
	}
	jsonFlag(cmd, &opt.json)
	cmd.Flags().BoolVarP(&opt.watch, "watch", "w", false, "show it anew each second, on a terminal")
	cmd.MarkFlagsMutuallyExclusive("json", "watch")
	return cmd
}

// psAgent and psModule are what ps knows, as --json prints it.
type psAgent struct {
	api.AgentState
	Modules []psModule `json:"modules"`
	Broker  string     `json:"broker,omitempty"`      // one elsewhere that the agent's host uses
	Away    string     `json:"broker_away,omitempty"` // since when and why it is out of reach
}

type psModule struct {
	api.ModuleState
	CPU float64 `json:"cpu_percent,omitempty"` // of one core
	RSS uint64  `json:"rss_bytes,omitempty"`
}

// cpuWindow is over how long CPU use is measured.
const cpuWindow = 100 * time.Millisecond

func ps(ctx context.Context, out io.Writer, opt psOptions) error {
	agents, err := runningAgents(ctx)
	if err != nil {
		return err
	}
	m := meter{}
	m.measure(agents)
	select {
	case <-time.After(cpuWindow):
	case <-ctx.Done():
		return ctx.Err()
	}
	m.measure(agents)
	if opt.json {
		return printJSON(out, agents)
	}
	width := 0
	if f, ok := out.(*os.File); ok {
		width = terminalWidth(f)
	}
	return psTable(out, agents, width)
}

// runningAgents asks all backends.
func runningAgents(ctx context.Context) ([]psAgent, error) {
	dirs, err := folders.FromEnv()
	if err != nil {
		return nil, err
	}
	found, err := backend.Running(ctx, dirs)
	if err != nil {
		return nil, err
	}
	agents := []psAgent{}
	for _, f := range found {
		states, err := f.Agents(ctx)
		f.Close()
		if errors.Is(err, api.ErrClosed) {
			continue // it has just ended
		}
		if err != nil {
			return nil, err
		}
		for _, state := range states {
			agent := psAgent{AgentState: state, Modules: []psModule{}}
			if f.Status.External {
				agent.Broker, agent.Away = f.Status.Broker, f.Status.Away
			}
			for _, m := range state.Modules {
				agent.Modules = append(agent.Modules, psModule{ModuleState: m})
			}
			agents = append(agents, agent)
		}
	}
	return agents, nil
}

// meter measures the use of processes, by ID.
type meter map[int]used

type used struct {
	at  time.Time
	cpu float64 // seconds since the process began
}

// measure fills in what the modules use. CPU is since the meter's last measurement, and left out at the first.
func (m meter) measure(agents []psAgent) {
	for _, agent := range agents {
		for i := range agent.Modules {
			module := &agent.Modules[i]
			if module.PID == 0 {
				continue
			}
			p, err := process.NewProcess(int32(module.PID))
			if err != nil {
				continue // it has just ended
			}
			if memory, err := p.MemoryInfo(); err == nil {
				module.RSS = memory.RSS
			}
			times, err := p.Times()
			if err != nil {
				continue
			}
			now := used{time.Now(), times.User + times.System}
			if before, ok := m[module.PID]; ok {
				module.CPU = 100 * (now.cpu - before.cpu) / now.at.Sub(before.at).Seconds()
			}
			m[module.PID] = now
		}
	}
}

func psTable(out io.Writer, agents []psAgent, width int) error {
	if len(agents) == 0 {
		_, err := fmt.Fprintln(out, `no agent runs: "coma run <project>" runs one`)
		return err
	}
	told := map[string]bool{}
	for _, agent := range agents {
		if agent.Away == "" || told[agent.Broker] {
			continue
		}
		told[agent.Broker] = true
		if _, err := fmt.Fprintf(out, "the broker %s is away %s\n", agent.Broker, console.Printable(agent.Away)); err != nil {
			return err
		}
	}
	// The last column is not part of the table's widths, so it is cut after the others are known.
	var text bytes.Buffer
	head := []any{"AGENT", "MODULE", "STATE", "GEN", "PID", "CPU", "MEMORY", "RESTARTS", "PENDING", "DEAD", "LAST ERROR"}
	spread := spreads(agents)
	if spread {
		head = slices.Insert(head, 2, any("HOST"))
	}
	t := newTable(&text, head...)
	for _, agent := range agents {
		for _, m := range agent.Modules {
			pid, cpu, memory := "", "", ""
			if m.PID != 0 {
				pid, cpu, memory = fmt.Sprint(m.PID), fmt.Sprintf("%.0f%%", m.CPU), size(m.RSS)
			}
			row := []any{agent.Agent, m.Module, m.State, m.Generation, pid, cpu, memory, m.Restarts, m.Pending, m.Dead, m.LastError}
			if spread {
				row = slices.Insert(row, 2, any(m.Host))
			}
			t.row(row...)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	for line := range bytes.Lines(text.Bytes()) {
		shown := string(bytes.TrimRight(line, "\n"))
		if width > 0 {
			shown = shortened(shown, width)
		}
		if _, err := fmt.Fprintln(out, shown); err != nil {
			return err
		}
	}
	return nil
}

// spreads reports whether modules run at several hosts.
func spreads(agents []psAgent) bool {
	hosts := map[string]bool{}
	for _, agent := range agents {
		for _, m := range agent.Modules {
			hosts[m.Host] = true
		}
	}
	return len(hosts) > 1
}

// terminalWidth returns a terminal's width in characters, 0 for what is none.
func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// watchPs shows the table anew each second, until Ctrl-C.
func watchPs(ctx context.Context) error {
	if !term.IsTerminal(int(os.Stdout.Fd())) {
		return usagef("ps -w needs a terminal")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	m := meter{}
	for {
		agents, err := runningAgents(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		m.measure(agents)
		var text bytes.Buffer
		if err := psTable(&text, agents, terminalWidth(os.Stdout)); err != nil {
			return err
		}
		// From the upper left corner, clearing each line's rest and what is below: no flicker.
		lines := bytes.ReplaceAll(text.Bytes(), []byte("\n"), []byte("\x1b[K\n"))
		if _, err := fmt.Printf("\x1b[H%s\x1b[J", lines); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
