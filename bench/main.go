// Command bench measures coma beside its peers, all in one run, and prints a table for BENCHMARKS.md.
//
//	go run ./bench                 everything (some minutes)
//	go run ./bench start reload    only some; see the list of names in main
//
// What a peer needs and this machine does not have (mosquitto, Python with paho-mqtt) is said in its row;
// the real Chroma comes with "make peers".
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/peers"
)

// bench is one run of the benchmarks.
type bench struct {
	ctx  context.Context
	dir  string // temporary
	coma string // the binary
	rows []row
}

// row is a line of the table.
type row struct{ what, value, against string }

func (b *bench) row(what, value, against string) {
	b.rows = append(b.rows, row{what, value, against})
	fmt.Fprintf(os.Stderr, "%-60s %-24s %s\n", what, value, against)
}

func main() {
	peers.BeNATS()
	if asPeer() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// peerEnv tells this program, when it starts itself again, what it is then: a role and what that is to know.
const peerEnv = "COMA_BENCH_PEER"

// asPeer plays such a role, and tells whether there was one.
func asPeer() bool {
	role, rest, ok := strings.Cut(os.Getenv(peerEnv), " ")
	if !ok {
		return false
	}
	var err error
	switch role {
	case "task":
		err = doTask(rest)
	case hostRole:
		err = beHost(rest)
	default:
		err = relayPart(role, rest)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	return true
}

func run(ctx context.Context, names []string) error {
	all := []struct {
		name    string
		measure func(*bench) error
	}{
		{"start", (*bench).start},
		{"reload", (*bench).reload},
		{"messages", (*bench).messages},
		{"python", (*bench).python},
		{"javascript", (*bench).javascript},
		{"hosts", (*bench).hosts},
		{"many", (*bench).many},
		{"interpreter", (*bench).interpreter},
		{"toolchain", (*bench).toolchain},
		{"memory", (*bench).memory},
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(m struct {
			name    string
			measure func(*bench) error
		}) bool {
			return m.name == n
		}) {
			return fmt.Errorf("no benchmark %q: there are start, reload, messages, python, javascript, hosts, many, interpreter, toolchain, memory", n)
		}
	}
	dir, err := os.MkdirTemp("", "coma-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{ctx: ctx, dir: dir, coma: filepath.Join(dir, "coma")}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.coma, "./cmd/coma")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build coma: %w (run this in the repository's folder)", err)
	}
	for _, m := range all {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		if err := m.measure(b); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	fmt.Printf("%s, %s/%s, %d CPUs, %s\n\n", time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fmt.Println("| what | measured | beside it |")
	fmt.Println("|---|---|---|")
	for _, r := range b.rows {
		fmt.Printf("| %s | %s | %s |\n", r.what, r.value, r.against)
	}
	return nil
}
