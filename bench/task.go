package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/concurrent-modular-agent/coma"
)

// task is what a process of its own measures for the interpreter's table, so that one engine's crash, garbage or first
// use of something is not another's.
type task struct {
	Kind    string // one of tasks
	Name    string // of the module, or of the function of package micro
	Engines []engine
}

// outcome is what it finds: values by engine or by the name of what was measured, in the units that the kind has.
type outcome map[string]float64

// tasks are the kinds.
var tasks = map[string]func(task) (outcome, error){
	"try":    tryScript,     // nothing measured: do the engines answer alike?
	"script": measureScript, // nanoseconds a run of the script
	"micro":  measureMicro,  // nanoseconds an operation
	"load":   measureLoad,   // milliseconds of each step, the first time and after that
	"heap":   measureHeap,   // KiB a loaded module
}

// taskPatience is how long a task may take.
const taskPatience = time.Minute

// do has a task done.
func (b *bench) do(t task) (outcome, error) {
	order, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(b.ctx, taskPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), peerEnv+"=task "+string(order))
	var answer, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, &stderr
	err = cmd.Run()
	switch line, ok := lastLine(stderr.String()); {
	case err == nil:
	case b.ctx.Err() != nil:
		return nil, b.ctx.Err()
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s %s: does not end", t.Kind, t.Name)
	case ok:
		return nil, errors.New(line)
	default:
		return nil, fmt.Errorf("crashes: %s", cause(stderr.String()))
	}
	var found outcome
	if err := json.Unmarshal(answer.Bytes(), &found); err != nil {
		return nil, fmt.Errorf("%s %s: %w", t.Kind, t.Name, err)
	}
	return found, nil
}

// lastLine is what doTask's process said went wrong, if it came to that.
func lastLine(stderr string) (string, bool) {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	return strings.CutPrefix(lines[len(lines)-1], "bench: ")
}

// cause is the line of a crash that says why.
func cause(stderr string) string {
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return strings.TrimSpace(line)
		}
	}
	return "no reason given"
}

// doTask is the other side of do: it writes the outcome to the file that standard output was, and gives what modules
// print to standard error.
func doTask(order string) error {
	out := os.Stdout
	os.Stdout = os.Stderr
	var t task
	if err := json.Unmarshal([]byte(order), &t); err != nil {
		return err
	}
	found, err := tasks[t.Kind](t)
	if err != nil {
		return errors.New(strings.Join(strings.Fields(err.Error()), " ")) // a line of it, for lastLine
	}
	return json.NewEncoder(out).Encode(found)
}

// subject is something to be measured beside others.
type subject struct {
	name string
	run  func(n int) error // n times
}

const (
	rounds    = 25
	roundTime = 10 * time.Millisecond // of each subject, at least; short, so that a busy machine leaves many rounds alone
)

// sideBySide measures in rounds, each of which has every subject once, so that what disturbs the machine disturbs all.
// The outcome has the median nanoseconds of each.
func sideBySide(subjects []subject) (outcome, error) {
	times := make([][]float64, len(subjects))
	n := make([]int, len(subjects))
	for i, s := range subjects {
		n[i] = 1
		for enough := 0; enough < 2; { // twice: once may be the machine's doing
			began := time.Now()
			if err := s.run(n[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if time.Since(began) >= roundTime {
				enough++
			} else {
				n[i], enough = n[i]*2, 0
			}
		}
	}
	for range rounds {
		for i, s := range subjects {
			runtime.GC()
			began := time.Now()
			if err := s.run(n[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			times[i] = append(times[i], float64(time.Since(began).Nanoseconds())/float64(n[i]))
		}
	}
	found := outcome{}
	for i, s := range subjects {
		found[s.name] = median(times[i])
	}
	return found, nil
}

func measureMicro(t task) (outcome, error) {
	var subjects []subject
	for _, e := range t.Engines {
		f, err := lookup[func(int) int](e, microDir, t.Name)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, subject{string(e), func(n int) error {
			f(n)
			return nil
		}})
	}
	return sideBySide(subjects)
}

func measureScript(t task) (outcome, error) {
	subjects, err := scripted(t)
	if err != nil {
		return nil, err
	}
	return sideBySide(subjects)
}

func tryScript(t task) (outcome, error) {
	_, err := scripted(t)
	return outcome{}, err
}

// scripted loads a module into each engine and runs its script once: those after the first must answer as it does.
func scripted(t task) ([]subject, error) {
	model := httptest.NewServer(http.HandlerFunc(fakeModel)) // to the end of the process
	if err := errors.Join(os.Setenv("OPENAI_BASE_URL", model.URL+"/v1"), os.Setenv("COMA_MODEL", "fake")); err != nil {
		return nil, err
	}
	lines, err := readScript(t.Name)
	if err != nil {
		return nil, err
	}
	var subjects []subject
	var want []string
	for _, e := range t.Engines {
		run, err := lookup[coma.RunFunc](e, path.Join(modulesDir, t.Name), "Run")
		if err != nil {
			return nil, err
		}
		got, err := runScript(run, t.Name, lines)
		if err != nil {
			return nil, err
		}
		if want == nil {
			want = got
		}
		for i := range lines {
			if got[i] != want[i] {
				got, want := apart(got[i], want[i])
				return nil, fmt.Errorf("answers …%.30q to line %d, where compiled code answers …%.30q", got, i+1, want)
			}
		}
		subjects = append(subjects, subject{string(e), func(n int) error {
			for range n {
				if _, err := runScript(run, t.Name, lines); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	return subjects, nil
}

// apart is what two texts say from where they begin to differ.
func apart(a, b string) (string, string) {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return a[i:], b[i:]
}

// measureLoad loads a module for the first time in its process, and then some times more.
func measureLoad(t task) (outcome, error) {
	dir := path.Join(modulesDir, t.Name)
	if slices.Contains(t.Engines, yaegi) {
		return measurePeerLoad(dir)
	}
	steps := map[string][]float64{}
	for range 20 {
		p, err := interpret(dir)
		if err != nil {
			return nil, err
		}
		p.Close()
		for name, took := range map[string]time.Duration{
			"check": p.check, "compile": p.compile, "init": p.init, "all": p.check + p.compile + p.init,
		} {
			steps[name] = append(steps[name], milliseconds(took))
		}
	}
	found := outcome{}
	for name, took := range steps {
		found[name+" cold"], found[name+" warm"] = took[0], median(took[1:])
	}
	return found, nil
}

func measurePeerLoad(dir string) (outcome, error) {
	var took []float64
	for range 10 {
		began := time.Now()
		if _, err := peerLookup(dir, "Run"); err != nil {
			return nil, err
		}
		took = append(took, milliseconds(time.Since(began)))
	}
	return outcome{"all cold": took[0], "all warm": median(took[1:])}, nil
}

// measureHeap loads a module many times over and keeps all of them; then it loads and ends it as often, one after the
// other, as reloads do. What every process has once (the first load) does not count.
func measureHeap(t task) (outcome, error) {
	const n = 50
	dir := path.Join(modulesDir, t.Name)
	load := func() (loaded any, end func(), err error) {
		if t.Engines[0] == yaegi {
			loaded, err = peerLookup(dir, "Run")
			return loaded, func() {}, err
		}
		p, err := interpret(dir)
		if err != nil {
			return nil, nil, err
		}
		return p, p.Close, nil
	}
	reload := func() error {
		_, end, err := load()
		if err == nil {
			end()
		}
		return err
	}
	if err := reload(); err != nil {
		return nil, err
	}
	first := heap()
	for range n {
		if err := reload(); err != nil {
			return nil, err
		}
	}
	before := heap()
	found := outcome{"reload": (before - first) / n}
	kept := make([]any, n)
	ends := make([]func(), n)
	for i := range n {
		var err error
		if kept[i], ends[i], err = load(); err != nil {
			return nil, err
		}
	}
	found["loaded"] = (heap() - before) / n
	for _, end := range ends {
		end()
	}
	clear(kept)
	clear(ends)
	found["ended"] = (heap() - before) / n
	return found, nil
}

// heap is what is in use, in KiB.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1024
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
