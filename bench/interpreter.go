package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// scripts are the modules that the differential tests run both ways; each is driven by its script.
var scripts = []string{"cache", "fusion", "parser", "planner", "ratelimit", "retry", "scheduler", "statemachine", "toolloop", "webservice"}

// interpreter measures interpreted code beside the same code compiled, and beside yaegi as far as that runs it.
func (b *bench) interpreter() error {
	for _, measure := range []func() error{b.micros, b.scripts, b.loads, b.heaps, b.residents} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

// micros measures small operations.
func (b *bench) micros() error {
	var ours, theirs []float64
	for _, m := range []struct{ name, what string }{
		{"FunctionCall", "call of a function"}, {"MethodCall", "call of a method"}, {"InterfaceCall", "call of an interface's method"},
		{"Arithmetic", "turn of a loop of arithmetic"}, {"MapAccess", "read and write of a map"},
		{"ChannelRoundTrip", "channel round trip between goroutines"}, {"Marshal", "json.Marshal of the module's own structs"},
	} {
		t, err := b.do(task{Kind: "micro", Name: m.name, Engines: []engine{compiled, interpreted, yaegi}})
		if err != nil {
			return err
		}
		ours = append(ours, t["interpreted"]/t["compiled"])
		theirs = append(theirs, t["yaegi"]/t["compiled"])
		b.row("one "+m.what, fmt.Sprintf("%s, compiled %s: %s", duration(t["interpreted"]), duration(t["compiled"]), times(ours[len(ours)-1])),
			fmt.Sprintf("yaegi %s: %s", duration(t["yaegi"]), times(theirs[len(theirs)-1])))
	}
	b.row("geometric mean of these", times(geometricMean(ours)), "yaegi "+times(geometricMean(theirs)))
	return nil
}

// scripts measures the ten modules.
func (b *bench) scripts() error {
	var ours, theirs, oursOfTheirs []float64
	for _, name := range scripts {
		lines, err := readScript(name)
		if err != nil {
			return err
		}
		engines := []engine{compiled, interpreted}
		_, refusal := b.do(task{Kind: "try", Name: name, Engines: []engine{compiled, yaegi}})
		if refusal == nil {
			engines = append(engines, yaegi)
		}
		t, err := b.do(task{Kind: "script", Name: name, Engines: engines})
		if err != nil && refusal == nil { // once is not always
			refusal = err
			t, err = b.do(task{Kind: "script", Name: name, Engines: engines[:2]})
		}
		if err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
		ratio := t["interpreted"] / t["compiled"]
		ours = append(ours, ratio)
		beside := ""
		if refusal == nil {
			theirs, oursOfTheirs = append(theirs, t["yaegi"]/t["compiled"]), append(oursOfTheirs, ratio)
			beside = fmt.Sprintf("yaegi %s: %s", duration(t["yaegi"]), times(t["yaegi"]/t["compiled"]))
		} else {
			beside = "yaegi cannot: " + reason(refusal, name)
		}
		b.row(fmt.Sprintf("module %s, script of %d messages", name, len(lines)),
			fmt.Sprintf("%s, compiled %s: %s", duration(t["interpreted"]), duration(t["compiled"]), times(ratio)), beside)
	}
	beside := "yaegi runs none"
	if len(theirs) > 0 {
		beside = fmt.Sprintf("yaegi runs %d: %s, coma on those %s", len(theirs), times(geometricMean(theirs)), times(geometricMean(oursOfTheirs)))
	}
	b.row(fmt.Sprintf("geometric mean of the %d modules", len(ours)), times(geometricMean(ours)), beside)
	return nil
}

// reason is why yaegi cannot run a module, from the place in its source on, short.
func reason(refusal error, module string) string {
	text := refusal.Error()
	if i := strings.LastIndex(text, module+".go:"); i >= 0 {
		text = text[i:]
	}
	if len(text) > 90 {
		text = strings.ToValidUTF8(text[:90], "") + "…"
	}
	return text
}

// threeHundred is a module of 301 lines that imports thirteen packages, with generics and iterators.
const threeHundred = "cache"

// loads measures from text to code that is ready to run, in processes that have not done it before, and again there.
func (b *bench) loads() error {
	ours, err := b.medians(task{Kind: "load", Name: threeHundred, Engines: []engine{interpreted}})
	if err != nil {
		return err
	}
	b.row("check of a 300-line module (parse, types, refusals), first in its process", ms(ours["check cold"]), "aim 20 ms; again in the same process "+ms(ours["check warm"]))
	beside := ""
	for _, when := range []string{"cold", "warm"} {
		beside += fmt.Sprintf("%s: check %s, SSA and compile %s, init %s; ", when, ms(ours["check "+when]), ms(ours["compile "+when]), ms(ours["init "+when]))
	}
	b.row("load of that module, first in its process", ms(ours["all cold"]), fmt.Sprintf("again %s (%s)", ms(ours["all warm"]), strings.TrimSuffix(beside, "; ")))
	if err := b.checks(); err != nil {
		return err
	}
	module, ours, theirs, err := b.onBoth("load")
	if err != nil {
		return err
	}
	if module == "" {
		b.row("load beside yaegi", "not measured", "yaegi loads none of the modules")
		return nil
	}
	b.row(fmt.Sprintf("load of module %s, first in its process", module), ms(ours["all cold"])+", again "+ms(ours["all warm"]),
		"yaegi "+ms(theirs["all cold"])+", again "+ms(theirs["all warm"]))
	return nil
}

// checks measures the command with which an author checks such a module; it loads it, too.
func (b *bench) checks() error {
	project, err := os.MkdirTemp(b.dir, "check-")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(project, threeHundred), os.DirFS(filepath.Join(modulesDir, threeHundred))); err != nil {
		return err
	}
	took := map[string][]float64{}
	for range 15 {
		for _, args := range [][]string{{"check", project}, {"version"}} {
			began := time.Now()
			if out, err := exec.CommandContext(b.ctx, b.coma, args...).CombinedOutput(); err != nil {
				return fmt.Errorf("coma %s: %w\n%s", args[0], err, out)
			}
			took[args[0]] = append(took[args[0]], milliseconds(time.Since(began)))
		}
	}
	b.row("coma check of that module, the whole command", ms(median(took["check"])), "it loads the module, too; coma version, the bare process, "+ms(median(took["version"])))
	return nil
}

// onBoth does a task for the first module that yaegi loads, too; "" if there is none.
func (b *bench) onBoth(kind string) (module string, ours, theirs outcome, err error) {
	for _, module := range scripts {
		theirs, refusal := b.medians(task{Kind: kind, Name: module, Engines: []engine{yaegi}})
		if refusal != nil {
			continue
		}
		ours, err := b.medians(task{Kind: kind, Name: module, Engines: []engine{interpreted}})
		return module, ours, theirs, err
	}
	return "", nil, nil, b.ctx.Err()
}

// medians does a task in several processes.
func (b *bench) medians(t task) (outcome, error) {
	const processes = 7
	values := map[string][]float64{}
	for range processes {
		found, err := b.do(t)
		if err != nil {
			return nil, err
		}
		for name, v := range found {
			values[name] = append(values[name], v)
		}
	}
	found := outcome{}
	for name, v := range values {
		found[name] = median(v)
	}
	return found, nil
}

// heaps measures what one more loaded module adds to a process that has some, and what each reload leaves behind.
func (b *bench) heaps() error {
	t, err := b.do(task{Kind: "heap", Name: threeHundred, Engines: []engine{interpreted}})
	if err != nil {
		return err
	}
	b.row("heap of one more loaded 300-line module in a process", kib(t["loaded"]), heapAfter(t))
	module, ours, theirs, err := b.onBoth("heap")
	if err != nil || module == "" {
		return err
	}
	b.row("heap of one more loaded module "+module, kib(ours["loaded"])+"; "+heapAfter(ours), "yaegi "+kib(theirs["loaded"])+"; "+heapAfter(theirs))
	return nil
}

func heapAfter(t outcome) string {
	return fmt.Sprintf("each of 50 reloads adds %s; of 50 at once that have ended, each keeps %s", kib(t["reload"]), kib(t["ended"]))
}

// residents measures the memory of running agents of many such modules.
func (b *bench) residents() error {
	text, err := os.ReadFile(filepath.Join(modulesDir, threeHundred, threeHundred+".go"))
	if err != nil {
		return err
	}
	for _, c := range []struct {
		engine, isolation string
		n                 int
	}{{"yaegi", "process", 20}, {"go", "process", 5}, {"yaegi", "none", 200}} {
		total := [2]float64{}
		for i, n := range []int{1, c.n} {
			if total[i], err = b.resident(string(text), c.engine, c.isolation, n); err != nil {
				return err
			}
		}
		what := map[string]string{"yaegi": "interpreted", "go": "compiled"}[c.engine]
		b.row(fmt.Sprintf("memory of each further 300-line module, %s, isolation %s", what, c.isolation),
			fmt.Sprintf("%.1f MiB", (total[1]-total[0])/float64(c.n-1)), fmt.Sprintf("shared pages counted once; an agent of 1: %.0f MiB, of %d: %.0f MiB", total[0], c.n, total[1]))
	}
	return nil
}

// resident is the memory of a running agent of n modules of that text, in MiB.
func (b *bench) resident(text, engine, isolation string, n int) (float64, error) {
	project, err := os.MkdirTemp(b.dir, "resident-")
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(project, fmt.Sprintf("m%d.go", i)), []byte(text), 0o644); err != nil {
			return 0, err
		}
	}
	a, err := b.run(nil, "--no-watch", "--engine", engine, "--isolation", isolation, project)
	if err != nil {
		return 0, err
	}
	for range n {
		if _, err := a.wait(func(l line) bool { return l.Event == "started" }); err != nil {
			return 0, err
		}
	}
	memory, err := proportional(a.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	return memory, a.stop()
}

func geometricMean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += math.Log(v)
	}
	return math.Exp(sum / float64(len(values)))
}

// duration is a time in nanoseconds, for the table.
func duration(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%.3g ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	default:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	}
}

func times(r float64) string {
	if r >= 100 {
		return fmt.Sprintf("%.0f ×", r)
	}
	return fmt.Sprintf("%.3g ×", r)
}

func ms(v float64) string { return fmt.Sprintf("%.1f ms", v) }

func kib(v float64) string { return fmt.Sprintf("%.0f KiB", v) }
